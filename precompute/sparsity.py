"""How few pairs, neurons or heads a representation needs, and how simple they are (paper P, figures 1 and 2, table 1).

Zero-shot accuracy when all but the best x % of the neuron-head pairs are replaced by their means, or all but that share
of neurons, or of heads; when neurons are rebuilt from their first components, and pairs from theirs. All of it comes
from the kept scalars s, without a pass of the model: what is taken away is Σ (s - s̄) D over what is not kept, and the
rest of the representation stays as it is. In a ResNet that rest is a constant. In a ViT it is all that does not go from
these neurons through later heads: so numbers of the two families are not alike.

Units are kept by the mean of their largest centred norms, a neuron's or head's being that of its pairs' sum.
Letters as in `core.methods.pair_ablation`; i measured images, c classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from core.bundle import schema
from core.bundle.write import BundleWriter
from core.methods.neuron_head import NeuronHead
from core.methods.pair_ablation import (
    Components,
    components,
    head_norms,
    head_values,
    kept_heads,
    kept_pairs,
    write,
)
from core.methods.pair_scores import LARGEST, fit_pairs, mask_percentile
from core.text.zeroshot import binomial_error
from precompute.characterise import Source, labels

KEEP = (50.0, 20.0, 10.0, 5.0, 2.0, 1.0)
COMPONENTS = (1, 2, 4, 8)
_ENTRIES = 2**22  # numbers of s looked at a time: 16 MB, of which a dozen copies are made
Seen = Callable[[int], None]


class Scalars(Protocol):
    """Kept scalars s of all neurons; `precompute.neurons.MeasuredNeurons` is one."""

    factor: float

    def scalars(self, layer: int, neurons: slice) -> np.ndarray:
        """(n, i, m) fp32 of some neurons."""

    def shards(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        """All neurons, some images at a time: which, and s · factor (n, i, m)."""


@dataclass(frozen=True)
class Judged:
    """The measured images: unit representations (any float type), class numbers (-1: not judged, but counted in means
    and scores), class text embeddings."""

    unit_io: np.ndarray
    label_i: np.ndarray
    classes_co: np.ndarray


@dataclass(frozen=True)
class Grid:
    """`keep` percentages of units, `components` of a neuron."""

    keep: tuple[float, ...] = KEEP
    components: tuple[int, ...] = COMPONENTS


GRID = Grid()


class Change(NamedTuple):
    """What is done to a representation. `kind`: "none"; "all", everything mean-ablated; "kept", all but `amount` % of
    `unit`; "components" or "texts", every unit rebuilt from `amount` of them. `units` are kept of all there are."""

    kind: str
    unit: str | None = None
    amount: float | None = None
    units: int | None = None
    pool: str | None = None


NONE, ALL = Change("none"), Change("all")


@dataclass(frozen=True)
class Row:
    """Zero-shot top-1 accuracy over `images` under a change; `layer` of the neurons, None for all together and for a
    ResNet's only one."""

    change: Change
    layer: int | None
    top1: float
    images: int

    @property
    def standard_error(self) -> float:
        return binomial_error(self.top1, self.images)


class LayerFit:
    """One layer's means, scores and components over all measured images.

    `pair_score_nm` where it is known already, as `core.methods.pair_scores.fit_pairs` gives it.
    """

    def __init__(
        self,
        lens: NeuronHead,
        kept: Scalars,
        images: int,
        grid: Grid,
        pair_score_nm: np.ndarray | None = None,
        seen: Seen = lambda n: None,
    ) -> None:
        self.lens, self.grid, self.images = lens, grid, images
        n, m = lens.neurons, len(lens.pairs)
        self.largest = min(LARGEST, images)
        self.mean_nm = np.zeros((n, m), np.float32)
        self.length_nm = lens.lengths_nm.cpu().numpy()
        self.neuron_score_n = np.zeros(n, np.float32)
        self.pair_score_nm = np.zeros((n, m), np.float32) if pair_score_nm is None else pair_score_nm
        top_nim = np.zeros((n, self.largest, m), np.float32)
        reduce_ncm = lens.reduce_ncm.cpu().numpy()
        for part in self.parts():
            s_nim = kept.scalars(lens.layer, part)
            mean_nm = s_nim.mean(1, dtype=np.float64)
            if pair_score_nm is None:
                self.pair_score_nm[part] = fit_pairs(s_nim, mean_nm, self.length_nm[part], self.largest).score_nm
            centred_nim = s_nim - mean_nm[:, None].astype(np.float32)
            norm_ni = np.linalg.norm(centred_nim @ reduce_ncm[part].transpose(0, 2, 1), axis=-1)
            top_nk = np.argpartition(norm_ni, images - self.largest, axis=1)[:, images - self.largest :]
            self.neuron_score_n[part] = np.take_along_axis(norm_ni, top_nk, axis=1).mean(1)
            top_nim[part] = np.take_along_axis(centred_nim, top_nk[..., None], axis=1)
            self.mean_nm[part] = mean_nm
            seen(len(s_nim))
        most = max(grid.components, default=1)
        self.components: Components = components(torch.from_numpy(top_nim).to(self.device), lens.reduce_ncm, most)
        blocks = self.blocks(kept, max(1, _ENTRIES // self.mean_nm.size))
        norm_im = torch.cat([head_norms(self.values(centred_bnm), lens.writer_mok) for _, centred_bnm in blocks])
        self.head_score_m = norm_im.topk(self.largest, dim=0).values.mean(0).cpu().numpy()

    @property
    def device(self) -> torch.device:
        return self.lens.value_nmk.device

    def parts(self) -> Iterator[slice]:
        """Neurons read at a time."""
        n, m = self.mean_nm.shape
        step = max(1, _ENTRIES // max(1, self.images * m))
        return (slice(start, min(start + step, n)) for start in range(0, n, step))

    def blocks(self, kept: Scalars, step: int) -> Iterator[tuple[slice, Tensor]]:
        """At most `step` images at a time: which, and s - s̄ (b, n, m)."""
        for shard, raw_nim in kept.shards(self.lens.layer):
            for start in range(0, raw_nim.shape[1], step):
                s_nbm = raw_nim[:, start : start + step].astype(np.float32) / np.float32(kept.factor)
                s_nbm -= self.mean_nm[:, None]
                first = shard.start + start
                block = slice(first, first + s_nbm.shape[1])
                yield block, torch.from_numpy(s_nbm).to(self.device).transpose(0, 1)

    def values(self, centred_bnm: Tensor) -> Tensor:
        return head_values(centred_bnm, self.lens.value_nmk)

    def changes(self, centred_bnm: Tensor) -> Iterator[tuple[Change, Tensor]]:
        """Every change of the grid, and what it adds to the representation (b, o)."""
        value_nmk, writer_mok = self.lens.value_nmk, self.lens.writer_mok
        value_bmk = self.values(centred_bnm)
        all_bo = write(value_bmk, writer_mok)
        yield ALL, -all_bo
        scores = {"pairs": self.pair_score_nm, "neurons": self.neuron_score_n[:, None], "heads": self.head_score_m}
        for unit, score in scores.items():
            masks = [torch.from_numpy(mask_percentile(score, 100 - percent)) for percent in self.grid.keep]
            here = [mask.to(self.device) for mask in masks]
            if unit == "heads":
                sums_rbo = kept_heads(value_bmk, writer_mok, here)
            else:
                sums_rbo = kept_pairs(centred_bnm, value_nmk, writer_mok, here)
            for percent, mask, sum_bo in zip(self.grid.keep, masks, sums_rbo, strict=True):
                yield Change("kept", unit, percent, int(mask.sum())), sum_bo - all_bo
        counts = self.grid.components
        for count, rebuilt_bnm in zip(counts, self.components.rebuilt(centred_bnm, counts), strict=True):
            yield Change("components", "neurons", count), write(self.values(rebuilt_bnm), writer_mok) - all_bo
        # a pair's one component: its coefficient times its unit direction, in its head's coordinates
        x_bnm = centred_bnm * self.lens.lengths_nm
        yield Change("components", "pairs", 1), write(head_values(x_bnm, self.unit_nmc), self.lens.basis_mok) - all_bo

    @cached_property
    def unit_nmc(self) -> Tensor:
        """d̂ of every pair, in its head's coordinates; zeros for a pair that writes nothing."""
        return torch.nn.functional.normalize(self.lens.coords(self.lens.basis_mok), dim=-1)


class Tally:
    """How often a changed representation is nearest to its class. Of equal scores the earlier class wins."""

    def __init__(self, judged: Judged) -> None:
        self._weights_oc = np.asarray(judged.classes_co, np.float32).T
        self._judged = judged
        self._right: dict[tuple[Change, int | None], int] = {}
        self.images = int((judged.label_i >= 0).sum())

    def add(self, change: Change, layer: int | None, images: slice, change_bo: Tensor | float) -> None:
        label_b = self._judged.label_i[images]
        moved_bo = change_bo.cpu().numpy() if isinstance(change_bo, Tensor) else change_bo
        changed_bo = np.asarray(self._judged.unit_io[images], np.float32) + moved_bo
        right = ((changed_bo @ self._weights_oc).argmax(1) == label_b)[label_b >= 0].sum()
        self._right[change, layer] = self._right.get((change, layer), 0) + int(right)

    def rows(self) -> list[Row]:
        return [Row(change, layer, right / self.images, self.images) for (change, layer), right in self._right.items()]


def sparsity(fits: Sequence[LayerFit], kept: Scalars, judged: Judged, seen: Seen = lambda n: None) -> list[Row]:
    """Every change, by layer and then of all layers together. `seen` is told of images done. ValueError where no
    measured image has a class."""
    tally, step = Tally(judged), max(1, _ENTRIES // max(fit.mean_nm.size for fit in fits))
    if not tally.images:
        raise ValueError("no measured image has a class, so there is no accuracy")
    for blocks in zip(*(fit.blocks(kept, step) for fit in fits), strict=True):
        images = blocks[0][0]
        tally.add(NONE, None, images, 0)
        changes = [fit.changes(centred_bnm) for fit, (_, centred_bnm) in zip(fits, blocks, strict=True)]
        for same in zip(*changes, strict=True):
            for fit, (change, change_bo) in zip(fits, same, strict=True):
                tally.add(change, layer_number(fit), images, change_bo)
            if len(fits) > 1:
                units = None if same[0][0].units is None else sum(change.units or 0 for change, _ in same)
                tally.add(
                    same[0][0]._replace(units=units), None, images, torch.stack([each for _, each in same]).sum(0)
                )
        seen(images.stop - images.start)
    return tally.rows()


def layer_number(fit: LayerFit) -> int | None:
    """None for a ResNet's only layer."""
    return None if fit.lens.tower.kind == "resnet" else fit.lens.layer


def fitted(
    lenses: Sequence[NeuronHead],
    kept: Scalars,
    images: int,
    grid: Grid,
    scores: Sequence[np.ndarray] | None = None,
    seen: Seen = lambda n: None,
) -> list[LayerFit]:
    """What sparsity needs of each layer; `scores` of its pairs where they are known. `seen` is told of neurons done."""
    known = [None] * len(lenses) if scores is None else scores
    return [LayerFit(lens, kept, images, grid, score, seen) for lens, score in zip(lenses, known, strict=True)]


def write_sparsity(
    source: Source,
    writer: BundleWriter,
    lenses: Sequence[NeuronHead],
    kept: Scalars,
    seen: Seen = lambda n: None,
    grid: Grid = GRID,
) -> None:
    """The table of a bundle that is being made, its arrays of pairs in place; none where no measured image has a class.
    `seen` is told of images done, as many as are measured."""
    ids, label_i = np.asarray(source.array("neuron_image_ids")), labels(source)
    if not (label_i >= 0).any():
        return
    unit_io = np.asarray(source.array("representations")[ids])
    judged = Judged(unit_io, label_i, np.asarray(source.array("class_embeddings")))
    # heads that are not later than a layer come first on the axis, as nothing
    scores = [
        score_nm[:, -len(lens.pairs) :] for lens, score_nm in zip(lenses, source.array("pair_score"), strict=True)
    ]
    fits = fitted(lenses, kept, len(ids), grid, scores)
    writer.table("sparsity", as_table(sparsity(fits, kept, judged, seen)))


def as_table(rows: Sequence[Row]) -> pa.Table:
    """The columns of schema.TABLE["sparsity"]."""
    columns = {c.name: pa.type_for_alias(c.dtype) for c in schema.TABLE["sparsity"].columns}
    plain = [{**row.change._asdict(), **row.__dict__} for row in rows]
    return pa.table({name: pa.array([row[name] for row in plain], kind) for name, kind in columns.items()})
