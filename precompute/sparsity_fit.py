"""What is done to a layer's pairs, neurons and heads to see how few are needed and how simple they are (paper P).

A unit's score is the mean of its largest centred norms; a neuron's or head's contribution is the sum of its pairs'.
Means, scores and components are of all measured images, which are there again as kept scalars s.
Letters as in `core.methods.pair_ablation`; i measured images.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from core.methods.neuron_head import NeuronHead
from core.methods.pair_ablation import (
    Components,
    components,
    head_norms,
    head_values,
    kept_heads,
    kept_pairs,
    rebuilt,
    write,
)
from core.methods.pair_scores import LARGEST, fit_pairs, mask_percentile

KEEP = (50.0, 20.0, 10.0, 5.0, 2.0, 1.0)
COMPONENTS = (1, 2, 4, 8)
ENTRIES = 2**22  # numbers of s looked at a time: 16 MB, of which a dozen copies are made
Seen = Callable[[int], None]


class Scalars(Protocol):
    """Kept scalars s of all neurons; `precompute.neurons.MeasuredNeurons` is one."""

    @property
    def factor(self) -> float:
        """What s is multiplied with in `shards`."""

    def scalars(self, layer: int, neurons: slice) -> np.ndarray:
        """(n, i, m) fp32 of some neurons."""

    def shards(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        """All neurons, some images at a time: which, and s · factor (n, i, m)."""


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


class Block(NamedTuple):
    """s - s̄ of some images, twice: for sums over the neurons of a head, and over the heads of a neuron, each lies as it
    is read. `value_bmk` what all neurons together are in each head's own space."""

    images: slice
    by_head_mbn: Tensor
    by_neuron_nbm: Tensor
    value_bmk: Tensor

    @property
    def centred_bnm(self) -> Tensor:
        return self.by_head_mbn.permute(1, 2, 0)


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
        blocks = self.blocks(kept, max(1, ENTRIES // self.mean_nm.size))
        norm_im = torch.cat([head_norms(block.value_bmk, lens.writer_mok) for block in blocks])
        self.head_score_m = norm_im.topk(self.largest, dim=0).values.mean(0).cpu().numpy()

    @property
    def device(self) -> torch.device:
        return self.lens.value_nmk.device

    def parts(self) -> Iterator[slice]:
        """Neurons read at a time."""
        n, m = self.mean_nm.shape
        step = max(1, ENTRIES // max(1, self.images * m))
        return (slice(start, min(start + step, n)) for start in range(0, n, step))

    def blocks(self, kept: Scalars, step: int) -> Iterator[Block]:
        """At most `step` images at a time."""
        for shard, raw_nim in kept.shards(self.lens.layer):
            for start in range(0, raw_nim.shape[1], step):
                s_nbm = raw_nim[:, start : start + step].astype(np.float32) / np.float32(kept.factor)
                s_nbm -= self.mean_nm[:, None]
                first, centred_nbm = shard.start + start, torch.from_numpy(s_nbm).to(self.device)
                images = slice(first, first + s_nbm.shape[1])
                by_head_mbn = centred_nbm.permute(2, 1, 0).contiguous()
                value_bmk = head_values(by_head_mbn.permute(1, 2, 0), self.lens.value_nmk)
                yield Block(images, by_head_mbn, centred_nbm, value_bmk)

    def changes(self, block: Block) -> Iterator[tuple[Change, Tensor]]:
        """Every change of the grid, and what it adds to the representation (b, o)."""
        lens, centred_bnm = self.lens, block.centred_bnm
        all_bo = write(block.value_bmk, lens.writer_mok)
        yield ALL, -all_bo
        for unit, masks in self.masks.items():
            if unit == "heads":
                sums_rbo = kept_heads(block.value_bmk, lens.writer_mok, masks)
            else:
                sums_rbo = kept_pairs(centred_bnm, lens.value_nmk, lens.writer_mok, masks)
            for percent, mask, sum_bo in zip(self.grid.keep, masks, sums_rbo, strict=True):
                yield Change("kept", unit, percent, int(mask.sum())), sum_bo - all_bo
        along_nbr = self.components.along(block.by_neuron_nbm.transpose(0, 1))
        counts = self.grid.components
        for count, sum_bo in zip(counts, rebuilt(along_nbr, self.component_nro, counts), strict=True):
            yield Change("components", "neurons", count), sum_bo - all_bo
        # a pair's one component: its coefficient along its own direction, in its head's coordinates
        one_bo = write(head_values(centred_bnm, self.coords_nmc), lens.basis_mok)
        yield Change("components", "pairs", 1), one_bo - all_bo

    @cached_property
    def masks(self) -> dict[str, list[Tensor]]:
        """What each percentage keeps: of pairs (n, m), neurons (n, 1), heads (m,)."""
        scores = {"pairs": self.pair_score_nm, "neurons": self.neuron_score_n[:, None], "heads": self.head_score_m}
        mask = lambda score, percent: torch.from_numpy(mask_percentile(score, 100 - percent)).to(self.device)
        return {unit: [mask(score, percent) for percent in self.grid.keep] for unit, score in scores.items()}

    @cached_property
    def component_nro(self) -> Tensor:
        return self.components.directions(self.lens.value_nmk, self.lens.writer_mok)

    @cached_property
    def coords_nmc(self) -> Tensor:
        return self.lens.coords(self.lens.basis_mok)


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
