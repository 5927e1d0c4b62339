"""Which head: a field to search, buttons and keys that step through the heads, and buttons that step through layers."""

import random
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.ids import Head, Unit
from core.store import HeadSummary
from pages._ui import keys
from pages._ui.selection import Chosen
from pages._ui.words import plain


def pick(chosen: Chosen[Any], heads: Sequence[Unit], summaries: Sequence[HeadSummary]) -> None:
    """A field with every head and its label; the key / goes there. Another head keeps the tab and the heatmaps, while
    the text picked, which was the old head's, falls back to its first."""
    key = "heads-search"
    labels = {str(head): f"{summary.address} · {summary.label}" for head, summary in zip(heads, summaries, strict=True)}
    st.session_state[key] = str(chosen.view.head)

    def change() -> None:
        chosen.go(head=st.session_state[key], text=0)

    st.selectbox(
        "Head",
        list(labels),
        key=key,
        format_func=labels.__getitem__,
        on_change=change,
        help="Type part of an address or a label. The key / comes here.",
        width=360,
    )


def steps(chosen: Chosen[Any], heads: Sequence[Unit]) -> None:
    """Head by head (keys j, k, r) and, where there are several layers, the same head a layer below or above."""
    at = heads.index(chosen.view.head)

    def go(head: Unit) -> None:
        chosen.go(head=head, text=0)

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
    if len(layers) < 2:
        return
    row = layers.index(chosen.view.head.layer)
    for name, step, icon in (("lower", -1, ":material/arrow_downward:"), ("higher", 1, ":material/arrow_upward:")):
        there = 0 <= row + step < len(layers)
        target = Head(layers[row + step], chosen.view.head.head) if there else None
        st.button(
            f"{plain(f'Layer {target.layer}')}" if target else f"No {name} layer",
            key=f"heads-{name}",
            icon=icon,
            help=f"The same head in the next {name} analysed layer.",
            disabled=target is None,
            on_click=go,
            kwargs={"head": target},
        )
