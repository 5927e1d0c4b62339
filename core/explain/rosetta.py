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
"""Concepts in an answer that names none, by default."""
_KEPT = 32
"""Answers that are kept, of MOST concepts each; fewer of more."""


@dataclass(frozen=True)
class Active:
    """A concept in one image: `z` its mean over the models that were asked, `by_member` theirs, `maps` (h, w) by unit
    address: of each model its best unit, on the model's own grid."""

    concept: "Concept"
    z: float
    by_member: Mapping[str, float]
    maps: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class _Answer:
    """What was found in a picture: concepts with maps, and z of every concept in each model, NaN where it has none."""

    active: tuple[Active, ...]
    z_mn: np.ndarray


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
        self._answers: OrderedDict[tuple[str, str, int | tuple[str, ...]], _Answer] = OrderedDict()

    @property
    def device(self) -> torch.device:
        """Where the models are: all in one place."""
        return next(iter(self.members.values())).device

    @property
    def bytes(self) -> int:
        """What the models take, and what is kept of pictures may come to: a map a model and concept, of at most 56 x 56
        numbers in the models that we know, and z of every concept."""
        most = max(len(self.dictionary.concepts(member.name)) for member in self.dictionary.members)
        kept = _KEPT * len(self.members) * (MOST * 56 * 56 * 4 + most * 8)
        return kept + sum(member.bytes for member in self.members.values())

    def look(
        self, picture: Image.Image, hub: str, wanted: Sequence[str] | None = None, most: int = MOST
    ) -> tuple[Active, ...]:
        """The hub's concepts in an RGB picture (from `core.images.decode`): the `most` of largest z, largest first, or
        those whose addresses are `wanted`, in that order. A repeated question costs next to nothing.

        InputError for another mode; AddressError for a hub or a concept that the dictionary does not have.
        """
        return self._answer(picture, hub, wanted, most).active

    def every(self, picture: Image.Image, hub: str, most: int = MOST) -> "tuple[Active, ...]":
        """All the hub's concepts in the picture, largest z first, with the numbers but not the maps of `look`. Costs
        next to nothing after a look for as many. Raises as `look`."""
        concepts, z_mn = self.dictionary.concepts(hub), self._answer(picture, hub, None, most).z_mn
        z_n = _mean(z_mn)
        names = list(self.members)
        return tuple(Active(concepts[n], float(z_n[n]), _known(names, z_mn[:, n]), {}) for n in _best(z_n))

    def _answer(self, picture: Image.Image, hub: str, wanted: Sequence[str] | None, most: int) -> "_Answer":
        if picture.mode != "RGB":
            raise InputError(f"This image has mode {picture.mode}; decode it with core.images.decode, which gives RGB.")
        concepts = self.dictionary.concepts(hub)
        named = {concept.address: n for n, concept in enumerate(concepts)}
        if wanted is not None and not set(wanted) <= set(named):
            raise AddressError(f"The hub {hub} has no concept {next(name for name in wanted if name not in named)}.")
        image = sha256(f"{picture.width}x{picture.height} ".encode() + picture.tobytes()).hexdigest()
        asked = (image, hub, most if wanted is None else tuple(wanted))
        with self._lock:
            if asked not in self._answers:
                numbers = None if wanted is None else [named[name] for name in wanted]
                self._answers[asked] = self._look(picture, hub, concepts, numbers, most)
                while len(self._answers) > 1 and not self._fits():
                    self._answers.popitem(last=False)
            self._answers.move_to_end(asked)
            return self._answers[asked]

    def _fits(self) -> bool:
        kept = sum(len(answer.active) for answer in self._answers.values())
        return len(self._answers) <= _KEPT and kept <= _KEPT * MOST

    def _look(
        self, picture: Image.Image, hub: str, concepts: "Sequence[Concept]", numbers: Sequence[int] | None, most: int
    ) -> "_Answer":
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
        z_n = _mean(z_mn)
        if numbers is None:
            numbers = _best(z_n)[:most]
        made = []
        for n in numbers:
            if z_n[n] == -np.inf:
                continue
            best = concepts[n].best
            z_by = _known(list(self.members), z_mn[:, n])
            by_unit = {best[name].address: to_numpy(maps[name][best[name].layer][best[name].unit]) for name in z_by}
            made.append(Active(concepts[n], float(z_n[n]), z_by, by_unit))
        return _Answer(tuple(made), z_mn)

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


def _mean(z_mn: np.ndarray) -> np.ndarray:
    """(n,) mean over the models that have the concept; -inf where none has."""
    known_n = ~np.isnan(z_mn).all(0)
    z_n = np.full(z_mn.shape[1], -np.inf)
    z_n[known_n] = np.nanmean(z_mn[:, known_n], axis=0)
    return z_n


def _best(z_n: np.ndarray) -> list[int]:
    """Concepts of any model, largest z first."""
    return np.argsort(-z_n, kind="stable")[: int((z_n > -np.inf).sum())].tolist()


def _known(names: Sequence[str], z_m: np.ndarray) -> dict[str, float]:
    return {name: float(z) for name, z in zip(names, z_m, strict=True) if not np.isnan(z)}


def _maps(member: Member, picture: Image.Image, layers: Sequence[str]) -> dict[str, torch.Tensor]:
    """(c, h, w) of each layer, on the member's device."""
    if not layers:
        return {}
    with torch.inference_mode():
        pixels = member.prepare(picture)[None].to(member.device)
        return {name: map_bchw[0] for name, map_bchw in member.maps(pixels, layers).items()}
