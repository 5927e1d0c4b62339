"""Which head: a field to search, buttons and keys that step through the heads, and the same head by layer."""

import random
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.ids import Head, Unit
from core.store import HeadSummary
from pages._ui import keys
from pages._ui.selection import Chosen
from pages._ui.words import plain

_STYLE = """<style>
.st-key-heads-search input, .st-key-heads-text input { text-overflow: ellipsis }
@media (max-width: 1000px) {
  .st-key-heads-halves > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: 100% }
}
</style>"""
"""Long text ends in an ellipsis in its field (the page has it in full); a tablet has no room for two columns."""


def halves() -> Any:
    """The page's two columns, one below the other on a narrow screen."""
    with st.container(key="heads-halves"):
        return st.columns([2, 3], gap="large")


def draw(chosen: Chosen[Any], heads: Sequence[Unit], summaries: Sequence[HeadSummary]) -> None:
    """All of it in one row, which on a narrow screen breaks between the groups. Another head keeps the tab and the
    heatmaps, while the text picked, which was the old head's, falls back to its first."""

    def go(head: Unit) -> None:
        chosen.go(head=head, text=0)

    st.html(_STYLE)
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
        _layers(chosen, heads, go)


def _field(chosen: Chosen[Any], heads: Sequence[Unit], summaries: Sequence[HeadSummary]) -> None:
    """A field with every head and its label; the key / goes there."""
    key = "heads-search"
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


def _layers(chosen: Chosen[Any], heads: Sequence[Unit], go: Any) -> None:
    """Where there are several layers, the same head in the next one below and above."""
    layers = sorted({head.layer for head in heads if isinstance(head, Head) and head.layer is not None})
    if len(layers) < 2:
        return
    row = layers.index(chosen.view.head.layer)
    with st.container(horizontal=True, gap="xsmall", width="content"):
        for name, step, icon, key, end in (
            ("lower", -1, ":material/arrow_downward:", "k", "Lowest"),
            ("higher", 1, ":material/arrow_upward:", "j", "Highest"),
        ):
            there = 0 <= row + step < len(layers)
            target = Head(layers[row + step], chosen.view.head.head) if there else None
            st.button(
                plain(f"Layer {target.layer}") if target else end,
                key=f"key-{name}",
                icon=icon,
                help=f"The same head in the next {name} analysed layer (Shift and {key}).",
                disabled=target is None,
                on_click=go,
                kwargs={"head": target},
            )
