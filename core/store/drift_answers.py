"""The answers of `core.store.drift`: frozen, plain, each with its population."""

from dataclasses import dataclass

import numpy as np

from core.methods.drift import GroupMeans
from core.store.answers import Population
from core.store.grouping import Grouping, Truth


@dataclass(frozen=True)
class DriftPair:
    """One of the pairs that stand for a text: `cosine` of its unit direction with it, `label` the texts it was
    described by."""

    address: str
    neuron: str
    head: str
    label: str
    cosine: float


@dataclass(frozen=True)
class DriftScores:
    """`share_i` of the images `id_i` (ascending): what the text's pairs write together, over the norm of the
    representation."""

    pairs: tuple[DriftPair, ...]
    id_i: np.ndarray
    share_i: np.ndarray
    population: Population


@dataclass(frozen=True)
class Followed:
    """A text's share over groups of images, and how it goes with a truth about them, if one is known.

    `share` and `true` are means by group over the same images where there is a truth: those that have a group and a
    truth; `left_out` have not. `point_biserial` correlation of share and truth over `images`, of which `showing` are
    true; `by_group` correlation of the groups' means, over the `groups` that have images. NaN where unknown.
    """

    scores: DriftScores
    grouping: Grouping
    truth: Truth | None
    share: GroupMeans
    true: GroupMeans | None
    images: int
    left_out: int
    showing: int
    point_biserial: float
    by_group: float
    groups: int
