"""The answers of the store: frozen, plain, and every statistic with its population.

Scores ⟨c, t⟩ are in units of the cosine between an image and a text: what one head adds to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Population:
    """What a number is over: `looked_at` images, of the `images` that could be used."""

    looked_at: int
    images: int

    def __str__(self) -> str:
        if self.looked_at == self.images:
            return f"of {self.images:,} images"
        return f"of {self.looked_at:,} images, spread evenly over {self.images:,}"


@dataclass(frozen=True)
class Facts:
    """What the bundle is. `pretrained` None for random weights; `layers` the analysed ones, (None,) for a ResNet's
    pool; `zero_shot` with top1, top5 (shares), images, classes, templates, or None without classes."""

    bundle: str
    created: str
    command: str
    model: str
    pretrained: str | None
    random_weights: bool
    tower: str
    precision: str
    activation: str
    layernorm: str
    weights_digest: str
    probe: tuple[float, ...]
    data: str
    pool: str
    pool_texts: int
    images: int
    ok: int
    quarantined: int
    layers: tuple[int | None, ...]
    model_layers: int
    heads: int
    head_width: int
    out: int
    worst_residual: float
    residual_tolerance: float
    zero_shot: Mapping[str, Any] | None
    versions: Mapping[str, str]

    @property
    def weights(self) -> str:
        """In words, for footers."""
        return "random weights" if self.random_weights else self.pretrained or "own weights"


@dataclass(frozen=True)
class HeadSummary:
    """One cell of the grid. `layer` its number in the model (None in a ResNet's pool), `row` its position among the
    analysed ones; `label` its first texts, shortened; `share` of the output's variance, `variance` its own,
    `explained` the fraction of it that all its texts explain. Population: all ok images."""

    address: str
    layer: int | None
    row: int
    head: int
    label: str
    texts: tuple[str, ...]
    share: float
    variance: float
    explained: float


@dataclass(frozen=True)
class Grid:
    """A measure over all heads. `value_lh`; `note_lh` a word on each cell ("beach") or None; `unit` "" if none."""

    measure: str
    title: str
    description: str
    unit: str
    value_lh: np.ndarray
    note_lh: tuple[tuple[str, ...], ...] | None
    population: Population


@dataclass(frozen=True)
class TextLabel:
    """A text TextSpan chose. `pick` 0 is the first choice; `row` in the pool; `explained` the fraction of the head's
    variance that it adds, `cumulative` up to and with it; of the score ⟨c, t⟩ `mean` and `std`, and its `quantiles`
    (level, value), which are empty for texts relabelled live."""

    pick: int
    row: int
    text: str
    explained: float
    cumulative: float
    mean: float
    std: float
    quantiles: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class HeadAnswer:
    """A head and its texts; `norm_quantiles` of ‖c‖ as (level, value)."""

    summary: HeadSummary
    texts: tuple[TextLabel, ...]
    norm_quantiles: tuple[tuple[float, float], ...]
    population: Population


@dataclass(frozen=True)
class Baseline:
    """What a head's texts are to be measured against: fractions of its variance, together, for the first m + 1 of them.

    `random_m` texts drawn from the pool by chance, without repeats, and projected out one after the other like
    TextSpan's: the mean of `draws` draws that are the same for every head and every time; `low_m` and `high_m` the
    least and the most of any draw. `best_m` principal components: no directions explain more. A head writes into
    `dimensions`, so as many texts as that reach 1 whatever they say. Population: all ok images.
    """

    random_m: np.ndarray
    low_m: np.ndarray
    high_m: np.ndarray
    best_m: np.ndarray
    draws: int
    pool_texts: int
    dimensions: int
    population: Population


@dataclass(frozen=True)
class Hit:
    """An image with its score, and the near-duplicates that were folded into it."""

    image_id: int
    score: float
    folded: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ends:
    """The images at both ends of a score, most extreme first. Two images whose representations, less their mean over
    the bundle, have a cosine above `fold_above` are shown once."""

    plus: tuple[Hit, ...]
    minus: tuple[Hit, ...]
    fold_above: float
    population: Population


@dataclass(frozen=True)
class Interval:
    """The images with scores from `low` to `high`, the quantile levels of these; `count` of those looked at, and a
    few of them, at random but always the same, by falling score."""

    low: float
    high: float
    low_level: float
    high_level: float
    count: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Intervals:
    """Quantile intervals of a score, the highest first; their counts sum to `population.looked_at`."""

    rows: tuple[Interval, ...]
    population: Population

    def sentence(self, row: Interval) -> str:
        """ "of 50,000 images, 4.9 %" """
        return f"{self.population}, {row.count / max(1, self.population.looked_at):.1%}"


@dataclass(frozen=True)
class Histogram:
    """Counts between `edge_b` (one more than counts)."""

    edge_b: np.ndarray
    count_b: np.ndarray
    mean: float
    std: float
    population: Population


@dataclass(frozen=True)
class Neighbours:
    """Images alike, nearest first. `measure` says in words what a hit's score is."""

    hits: tuple[Hit, ...]
    measure: str
    population: Population


@dataclass(frozen=True)
class TextScore:
    """A head for a text: `mean` and `std` of ⟨c, t⟩ over the images."""

    address: str
    label: str
    mean: float
    std: float


@dataclass(frozen=True)
class Relabelled:
    """A head with texts from another pool beside the stored ones. `changed`: the first text is another one."""

    address: str
    texts: tuple[TextLabel, ...]
    before: tuple[TextLabel, ...]
    changed: bool

    @property
    def explained(self) -> float:
        """By the new texts together."""
        return self.texts[-1].cumulative if self.texts else 0.0

    @property
    def explained_before(self) -> float:
        """By as many of the stored ones."""
        kept = self.before[: len(self.texts)]
        return kept[-1].cumulative if kept else 0.0


@dataclass(frozen=True)
class Part:
    """A summand of the representation other than a head. `kind`: embedding, attention, mlp, bias or offset."""

    name: str
    kind: str
    layer: int | None
    mean_norm: float
    share: float


@dataclass(frozen=True)
class Ablation:
    """Zero-shot top-1 accuracy when some parts are replaced by their means over the data set (paper H, §3.3).

    `kind`: "none", "mlps" (all of them), "attention" (of layers 0 to `layer`, with those before).
    """

    kind: str
    layer: int | None
    top1: float
    images: int


@dataclass(frozen=True)
class Characterised:
    """Zero-shot top-1 accuracy over `images` when the second-order effects of neurons are changed (paper N, §4).

    `kind`: "none"; "all", "large norm" or "small norm" of them mean-ablated; "first component" in their stead; "texts",
    that component along `texts` texts of `pool`. `layer` None: all analysed layers together. `error` binomial.
    """

    kind: str
    layer: int | None
    texts: int | None
    pool: str | None
    top1: float
    error: float
    images: int


@dataclass(frozen=True)
class Sparse:
    """Zero-shot top-1 accuracy over `images` with few pairs, neurons or heads, or with simpler ones (paper P).

    `kind`: "none"; "all" that the neurons write through heads mean-ablated; "kept", all but the best `amount` % of
    `unit`, which are `units`; "components" or "texts", `amount` of them in place of each of `unit`; where `units` is
    given, of so many of the best, all others mean-ablated. `layer` None: all analysed layers together.
    """

    kind: str
    unit: str | None
    layer: int | None
    amount: float | None
    units: int | None
    pool: str | None
    top1: float
    images: int
    error: float


@dataclass(frozen=True)
class ImageInfo:
    """An image of the bundle. `columns` are the manifest's own; width and height in pixels, None where unknown."""

    image_id: int
    path: str
    label: str | None
    width: int | None
    height: int | None
    status: str
    columns: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        return self.status == "ok"


@dataclass(frozen=True)
class ImagePage:
    """Some ids of the `total` images that match, from `offset`; `of` all images of the bundle."""

    ids: tuple[int, ...]
    offset: int
    total: int
    of: int
