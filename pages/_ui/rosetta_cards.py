"""The concepts of a hub as cards: what each is called, how strong, how shared, and a strip of its images."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.store.dictionary_answers import Concept
from pages._ui import figures, grid, rosetta_view, states
from pages._ui.dictionaries import Opened
from pages._ui.rosetta_view import PAGE, RosettaView
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

STRIP = 4
COLUMNS = 3


def draw(found: Opened, chosen: Chosen[RosettaView], listed: Sequence[Concept]) -> dict[str, Any]:
    """What is listed, in words, and the cards; returns what it drew."""
    view = chosen.view
    every = len(found.store.concepts(view.hub))
    shown = listed[: view.shown]
    if not every:
        states.empty(
            f"No unit of {view.hub} is shared",
            "None of its units has a mutual nearest unit in another model above the null. Choose another hub.",
        )
        return {"concepts": []}
    _told(found, view, len(listed), every, len(shown))
    if not listed:
        states.empty("No concept passes", "Take away a word or a model, or ask for fewer models.")
    for first in range(0, len(shown), COLUMNS):
        for column, concept in zip(st.columns(COLUMNS), shown[first : first + COLUMNS], strict=False):
            with column, st.container(border=True, height="stretch"):
                _card(found, chosen, concept)
    if len(shown) < min(len(listed), rosetta_view.MOST_SHOWN):
        st.button(
            f"Show {min(PAGE, len(listed) - len(shown))} more",
            icon=":material/expand_more:",
            on_click=chosen.go,
            kwargs={"shown": view.shown + PAGE},
        )
    figures.csv(frame(listed), "rosetta-concepts")
    return {"concepts": shown}


def label(concept: Concept) -> str:
    """A concept's label, or that it has none; plain text."""
    return concept.label.text if concept.label is not None else "no label"


def shared(concept: Concept, members: int) -> str:
    """By how many models it is shared, and how strongly; plain text."""
    return f"in {concept.models} of {members} models · strength {concept.strength:+.3f}"


def frame(listed: Sequence[Concept]) -> pd.DataFrame:
    """Every concept listed, in the order listed."""
    return pd.DataFrame(
        {
            "concept": [concept.address for concept in listed],
            "label": [concept.label.text if concept.label else None for concept in listed],
            "label r": [concept.label.r if concept.label else None for concept in listed],
            "strength": [concept.strength for concept in listed],
            "models": [concept.models for concept in listed],
            "units": ["; ".join(unit.address for unit in concept.members) for concept in listed],
        }
    )


def _told(found: Opened, view: RosettaView, passing: int, every: int, shown: int) -> None:
    others = count(len(found.store.members) - 1, "other model")
    some = f", the first {shown:,} shown" if shown < passing else ""
    st.caption(
        f"**{count(passing, 'concept')}** of {every:,} that start from a unit of {plain(view.hub)}{some}, strongest "
        f"first. Strength: how far the best match lies above the null, as a correlation, averaged over the {others} (0 "
        f"where there is no match). Found without labels from {count(found.store.images, 'image')}. Label r: how "
        "closely it follows its label, over images that did not choose it. Keys j and k walk through them."
    )


def _card(found: Opened, chosen: Chosen[RosettaView], concept: Concept) -> None:
    st.button(
        f"**{plain(label(concept), 44)}**",
        key=f"card-{concept.address}",
        type="tertiary",
        on_click=chosen.go,
        kwargs={"concept": concept.address},
        help=plain(concept.address),
    )
    follows = f" · label r {concept.label.r:.2f}" if concept.label is not None else ""
    st.caption(plain(f"{concept.address.partition(':')[2]} · {shared(concept, len(found.store.members))}{follows}"))
    grid.images(
        found,
        concept.images[:STRIP],
        key=f"strip-{concept.address}",
        alts=[f"image {image} of {concept.address}" for image in concept.images[:STRIP]],
        size=60,
        label=f"Images of {concept.address}",
        href=lambda _: rosetta_view.href(chosen, concept=concept.address),
    )
