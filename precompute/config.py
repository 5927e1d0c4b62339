"""What a run is asked to do.

`Settings` change the numbers, and so the bundle's id; `Resources` change only the speed.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.images import DecodePolicy
from core.methods.layernorm import Convention

QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
DEFAULT_NEURON_LAYERS = 3
DEFAULT_LAYERS = 4  # the last four carry nearly all direct effects in paper H (its figure 2.2)


@dataclass(frozen=True)
class Settings:
    """Everything beside model and images that decides what stands in a bundle.

    `layers` attention layers to split into heads (None: the last four); `picks` texts a head; `top_images` kept at each
    end of each text; `shard` images a shard and `batch` images a forward pass (both fixed, so that one machine and many
    give the same bytes); `thumb` longest side of a thumbnail, px; `index` "exact" (fp16 flat) or "sq8".
    `neuron_layers` layers whose MLP neurons are analysed (None: the three of most second-order effect; empty: none),
    over at most `neuron_images` images spread evenly; a direction is from the `neuron_largest` images of largest effect
    (paper N, §4.3) and described by `neuron_texts` texts. With `pairs` the neurons' pairs with later heads are measured
    too, and the `pair_texts` of largest score described by as many texts.
    """

    layers: tuple[int, ...] | None = None
    layernorm: Convention = Convention.OWN
    pool: str = "general"
    picks: int = 60
    top_images: int = 24
    templates: str = "simple"
    class_names: str | None = None
    batch: int = 32
    shard: int = 512
    thumb: int = 128
    index: str = "exact"
    neuron_layers: tuple[int, ...] | None = None
    neuron_images: int = 10_000
    neuron_largest: int = 100
    neuron_texts: int = 32
    pairs: bool = True
    pair_texts: int = 3_000
    policy: DecodePolicy = field(default_factory=DecodePolicy)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; the text pool and class names enter the id by their contents, not their paths."""
        plain = asdict(self) | {"policy": self.policy.to_dict(), "layernorm": str(self.layernorm)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


@dataclass(frozen=True)
class ModelChoice:
    """Which model to load, as `core.models.load.load_model` takes it."""

    name: str
    pretrained: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    activation: str | None = None
    allow_random_weights: bool = False


@dataclass(frozen=True)
class Resources:
    """How much of the machine to use. `part` (i, n) takes every n-th shard, from the i-th (0-based)."""

    jobs: int = 1
    threads: int = 2
    part: tuple[int, int] | None = None
    cache: Path | None = None
    progress: bool = True
