"""The concepts of a dictionary in any image, live, in every model of its zoo side by side (paper R, figure 4.1).

Paper R: Dravid et al. 2023, *Rosetta Neurons*. A unit's z in an image is how far the largest value of its map lies
above that largest value's mean over the dictionary's images, in standard deviations; a concept's is the mean over its
models, of each model's best unit.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from core.errors import AddressError, InputError, ModelError, UnitscopeError
from core.explain.explainer import to_numpy
from core.models.zoo import Member, load_recorded_member

if TYPE_CHECKING:
    from core.store.dictionary import Dictionary
    from core.store.dictionary_answers import Concept, ConceptUnit

MOST = 12
"""Concepts in an answer that names none."""
_KEPT = 32


@dataclass(frozen=True)
class Active:
    """A concept in one image: `z` its mean over the models that were asked, `by_member` theirs, `maps` (h, w) by unit
    address: of each model its best unit, on the model's own grid."""

    concept: "Concept"
    z: float
    by_member: Mapping[str, float]
    maps: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class _Looked:
    """The best units of a hub's concepts in one member: `concept_u` numbers the concept, `unit_u` are the units."""

    concept_u: np.ndarray
    unit_u: "tuple[ConceptUnit, ...]"
    mean_u: np.ndarray
    std_u: np.ndarray

    @property
    def layers(self) -> dict[str, list[int]]:
        """Positions u by layer."""
        found = defaultdict(list)
        for u, unit in enumerate(self.unit_u):
            found[unit.layer].append(u)
        return dict(found)


class RosettaExplainer:
    """Looks at pictures with the models of a dictionary. Thread-safe: one lock around the models, immutable answers.

    `members` are those that could be loaded; `left_out` says of the others why not. A concept's z is then the mean over
    those that are there, and a concept that is in none of them is not found.
    """

    def __init__(
        self, dictionary: "Dictionary", members: Sequence[Member], left_out: Mapping[str, str] | None = None
    ) -> None:
        self.dictionary, self.members = dictionary, {member.name: member for member in members}
        self.left_out = dict(left_out or {})
        self.notice: str | None = None
        arrays = (np.asarray(dictionary.bundle.array(name)) for name in ("described", "peak_mean", "peak_std"))
        self._described, self._peak_mean, std = arrays
        self._peak_std = np.where(std > 0, std, np.inf)  # a peak that never varies says nothing: its z is 0
        self._lock = threading.Lock()
        self._hubs: dict[str, dict[str, _Looked]] = {}
        self._answers: OrderedDict[tuple[str, str, tuple[str, ...] | None], tuple[Active, ...]] = OrderedDict()

    @property
    def device(self) -> torch.device:
        """Where the models are: all in one place."""
        return next(iter(self.members.values())).device

    @property
    def bytes(self) -> int:
        """What the models take, and what is kept of pictures may come to: a map a model and concept, of at most 56 x 56
        numbers in the models that we know."""
        kept = _KEPT * MOST * len(self.members) * 56 * 56 * 4
        return kept + sum(member.bytes for member in self.members.values())

    def look(self, picture: Image.Image, hub: str, wanted: Sequence[str] | None = None) -> tuple[Active, ...]:
        """The hub's concepts in an RGB picture (from `core.images.decode`): the MOST of largest z, largest first, or
        those whose addresses are `wanted`, in that order. A repeated question costs next to nothing.

        InputError for another mode; AddressError for a hub or a concept that the dictionary does not have.
        """
        if picture.mode != "RGB":
            raise InputError(f"This image has mode {picture.mode}; decode it with core.images.decode, which gives RGB.")
        concepts = self.dictionary.concepts(hub)
        named = {concept.address: n for n, concept in enumerate(concepts)}
        if wanted is not None and not set(wanted) <= set(named):
            raise AddressError(f"The hub {hub} has no concept {next(name for name in wanted if name not in named)}.")
        image = sha256(f"{picture.width}x{picture.height} ".encode() + picture.tobytes()).hexdigest()
        asked = (image, hub, None if wanted is None else tuple(wanted))
        with self._lock:
            if asked not in self._answers:
                numbers = None if wanted is None else [named[name] for name in wanted]
                self._answers[asked] = self._look(picture, hub, concepts, numbers)
                while len(self._answers) > _KEPT:
                    self._answers.popitem(last=False)
            self._answers.move_to_end(asked)
            return self._answers[asked]

    def _look(
        self, picture: Image.Image, hub: str, concepts: "Sequence[Concept]", numbers: Sequence[int] | None
    ) -> tuple[Active, ...]:
        looked = self._units(hub)
        z_mn = np.full((len(self.members), len(concepts)), np.nan)
        maps: dict[str, dict[str, torch.Tensor]] = {}  # of one picture: tens of megabytes in a large zoo, then let go
        for m, (name, member) in enumerate(self.members.items()):
            units = looked[name]
            maps[name] = _maps(member, picture, tuple(units.layers))
            peak_u = np.empty(len(units.unit_u))
            for layer, at in units.layers.items():
                peak_c = to_numpy(maps[name][layer].amax((1, 2)))
                peak_u[at] = peak_c[[units.unit_u[u].unit for u in at]]
            z_mn[m, units.concept_u] = (peak_u - units.mean_u) / units.std_u
        known_n = ~np.isnan(z_mn).all(0)
        z_n = np.full(len(concepts), -np.inf)
        z_n[known_n] = np.nanmean(z_mn[:, known_n], axis=0)
        if numbers is None:
            numbers = np.argsort(-z_n, kind="stable")[: min(MOST, int(known_n.sum()))].tolist()
        made = []
        for n in numbers:
            if not known_n[n]:
                continue
            best = concepts[n].best
            there = [(m, name) for m, name in enumerate(self.members) if name in best and not np.isnan(z_mn[m, n])]
            made.append(
                Active(
                    concepts[n],
                    float(z_n[n]),
                    {name: float(z_mn[m, n]) for m, name in there},
                    {best[name].address: to_numpy(maps[name][best[name].layer][best[name].unit]) for _, name in there},
                )
            )
        return tuple(made)

    def _units(self, hub: str) -> dict[str, _Looked]:
        """What is looked at in each member for a hub; made once."""
        if hub not in self._hubs:
            chosen: dict[str, list[tuple[int, ConceptUnit]]] = {name: [] for name in self.members}
            for n, concept in enumerate(self.dictionary.concepts(hub)):
                for name, unit in concept.best.items():
                    if name in chosen:
                        chosen[name].append((n, unit))
            made = {}
            for name, found in chosen.items():
                at_u = np.searchsorted(self._described, [unit.row for _, unit in found])
                mean_u, std_u = self._peak_mean[at_u], self._peak_std[at_u]
                made[name] = _Looked(
                    np.array([n for n, _ in found], np.int64), tuple(unit for _, unit in found), mean_u, std_u
                )
            self._hubs[hub] = made
        return self._hubs[hub]


def load_rosetta(dictionary: "Dictionary", device: str = "auto") -> RosettaExplainer:
    """The models that a dictionary records, those that can be loaded. ModelError where none can."""
    members, left_out = [], {}
    for facts in dictionary.facts["members"]:
        try:
            members.append(load_recorded_member(facts, device=device))
        except UnitscopeError as error:
            left_out[str(facts["name"])] = str(error)
        except KeyError as error:
            left_out[str(facts["name"])] = f"Its record in rosetta.json lacks {error}."
    if not members:
        raise ModelError("None of this dictionary's models can be loaded. " + " ".join(left_out.values()))
    return RosettaExplainer(dictionary, members, left_out)


def _maps(member: Member, picture: Image.Image, layers: Sequence[str]) -> dict[str, torch.Tensor]:
    """(c, h, w) of each layer, on the member's device."""
    if not layers:
        return {}
    with torch.inference_mode():
        pixels = member.prepare(picture)[None].to(member.device)
        return {name: map_bchw[0] for name, map_bchw in member.maps(pixels, layers).items()}
