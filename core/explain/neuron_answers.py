"""The answers about one image's MLP neurons: frozen and of NumPy arrays (see `NeuronExplainer`)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RankedNeuron:
    """A neuron in an image: ‖φ - b‖ `norm` and coefficient x there, the norm over the neuron's threshold (above 1 it is
    active), its largest activation over tokens, and, with a prompt, `effect`: ⟨φ, t⟩, what its second-order effect adds
    to the prompt's cosine, and `less_mean`: ⟨φ - b, t⟩, what of it is this image's own."""

    address: str
    label: str
    norm: float
    coefficient: float
    over_threshold: float
    activation: float
    effect: float | None = None
    less_mean: float | None = None


@dataclass(frozen=True)
class ActivationMap:
    """A neuron's activation at every patch, (rows, columns), and at the class token; `mean` over all tokens."""

    address: str
    value_yx: np.ndarray
    class_token: float
    mean: float


@dataclass(frozen=True)
class Effects:
    """One neuron and one prompt, all as summands of the cosine: `direct` what it writes at the class token itself (None
    in a ResNet, where heads alone read neurons), `second_order` what later heads carry, `indirect` what is lost when
    its activation is replaced by its mean and the model run on; each less its mean over the bundle's images where it
    has one (`direct` has none stored)."""

    address: str
    prompt: str
    direct: float | None
    second_order: float
    second_order_mean: float
    indirect: float
    by_head: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class DiscoveredConcept:
    """A text with its weight in an image, Σ over active neurons of coefficient · ‖φ‖ (paper N, A.5), and the neurons
    that pull to it: (address, what each adds), the largest first."""

    text: str
    weight: float
    neurons: tuple[tuple[str, float], ...]
