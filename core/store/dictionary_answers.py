"""The plain answers of `core.store.dictionary.Dictionary`."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LayerInfo:
    """One compared layer of a member: `first` the row of its first unit, `depth` above 0 to 1 (the last block)."""

    name: str
    first: int
    units: int
    height: int
    width: int
    depth: float


@dataclass(frozen=True)
class MemberInfo:
    """One model. `units` in all, of which `alive` vary at all; `facts` as rosetta.json records them."""

    name: str
    family: str
    training: str
    layers: tuple[LayerInfo, ...]
    clip: bool
    random_weights: bool
    weights_digest: str
    licence: str
    units: int
    alive: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class Label:
    """The text that a concept's activation follows most closely over half of the images, as the CLIP members read them;
    `r` its Pearson correlation with the activation over the other half."""

    text: str
    r: float


@dataclass(frozen=True)
class ConceptUnit:
    """A unit of a concept. `partner` is the address of the hub unit it is matched with, at correlation `r`, `null` what
    chance gives; None and NaN for the hub's own units, whose r is their largest."""

    address: str
    member: str
    layer: str
    unit: int
    row: int
    partner: str | None
    r: float
    null: float


@dataclass(frozen=True)
class Concept:
    """A concept of one hub, named by the `address` of its strongest hub unit. `strength` mean over the other members of
    their best r above the null; `models` members that share it, hub included; `row` its position in the dictionary."""

    address: str
    hub: str
    label: Label | None
    strength: float
    models: int
    members: tuple[ConceptUnit, ...]
    images: tuple[int, ...]
    row: int

    @property
    def best(self) -> dict[str, ConceptUnit]:
        """Of each member with a unit in it, the one farthest above the null; of the hub the one that names the
        concept. The strength is the mean of their distances, 0 for a member without one."""
        found: dict[str, ConceptUnit] = {}
        for unit in self.members:  # of the hub's, the first names it
            known = found.get(unit.member)
            if known is None or unit.r - unit.null > known.r - known.null:
                found[unit.member] = unit
        return found


@dataclass(frozen=True)
class UnitText:
    """A text that describes a CLIP unit. `how` "second-order direction", "pool direction" or "map"; `value` a cosine,
    or for a map a correlation."""

    text: str
    how: str
    value: float


@dataclass(frozen=True)
class DictionaryImage:
    """One of the images used. `columns` are the manifest's own."""

    image: int
    path: str
    label: str | None
    width: int
    height: int
    columns: dict[str, Any]


@dataclass(frozen=True, eq=False)
class LayerShare:
    """What one layer of a member has in common with another member.

    `alive` units of which `partnered` have a mutual nearest neighbour there above the null: `share` of them.
    `median_r` over alive units of their best correlation there, NaN without any. `partner_depth` the depth of each
    partnered unit's best partner.
    """

    layer: str
    depth: float
    units: int
    alive: int
    partnered: int
    share: float
    median_r: float
    partner_depth: np.ndarray
