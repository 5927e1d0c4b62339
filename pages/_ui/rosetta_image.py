"""All concepts of one image, as in the paper's figure 4.1: a row each, a model a column, each model's map over it.

Which concepts are in an image of the dictionary is stored; maps, and all of any other image, are computed live.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from core.store.dictionary_answers import Concept
from pages._ui import (
    dictionaries,
    grid,
    linked_table,
    rosetta_concept,
    rosetta_live,
    rosetta_view,
    rosetta_words,
    states,
)
from pages._ui.dictionaries import Opened
from pages._ui.rosetta_cards import label
from pages._ui.rosetta_view import RosettaView
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

if TYPE_CHECKING:
    from core.explain.rosetta import Active

SIZE = 116
ROWS = 12


def draw(found: Opened, chosen: Chosen[RosettaView]) -> dict[str, Any]:
    """An image of the dictionary; returns what it drew."""
    view, store = chosen.view, found.store
    stored = [pair for pair in store.in_image(view.hub, view.image) if pair[1] > 0]
    model = dictionaries.explainer_status(found)
    left, right = st.columns([1, 4], gap="medium")
    with left:
        grid.images(found, [view.image], key="rosetta-image", size=200, label="The image")
        st.caption(f"{plain(store.path(view.image))}, image {view.image:,} of {store.images:,}")
    with right:
        st.caption(
            f"**{count(len(stored), 'concept')}** of {len(store.concepts(view.hub)):,} of the hub {plain(view.hub)} "
            f"{'is' if len(stored) == 1 else 'are'} more active here than on average, the first "
            f"{min(ROWS, len(stored))} of them with their maps. "
            f"{rosetta_words.Z}"
        )
        data = store.thumbnail(view.image)
        active: Sequence[Active] = ()
        if model.state == "ready" and data:
            with states.calm():
                active = rosetta_live.look(found, data, view.hub, [concept.address for concept, _ in stored[:ROWS]])
        elif data:
            rosetta_live.wait(found, model)
        maps = {each.concept.address: each.maps for each in active}
        for concept, z in stored[:ROWS]:
            if concept.address in maps:
                row(found, concept, z, maps[concept.address], grid.source(found, view.image))
        if maps:
            st.caption(
                "Maps are computed now, from the dictionary's thumbnail, each on its own scale: the number under it is "
                "the largest activation. Blue: active, orange: below zero. Choose one for its concept."
            )
    address = lambda row: rosetta_view.href(chosen, concept=row["concept"], tab="concepts")
    linked_table.draw(
        frame(stored), "rosetta-in-image", "Concepts in this image", address, formats={"z": "{:+.2f}"},
        height="22rem",
    )  # fmt: skip
    return {"image": view.image, "path": store.path(view.image), "concepts": stored, "maps": maps}


def row(
    found: Opened, concept: Concept, z: float, maps: Mapping[str, np.ndarray], address: str,
    by_member: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """A concept's line, and the picture at `address` once for each model, under that model's map."""
    href = rosetta_view.link(found, concept)
    name, numbers = plain(label(concept), 80), plain(f"{concept.address} · z {z:.1f} · in {concept.models} models")
    st.markdown(f"**{name}** :small[:gray[{numbers}]]")
    cells = []
    for at, member in enumerate(found.store.members):
        unit = concept.best.get(member.name)
        if unit is None or unit.address not in maps:
            continue
        map_yx = maps[unit.address]
        told = f" z {by_member[member.name]:.1f}" if by_member and member.name in by_member else ""
        caption = f"{member.name}{told}\n{unit.layer}.N{unit.unit} ±{np.abs(map_yx).max():.2g}"
        overlay = rosetta_concept.over(map_yx)
        cells.append({"id": at, "src": address, "overlay": overlay, "caption": caption, "alt": unit.address,
                      "href": href})  # fmt: skip
    grid.draw(cells, key=f"active-{concept.address}", size=SIZE, label=f"{concept.address} in every model")


def frame(stored: Sequence[tuple[Concept, float]]) -> pd.DataFrame:
    """Every concept of the image."""
    return pd.DataFrame(
        {
            "concept": [concept.address for concept, _ in stored],
            "label": [concept.label.text if concept.label else "" for concept, _ in stored],
            "z": [z for _, z in stored],
            "models": [concept.models for concept, _ in stored],
        }
    )
