"""Heatmaps of a pair over the bundle's images: where the pair, its neuron or its head gets what it writes from."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.images import decode
from core.store import Hit
from pages._ui import overlays, resources
from pages._ui.overlays import TOWARD, Map, Overlays
from pages._ui.pairs_view import MAPS
from pages._ui.resources import Opened
from pages._ui.selection import Chosen

Kind = Literal["pair", "neuron", "head"]
UNITS = {
    "pair": "what the pair adds along its direction",
    "neuron": "the neuron's activation",
    "head": "what the whole head adds along the pair's direction",
}
ENDS = {"pair": TOWARD, "neuron": ("below zero", "active"), "head": TOWARD}
_AT_ONCE = 10
_MOST = 4_000


@dataclass(frozen=True)
class _Three:
    """The maps of the three units in one image, which one pass gives."""

    pair: Map
    neuron: Map
    head: Map


_kept: OrderedDict[tuple[Any, ...], _Three] = OrderedDict()


def controls(chosen: Chosen[Any]) -> None:
    """Whether there are heatmaps, and on which scale."""
    overlays.controls(
        chosen,
        MAPS,
        "Heatmaps",
        "Where in the image the pair gets what it writes along its direction (blue) or against it (orange), patch by "
        "patch: the neuron's activation there times the head's attention. Beside it, the neuron's row shows its "
        "activation, the head's what the whole head writes along the same direction.",
    )


def over(
    opened: Opened, view: Any, pair: str, hits: Sequence[Hit], kind: Kind = "pair", *, told: bool = True
) -> Overlays:
    """The heatmaps of these images, with a word on what they are, if `told`."""
    make = lambda ids: {image: getattr(found, kind) for image, found in _maps(opened, pair, ids).items()}
    return overlays.over(opened, view, hits, make, UNITS[kind], ENDS[kind], at_once=_AT_ONCE, told=told)


def _maps(opened: Opened, pair: str, ids: Sequence[int]) -> dict[int, _Three]:
    """Kept in memory, shared by all sessions; what is missing goes through the model together."""
    key = lambda image: (opened.name, opened.stamp, pair, image)
    found = {image: _kept.get(key(image)) for image in ids}
    missing = {i: opened.store.thumbnail(i) for i in ids if found[i] is None}
    pictures = {image: decode(data) for image, data in missing.items() if data}
    if pictures:
        looked = resources.pair_explainer(opened).look(list(pictures.values()), pair)
        stored = opened.store.bundle.array("representations")
        for (image, picture), seen in zip(pictures.items(), looked, strict=True):
            cosine = float(stored[image].astype("float64") @ seen.unit_o)
            made = (Map(m.value_yx, m.class_token, *picture.size, cosine) for m in (seen.pair, seen.neuron, seen.head))
            found[image] = _kept[key(image)] = _Three(*made)
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
    return {image: made for image, made in found.items() if made is not None}
