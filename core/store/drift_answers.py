"""The answers of `core.store.drift`: frozen, plain, each with its population."""

from dataclasses import dataclass

import numpy as np

from core.methods.drift import Followed
from core.store.answers import Population


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
class FollowedText(Followed):
    """A text's share over groups of images; see `Followed`."""

    scores: DriftScores
