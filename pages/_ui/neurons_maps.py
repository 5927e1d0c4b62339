"""Heatmaps of where a neuron is active in the bundle's images."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.images import decode
from core.store import Hit
from pages._ui import overlays, resources
from pages._ui.neurons_view import MAPS
from pages._ui.overlays import Map, Overlays
from pages._ui.resources import Opened
from pages._ui.selection import Chosen

ENDS = ("below zero", "active")
_AT_ONCE = 10
_MOST = 4_000
_kept: OrderedDict[tuple[Any, ...], Map] = OrderedDict()


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
    make = lambda ids: _maps(opened, str(view.neuron), ids)
    unit = "the activation after the nonlinearity"
    return overlays.over(opened, view, hits, make, unit, ENDS, at_once=_AT_ONCE)


def _maps(opened: Opened, neuron: str, ids: Sequence[int]) -> dict[int, Map]:
    """Kept in memory, shared by all sessions; what is missing goes through the model together."""
    key = lambda image: (opened.name, opened.stamp, neuron, image)
    found = {image: _kept.get(key(image)) for image in ids}
    missing = {i: opened.store.thumbnail(i) for i in ids if found[i] is None}
    pictures = {image: decode(data) for image, data in missing.items() if data}
    if pictures:
        looked = resources.neuron_explainer(opened).look(list(pictures.values()), neuron)
        stored = opened.store.bundle.array("representations")
        for (image, picture), (map_, unit_o) in zip(pictures.items(), looked, strict=True):
            cosine = float(stored[image].astype(np.float64) @ unit_o)
            found[image] = _kept[key(image)] = Map(map_.value_yx, map_.class_token, *picture.size, cosine)
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
    return {image: made for image, made in found.items() if made is not None}
