"""The pairs that stand for a concept on the Drift page, and images of its groups."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.store.drift import DriftTable
from core.store.drift_answers import FollowedText
from core.store.heads import short_label
from pages._ui import grid, linked_table, links
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

ROW = 6
ALONE = 24
ROWS = 5


def draw(opened: Opened, table: DriftTable, chosen: Chosen[Any], followed: Mapping[str, FollowedText]) -> None:
    """One concept's pairs and images."""
    concepts = list(followed)
    st.subheader("One concept", anchor=False)
    key = "drift-shown"
    st.session_state[key] = chosen.view.shown if chosen.view.shown in followed else concepts[0]
    st.segmented_control(
        "Concept",
        concepts,
        format_func=lambda concept: plain(concept, 60),
        required=True,
        key=key,
        on_change=lambda: chosen.go(shown=st.session_state[key], group=""),
        label_visibility="collapsed",
    )
    concept = st.session_state[key]
    found = followed[concept]
    left, right = st.columns([2, 3], gap="large")
    with left:
        _pairs(found, concept)
    with right:
        _images(opened, table, chosen, found)


def _pairs(found: FollowedText, concept: str) -> None:
    st.markdown("**Its pairs**")
    rows = pd.DataFrame(
        [[pair.address, short_label(pair.label.split("; ")), pair.cosine] for pair in found.scores.pairs],
        columns=["pair", "label", "cosine"],
    )
    linked_table.draw(
        rows,
        "drift-pairs",
        "Pairs of the concept",
        lambda row: links.href("pairs", pair=row["pair"]),
        told={"cosine": "of the pair's direction with the text", "label": "the first texts the pair is described by"},
        formats={"cosine": "{:+.3f}"},
        height="22rem",
    )
    st.caption(
        f"The {count(len(rows), 'pair')} whose direction is nearest to “{plain(concept, 80)}”. A pair is a neuron as "
        "one attention head reads it; its direction comes from the weights alone."
    )


def _images(opened: Opened, table: DriftTable, chosen: Chosen[Any], found: FollowedText) -> None:
    there = [g for g in range(len(found.grouping.names)) if found.share.count_g[g]]
    names = {str(at): found.grouping.names[g] for at, g in enumerate(there)}
    by_name = {name: at for at, name in names.items()}
    key = "drift-group"
    st.session_state[key] = by_name.get(chosen.view.group, "")
    st.selectbox(
        f"Images by {found.grouping.column}",
        ["", *names],
        format_func=lambda at: names.get(at, "a few groups"),
        key=key,
        on_change=lambda: chosen.go(group=names.get(st.session_state[key], "")),
        help="The images of a group in which the pairs write the largest share.",
    )
    alone = by_name.get(chosen.view.group)
    spread = np.unique(np.linspace(0, len(there) - 1, min(ROWS, len(there))).round().astype(int)).tolist()
    for at in [int(alone)] if alone is not None else spread:
        group, size = there[at], int(found.share.count_g[there[at]])
        hits = table.examples(found, group, ALONE if alone is not None else ROW)
        st.caption(
            f"**{plain(names[str(at)], 80)}** · {count(len(hits), 'image')} of largest share, of {size:,}; mean "
            f"{found.share.mean_g[group]:.2%}"
        )
        grid.images(
            opened,
            [hit.image_id for hit in hits],
            captions=[f"{hit.score:.1%}" for hit in hits],
            alts=[f"image {hit.image_id}, share {hit.score:.1%}" for hit in hits],
            key=f"drift-images-{at}",
            size=80,
            label=f"Images of {names[str(at)]}",
            href=lambda image: links.href("image", image=image),
        )
