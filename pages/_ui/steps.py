"""What pages about one unit share: their two columns, and the buttons that go to the same unit of another layer."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from core.errors import AddressError
from core.ids import Unit, parse
from pages._ui import desk_links, keys, search_links
from pages._ui.selection import Chosen
from pages._ui.words import plain, typed

MOST_CHARACTERS = 300

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


def walk(chosen: Chosen[Any], names: Sequence[str], field: str) -> None:
    """Buttons and keys that step field `field` of the view through the addresses `names`."""
    address = str(getattr(chosen.view, field))
    at = names.index(address) if address in names else None
    others = [name for name in names if name != address]
    known = lambda n: parse(names[n]) if 0 <= n < len(names) else None
    keys.stepper(
        chosen.go,
        previous=known(at - 1) if at is not None else None,
        following=known(at + 1) if at is not None else known(0),
        random=parse(random.choice(others)) if others else None,
        field=field,
        noun=field,
    )


@contextmanager
def onward(address: str) -> Iterator[None]:
    """A line of ways on from a unit: those that the block draws, to the desk, and to units alike."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        yield
        desk_links.link([address])
        search_links.similar(address)


def find(
    chosen: Chosen[Any], reached: Callable[[Unit], dict[str, Any]], words: Callable[[str], dict[str, Any]],
    *, example: str, told: str,
) -> None:  # fmt: skip
    """The field that the key / goes to, which shows the view's `label`. `reached` gives the changes to the view that an
    address makes (AddressError where the unit is not here), `words` those that any other text makes."""
    key = "unit-search"
    st.session_state[key] = chosen.view.label

    def changed() -> None:
        text = typed(st.session_state[key])[:MOST_CHARACTERS]
        try:
            changes = reached(parse(text.upper()))
        except AddressError:
            changes = words(text)
        chosen.go(**changes)

    st.text_input("Find", key=key, placeholder=example, on_change=changed, help=told, width=300)
