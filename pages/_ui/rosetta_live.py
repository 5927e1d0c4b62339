"""The live models of a dictionary on a page: waiting for them, and asking them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image

from core.images import decode
from pages._ui import dictionaries, live, states
from pages._ui.dictionaries import Opened
from pages._ui.words import count, plain

MOST = 12
"""Concepts with maps that are looked for at once."""

if TYPE_CHECKING:
    from core.explain.rosetta import Active


def wait(found: Opened, model: live.Status) -> None:
    """Instead of maps: the models are being loaded, and the page comes by itself when they are; or why they cannot."""
    if model.state == "failed":
        states.problem(f"Maps need the live models. {model.reason}")
    else:
        _loading(found)


@st.fragment(run_every=1)
def _loading(found: Opened) -> None:
    model = dictionaries.explainer_status(found)
    if model.state != "loading":
        st.rerun()
    st.status(f"Loading {count(len(found.store.members), 'model')}, {model.seconds:.0f} s", state="running")
    st.caption("The maps come here when they are ready.")


def look(
    found: Opened, picture: Image.Image | bytes, hub: str, wanted: Sequence[str] | None = None, most: int = MOST
) -> "tuple[Active, ...]":
    """The `most` concepts active in a picture, or those `wanted`; says which models are left out. The models must be
    ready."""
    explainer = dictionaries.explainer(found)
    for name, sentence in explainer.left_out.items():
        states.problem(f"{name} is left out: {sentence}")
    if explainer.notice:
        states.problem(explainer.notice)
    with st.spinner(f"Looking at it with {plain(count(len(explainer.members), 'model'))}"):
        return explainer.look(_picture(picture), hub, wanted, most)


def every(found: Opened, picture: Image.Image | bytes, hub: str, most: int) -> "tuple[Active, ...]":
    """All concepts in a picture that was just looked at for `most`, without maps."""
    return dictionaries.explainer(found).every(_picture(picture), hub, most)


def _picture(given: Image.Image | bytes) -> Image.Image:
    return decode(given) if isinstance(given, bytes) else given
