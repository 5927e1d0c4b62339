"""Which head: a field to search, buttons and keys that step through the heads, and the same head by layer."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from core.ids import Head, Unit
from core.store import HeadSummary
from pages._ui import keys, steps
from pages._ui.selection import Chosen


def draw(chosen: Chosen[Any], heads: Sequence[Unit], summaries: Sequence[HeadSummary]) -> None:
    """All of it. On a narrow screen a row breaks between the groups. Another head keeps the tab and the
    heatmaps, while the text picked, which was the old head's, falls back to its first."""

    def go(head: Unit) -> None:
        chosen.go(head=head, text=0)

    steps.style()
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        _field(chosen, heads, summaries)
        at = heads.index(chosen.view.head)
        others = [head for head in heads if head != chosen.view.head]
        keys.stepper(
            go,
            previous=heads[at - 1] if at else None,
            following=heads[at + 1] if at + 1 < len(heads) else None,
            random=random.choice(others) if others else None,
            field="head",
            noun="head",
        )
        layers = sorted({head.layer for head in heads if isinstance(head, Head) and head.layer is not None})
        steps.layers(layers, chosen.view.head.layer, lambda layer: go(replace(chosen.view.head, layer=layer)), "head")
    with steps.onward(str(chosen.view.head)):
        pass


def _field(chosen: Chosen[Any], heads: Sequence[Unit], summaries: Sequence[HeadSummary]) -> None:
    """A field with every head and its label; the key / goes there."""
    key = "unit-search"
    labels = {str(head): f"{summary.address} · {summary.label}" for head, summary in zip(heads, summaries, strict=True)}
    st.session_state[key] = str(chosen.view.head)
    st.selectbox(
        "Head",
        list(labels),
        key=key,
        format_func=labels.__getitem__,
        on_change=lambda: chosen.go(head=st.session_state[key], text=0),
        help="Type part of an address or a label. The key / comes here.",
        width=440,
    )
