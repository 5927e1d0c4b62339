"""Heatmaps of heads over the bundle's images: where one of them, or all, write toward a text."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.ids import Head, parse
from core.store import Hit
from pages._ui import overlays, resources
from pages._ui.overlays import Map, Overlays
from pages._ui.resources import Opened
from pages._ui.selection import Chosen

MAPS = {"off": "Off", "head": "This head", "all": "All heads together"}


def controls(chosen: Chosen[Any]) -> None:
    """Which heatmaps, and on which scale."""
    overlays.controls(
        chosen,
        MAPS,
        "Heatmaps toward this text",
        "Where this head, or all analysed heads, write toward the text (blue) or against it (orange). What they write "
        "through the class token has no place in the image and is not drawn.",
    )


def over(opened: Opened, view: Any, text: str, hits: Sequence[Hit]) -> Overlays:
    """The heatmaps of these images, with a word on what they are."""

    def make(ids: Sequence[int]) -> dict[int, Map]:
        made = {i: _map(opened.name, opened.stamp, str(view.head), view.map, text, i, opened) for i in ids}
        return {image: found for image, found in made.items() if found is not None}

    return overlays.over(opened, view, hits, make, "in units of the cosine")


@st.cache_data(max_entries=4_000, show_spinner=False)
def _map(name: str, stamp: resources.Stamp, head: str, kind: str, text: str, image: int, _opened: Opened) -> Map | None:
    looked = overlays.read(_opened, image)
    if looked is None:
        return None
    trace, size, cosine = looked
    explainer = resources.explainer(_opened)
    if kind == "all":
        found = explainer.heatmap(trace, text)
        return Map(found.total_yx, float(found.class_token_lh.sum()), *size, cosine)
    unit = parse(head)
    assert isinstance(unit, Head)
    found = explainer.heatmap(trace, text, layers=[unit.layer or 0])
    return Map(found.head_lhyx[0, unit.head], float(found.class_token_lh[0, unit.head]), *size, cosine)
