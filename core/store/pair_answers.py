"""The store's answers about neuron-head pairs: frozen, plain, every statistic with its population (see `PairTable`).

A pair adds s·D = s·length·d̂ to the unit representation; its coefficient x = (s - mean s)·length says how far it moves
an image along its unit direction d̂ from where it moves images on average.
"""

from dataclasses import dataclass

import numpy as np

from core.store.answers import Hit, Population


@dataclass(frozen=True)
class PairSummary:
    """One pair. `label` its first texts with their signs, "" if it is not among the described ones; `std` of its
    coefficient; `score` the mean of its `largest` largest |x|, `rank` its place by that among the `pairs` of the bundle
    (1 is first); `share` of its neuron's whole effect; `length` of its direction in weights, signed. `inertia` of its
    own first images and `neuron_inertia` of its neuron's: summed squared distances to their mean."""

    address: str
    neuron: str
    head: str
    label: str
    neuron_label: str
    std: float
    score: float
    rank: int
    pairs: int
    share: float
    length: float
    inertia: float
    neuron_inertia: float
    largest: int
    inertia_images: int
    population: Population

    @property
    def tightness(self) -> float:
        """How much closer together its images are than its neuron's: 1 - inertia / neuron_inertia."""
        return 1 - self.inertia / self.neuron_inertia if self.neuron_inertia > 0 else 0.0


@dataclass(frozen=True)
class PairColumns:
    """Every pair whose head is later than its neuron, best score first. `row_p` its flat row (layer position, neuron,
    head), and for each the layer position, neuron and head `layer_p`, `neuron_p`, `head_p`, and its numbers (see
    PairSummary)."""

    row_p: np.ndarray
    layer_p: np.ndarray
    neuron_p: np.ndarray
    head_p: np.ndarray
    score_p: np.ndarray
    std_p: np.ndarray
    share_p: np.ndarray
    inertia_p: np.ndarray
    neuron_inertia_p: np.ndarray
    population: Population

    @property
    def tightness_p(self) -> np.ndarray:
        """As PairSummary.tightness; NaN where the neuron has no inertia."""
        whole_p = np.where(self.neuron_inertia_p > 0, self.neuron_inertia_p, np.nan)
        return np.asarray(1 - self.inertia_p / whole_p)


@dataclass(frozen=True)
class PairRow:
    """One pair in a list; `cosine` with what was asked for, None where nothing was."""

    address: str
    neuron: str
    head: str
    label: str
    score: float
    std: float
    share: float
    tightness: float
    cosine: float | None = None


@dataclass(frozen=True)
class SubConcept:
    """A part of a neuron's concept: one of its pairs, whose images are a tighter cluster inside it (see
    `core.methods.sub_concepts`), with its label, the parts of its score, and its first images."""

    address: str
    head: str
    label: str
    score: float
    tightness: float
    inside: float
    share: float
    images: tuple[Hit, ...]
