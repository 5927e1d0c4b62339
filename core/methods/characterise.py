"""What second-order effects are worth: zero-shot accuracy when they are taken away or replaced. Paper N (§4).

The effects of a layer's neurons are a part of the unit representation, Σ_n φ_n(I), of which b_n is each neuron's mean.
Changing them changes the representation, and class text embeddings say what that does to top-1 accuracy:

    all               unit - Σ_n (φ_n - b_n)                   every effect mean-ablated (paper N, figure 3)
    large norm        the same over the neurons whose norm at this image is above their own 98th percentile
    small norm        the same over the others: all - large norm
    first component   unit - Σ_n (φ_n - b_n) + Σ_n x_n r_n     each effect by b_n and its first component (figure 4)
    texts             r̂_n for r_n, its projection on the first m texts that describe it, of norm one (table 1)

With r̂ of norm one and on the side of r, only the direction is the texts'; the coefficient x is the neuron's own.

Letters: i images, n neurons, o joint space, m texts, c classes, w texts of a pool, l layers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.text.zeroshot import binomial_error, zero_shot_accuracy

KINDS = ("all", "large norm", "small norm", "first component")
NONE, TEXTS = "none", "texts"
_IMAGES = 4096  # at a time: x of these and of all neurons is 50 MB at 3,072 neurons
_NEURONS = 256  # at a time: their texts' atoms are 134 MB in float64 at m = 128, o = 512


class Effects(NamedTuple):
    """What the neurons of one layer add to each image, less its mean: `total_io` Σ_n (φ_n - b_n), `active_io` the same
    over the neurons whose norm is large at this image, `x_ni` coefficients over `scale_n`, `direction_no` r."""

    total_io: np.ndarray
    active_io: np.ndarray
    x_ni: np.ndarray
    scale_n: np.ndarray
    direction_no: np.ndarray


@dataclass(frozen=True)
class Accuracy:
    """Zero-shot top-1 accuracy over `images` when one thing is changed: `kind` of KINDS, NONE or TEXTS; `layer` the
    layer of neurons, None for all analysed layers together; `texts` a neuron, of `pool`, None for other kinds."""

    kind: str
    layer: int | None
    top1: float
    images: int
    texts: int | None = None
    pool: str | None = None

    @property
    def standard_error(self) -> float:
        """Binomial, of one accuracy: √(p (1 - p) / images). Two rows are of the same images, so their difference is
        known better than two such errors suggest."""
        return binomial_error(self.top1, self.images)


@dataclass(frozen=True)
class Labelled:
    """The images that are judged: their unit representations, class numbers (none negative), class text embeddings."""

    unit_io: np.ndarray
    label_i: np.ndarray
    classes_co: np.ndarray

    def accuracy(self, change_io: np.ndarray | float, kind: str, layer: int | None, *texts: object) -> Accuracy:
        """Top-1 of unit + change; a representation that is no longer of norm one has the same nearest class."""
        changed_io = np.asarray(self.unit_io, np.float32) + change_io
        found = zero_shot_accuracy(changed_io, self.label_i, self.classes_co)
        return Accuracy(kind, layer, found["top1"], found["n"], *texts)  # type: ignore[arg-type]


def characterise(labelled: Labelled, layers: Iterable[tuple[int | None, Effects]]) -> list[Accuracy]:
    """The base accuracy, then every one of KINDS for each layer by itself, then for all of them together (layer None).
    A layer without a number is all there is: its rows are those of all together.

    ValueError where shapes don't fit. Layers are asked for one after another, and only sums (i, o) are kept.
    """
    rows = [labelled.accuracy(0, NONE, None)]
    together = {kind: np.zeros(labelled.unit_io.shape, np.float32) for kind in KINDS}
    for layer, effects in layers:
        for kind, change_io in _changes(effects):
            if layer is not None:
                rows.append(labelled.accuracy(change_io, kind, layer))
            together[kind] += change_io
    return rows + [labelled.accuracy(change_io, kind, None) for kind, change_io in together.items()]


def characterise_texts(
    labelled: Labelled,
    layers: Iterable[tuple[int | None, Effects, Tensor]],
    atoms_wo: Tensor,
    counts: Sequence[int],
    pool: str,
) -> list[Accuracy]:
    """First components along what m texts make of their directions, for each m of `counts`: by layer, then for all.

    Each layer comes with `index_nm`, the texts of each neuron in the order they were chosen, as
    `core.methods.sparse_text.pursue` gives them; counts beyond its width take all there are. `atoms_wo` are the texts.
    """
    rows = []
    together_mio = np.zeros((len(counts), *labelled.unit_io.shape), np.float32)
    for layer, effects, index_nm in layers:
        rebuilt_mno = reconstructions(torch.from_numpy(np.array(effects.direction_no)), atoms_wo, index_nm, counts)
        for at, (count, rebuilt_no) in enumerate(zip(counts, rebuilt_mno, strict=True)):
            change_io = along(effects, rebuilt_no.numpy()) - effects.total_io.astype(np.float32)
            if layer is not None:
                rows.append(labelled.accuracy(change_io, TEXTS, layer, count, pool))
            together_mio[at] += change_io
    return rows + [
        labelled.accuracy(change_io, TEXTS, None, count, pool)
        for count, change_io in zip(counts, together_mio, strict=True)
    ]


def along(effects: Effects, direction_no: np.ndarray) -> np.ndarray:
    """Σ_n x_n times a direction for each neuron, (i, o) fp32; a few thousand images at a time."""
    scaled_no = direction_no.astype(np.float32) * effects.scale_n[:, None].astype(np.float32)
    starts = range(0, effects.x_ni.shape[1], _IMAGES)
    return np.concatenate([effects.x_ni[:, i : i + _IMAGES].astype(np.float32).T @ scaled_no for i in starts])


def reconstructions(directions_no: Tensor, atoms_wo: Tensor, index_nm: Tensor, counts: Sequence[int]) -> Tensor:
    """Projections of directions on the first m of their texts, of norm one: (len(counts), n, o) fp32.

    `index_nm` rows of `atoms_wo`, -1 for none. Every m at once, from one QR of a neuron's texts in the order of choice.
    A direction that its texts say nothing of gets zero.
    """
    parts = [
        _projections(directions_no[start : start + _NEURONS].double(), atoms_wo, part_nm, counts)
        for start, part_nm in zip(range(0, len(index_nm), _NEURONS), index_nm.split(_NEURONS), strict=True)
    ]
    return torch.cat(parts, dim=1)


def _projections(directions_no: Tensor, atoms_wo: Tensor, index_nm: Tensor, counts: Sequence[int]) -> Tensor:
    given_nm = (index_nm >= 0).double()
    picked_nom = (atoms_wo[index_nm.clamp_min(0)].double() * given_nm[..., None]).mT
    basis_nom = torch.linalg.qr(picked_nom).Q
    # of a text that is not there, QR makes up a column
    along_nm = torch.einsum("nom,no->nm", basis_nom, directions_no) * given_nm[:, : basis_nom.shape[-1]]
    projected_cno = [torch.einsum("nom,nm->no", basis_nom[..., :m], along_nm[:, :m]) for m in counts]
    return torch.stack([torch.nn.functional.normalize(p_no, eps=1e-12) for p_no in projected_cno]).float()


def _changes(effects: Effects) -> Iterator[tuple[str, np.ndarray]]:
    """(kind, what to add to the representation), in the order of KINDS."""
    total_io, active_io = effects.total_io.astype(np.float32), effects.active_io.astype(np.float32)
    yield "all", -total_io
    yield "large norm", -active_io
    yield "small norm", active_io - total_io
    yield "first component", along(effects, effects.direction_no) - total_io
