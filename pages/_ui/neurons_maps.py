"""Heatmaps of where a neuron is active in the bundle's images."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from core.store import Hit
from pages._ui import overlays, resources
from pages._ui.neurons_view import MAPS
from pages._ui.overlays import Overlays
from pages._ui.resources import Opened
from pages._ui.selection import Chosen

ENDS = ("below zero", "active")
_AT_ONCE = 10
_MOST = 4_000
_kept = overlays.Kept(_MOST)


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
    neuron = str(view.neuron)

    def looks(pictures: Sequence[Image.Image]) -> list[overlays.Looked]:
        looked = resources.neuron_explainer(opened).look(pictures, neuron)
        return [((map_,), unit_o) for map_, unit_o in looked]

    make = lambda ids: {image: maps[0] for image, maps in _kept.of(opened, neuron, ids, looks).items()}
    unit = "the activation after the nonlinearity"
    return overlays.over(opened, view, hits, make, unit, ENDS, at_once=_AT_ONCE)
