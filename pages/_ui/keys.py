"""Keys: j/k or the arrows step, with Shift by layers, / searches, r picks at random, ? explains.

Streamlit's `st.button(shortcut=...)` takes one letter, digit or named key: neither "/" nor "?", nor two keys for one
button, nor R and C, which it keeps for itself. So a small listener presses the page's buttons by their keys. R is
ours wherever a page has a random button, and otherwise stays Streamlit's; C is off in the viewer's toolbar. `/` goes to
the first field whose key contains "search", such as one bound to a view's field of that name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

KEYS = (
    ("j or →", "next"),
    ("k or ←", "previous"),
    ("Shift and j", "the layer above, where there are layers"),
    ("Shift and k", "the layer below"),
    ("r", "one at random"),
    ("/", "search"),
    ("?", "this help"),
    ("Tab, Enter", "go to an image or button, and press it"),
    ("on the Label page", "keys of its own: see Keys beside the label"),
    ("x on the Search page", "tick the result that is marked, for the desk"),
    ("arrows on an image", "the image beside, above or below"),
    ("the browser's back button", "the view before this one"),
)
_listener = st.components.v2.component("unitscope_keys", js=(Path(__file__).parent / "keys.js").read_text())


def listen() -> None:
    """Mount the listener and the help button; app.py does, once."""
    if st.button("Keys", key="key-help", icon=":material/keyboard:", type="tertiary", help="Which keys do what (?)"):
        _help()
    _listener(key="keys")


def stepper(
    go: Callable[..., None], *, previous: Any = None, following: Any = None, random: Any = None, field: str, noun: str
) -> None:
    """Buttons that step `field` of a selection to the values given; a value of None greys its button out.

    `go` is the selection's (`chosen.go`); `noun` names what is stepped ("head"). At most one on a page, since keys
    press its buttons.
    """
    # as wide as its buttons, so that in a row of controls it wraps as a whole, not each button by itself
    with st.container(horizontal=True, gap="xsmall", width="content"):
        for name, value, icon, text in (
            ("previous", previous, ":material/chevron_left:", f"Previous {noun} (k or ←)"),
            ("next", following, ":material/chevron_right:", f"Next {noun} (j or →)"),
            ("random", random, ":material/casino:", f"A {noun} at random (r)"),
        ):
            st.button(
                name.capitalize(),
                key=f"key-{name}",
                icon=icon,
                help=text,
                disabled=value is None,
                on_click=go,
                kwargs={field: value},
            )


@st.dialog("Keys")
def _help() -> None:
    st.markdown("\n".join(["| key | does |", "|---|---|", *(f"| {key} | {does} |" for key, does in KEYS)]))
    st.caption("Keys are off while you type in a field.")
