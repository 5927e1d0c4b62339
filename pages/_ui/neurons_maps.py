"""Heatmaps of where a neuron is active in the bundle's images."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.store import Hit
from pages._ui import overlays, resources
from pages._ui.neurons_view import MAPS
from pages._ui.overlays import Map, Overlays
from pages._ui.resources import Opened
from pages._ui.selection import Chosen

ENDS = ("below zero", "active")


def controls(chosen: Chosen[Any]) -> None:
    """Whether there are heatmaps, and on which scale."""
    overlays.controls(
        chosen,
        MAPS,
        "Heatmaps",
        "The neuron's activation at each patch: blue where it is active, orange where its activation is below zero, as "
        "it is a little wherever it is off. The class token has no place in the image and is not drawn.",
    )


def over(opened: Opened, view: Any, hits: Sequence[Hit]) -> Overlays:
    """The heatmaps of these images, with a word on what they are."""
    make = lambda image: _map(opened.name, opened.stamp, str(view.neuron), image, opened)
    return overlays.over(opened, view, hits, make, "the activation after the nonlinearity", ENDS)


@st.cache_data(max_entries=4_000, show_spinner=False)
def _map(name: str, stamp: resources.Stamp, neuron: str, image: int, _opened: Opened) -> Map | None:
    looked = overlays.read(_opened, image)
    if looked is None:
        return None
    trace, size, cosine = looked
    found = resources.neuron_explainer(_opened).activation_map(trace, neuron)
    return Map(found.value_yx, found.class_token, *size, cosine)
