"""What pages about one unit share: their two columns, and the buttons that go to the same unit of another layer."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages._ui.words import plain

_STYLE = """<style>
[class*="st-key-unit-"] input { text-overflow: ellipsis }
@media (max-width: 1000px) {
  .st-key-halves > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: 100% }
}
</style>"""
"""Long text ends in an ellipsis in its field (the page has it in full); a tablet has no room for two columns."""


def style() -> None:
    """For fields whose key begins with "unit-", and for `halves`."""
    st.html(_STYLE)


def halves() -> Any:
    """The page's two columns, one below the other on a narrow screen."""
    with st.container(key="halves"):
        return st.columns([2, 3], gap="large")


def layers(known: Sequence[int | None], layer: int | None, go: Callable[[int], None], noun: str) -> None:
    """Where there are several layers (`known`, ascending), the same unit in the next one below and above."""
    if len(known) < 2 or layer is None:
        return
    at = known.index(layer)
    with st.container(horizontal=True, gap="xsmall", width="content"):
        for name, step, icon, key, end in (
            ("lower", -1, ":material/arrow_downward:", "k", "Lowest"),
            ("higher", 1, ":material/arrow_upward:", "j", "Highest"),
        ):
            target = known[at + step] if 0 <= at + step < len(known) else None
            st.button(
                plain(f"Layer {target}") if target is not None else end,
                key=f"key-{name}",
                icon=icon,
                help=f"The same {noun} in the next {name} analysed layer (Shift and {key}).",
                disabled=target is None,
                on_click=go,
                args=(target,),
            )
