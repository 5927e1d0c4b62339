"""Heatmaps of a pair over the bundle's images: where the pair, its neuron or its head gets what it writes from."""

from collections.abc import Sequence
from typing import Any, Literal

from PIL import Image

from core.store import Hit
from pages._ui import overlays, resources
from pages._ui.overlays import TOWARD, Overlays
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


_kept = overlays.Kept(_MOST)


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
    """The heatmaps of these images, with a word on what they are, if `told`. One pass gives all three units."""

    def looks(pictures: Sequence[Image.Image]) -> list[overlays.Looked]:
        looked = resources.pair_explainer(opened).look(pictures, pair)
        return [((seen.pair, seen.neuron, seen.head), seen.unit_o) for seen in looked]

    at = list(UNITS).index(kind)
    make = lambda ids: {image: maps[at] for image, maps in _kept.of(opened, pair, ids, looks).items()}
    return overlays.over(opened, view, hits, make, UNITS[kind], ENDS[kind], at_once=_AT_ONCE, told=told)
