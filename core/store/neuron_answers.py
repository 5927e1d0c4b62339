"""The store's answers about MLP neurons: frozen, plain, every statistic with its population (see `NeuronTable`).

Effects, norms and coefficients are in units of the unit representation: a coefficient of 0.01 moves the cosine with a
text along the neuron's direction by 0.01.
"""

from dataclasses import dataclass

import numpy as np

from core.store.answers import Hit, Population


@dataclass(frozen=True)
class NeuronSummary:
    """One neuron. `label` its first texts with their signs, shortened; `std` of its coefficient; `explained` of
    Σ‖φ - b‖² over its images of largest norm by its direction, `explained_all` over all measured images; `threshold` of
    being active; `share_above` of images above the layer's common threshold; `concepts` among its largest images."""

    address: str
    layer: int | None
    neuron: int
    label: str
    std: float
    explained: float
    explained_all: float
    threshold: float
    share_above: float
    concepts: int
    activation_mean: float
    mean_norm: float
    population: Population


@dataclass(frozen=True)
class NeuronColumns:
    """The same of every neuron, as columns in the order of layers and neurons: what a table sorts and filters."""

    address: tuple[str, ...]
    layer: np.ndarray
    neuron: np.ndarray
    label: tuple[str, ...]
    std: np.ndarray
    explained: np.ndarray
    share_above: np.ndarray
    concepts: np.ndarray
    population: Population


@dataclass(frozen=True)
class SparseTerm:
    """One text of a sparse decomposition, with its coefficient: r ≈ Σ coefficient · text (centred, norm one)."""

    row: int
    text: str
    coefficient: float


@dataclass(frozen=True)
class SparseLabel:
    """A direction as a signed sum of texts, in order of choice; `left_m` the share of its squared norm that is left
    after the first 1, 2, … of them."""

    address: str
    terms: tuple[SparseTerm, ...]
    left_m: np.ndarray


@dataclass(frozen=True)
class RelabelledNeuron:
    """A neuron by another pool, beside its stored label; `changed` if the first text differs."""

    after: SparseLabel
    before: SparseLabel
    changed: bool


@dataclass(frozen=True)
class Carrier:
    """A later head, and the share of the coefficient's variance that goes through it (all carriers together: 1)."""

    address: str
    share: float


@dataclass(frozen=True)
class WritingNeuron:
    """A neuron that writes through a head: `share` of its coefficient's variance that goes through it, and `carried`,
    that share of its coefficient's standard deviation."""

    address: str
    label: str
    share: float
    carried: float


@dataclass(frozen=True)
class SimilarNeuron:
    """A neuron whose direction is alike: `cosine` may be negative, for one that writes the opposite."""

    address: str
    label: str
    cosine: float


@dataclass(frozen=True)
class Concept:
    """One cluster among a neuron's images of largest norm, by their representations; `number` None: strays."""

    number: int | None
    images: tuple[Hit, ...]


@dataclass(frozen=True)
class ActiveNeuron:
    """A neuron that is active in an image: ‖φ - b‖ and coefficient there, and the norm over its threshold."""

    address: str
    label: str
    norm: float
    coefficient: float
    over_threshold: float
