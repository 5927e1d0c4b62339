"""From the kept scalars of neurons to the arrays of their pairs with heads: ends, spread, scores, inertia (paper P).

Every number is over the measured images, all of which are there again a few neurons at a time; a pair's coefficients
x of all of them are sorted once, and never stored. Memory does not depend on how many pairs there are.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from core.bundle.faiss_store import build_flat_fp16
from core.bundle.schema import ARRAY, pair_key
from core.bundle.schema_pairs import LEVELS
from core.bundle.write import BundleWriter
from core.methods.neuron_head import NeuronHead
from core.methods.pair_scores import INERTIA_IMAGES, LARGEST, fit_pairs, inertia, largest_images, order, uncentred_norms
from core.methods.sparse_text import AtomScaling, pursue, text_atoms
from core.stats.topk import pack, unpack
from precompute.config import QUANTILES
from precompute.neuron_finish import write_texts
from precompute.neurons import MeasuredNeurons
from precompute.plan import Plan

_ENTRIES = 2**23  # scalars looked at a time: 32 MB, and some six times as much with their order
_SAMPLES = 5
"""Images kept of each quantile interval."""


def write_pairs(
    plan: Plan,
    writer: BundleWriter,
    made: Sequence[NeuronHead],
    measured: MeasuredNeurons,
    seen: Callable[[int], None] = lambda n: None,
) -> Mapping[str, Any]:
    """Write the arrays of pairs but for their texts, and the indexes; returns the axes (core/bundle/schema_pairs.py).

    `made` the lens on each layer; `seen(n)` is told of every n neurons done. After `write_neurons`, whose axes
    neuron_layer and later_head are used.
    """
    unit_io = np.load(plan.folder / ARRAY["representations"].path, mmap_mode="r")[measured.image_ids]
    basis_mok = made[0].basis_mok  # of the first layer, which has the most heads
    writer.array("pair_basis", basis_mok.cpu().numpy())
    ranks = min(plan.settings.top_images, len(measured.image_ids))
    maps = _Maps(writer, (len(made), made[0].neurons, len(made[0].pairs)), basis_mok.shape[2], ranks)
    for i, lens in enumerate(made):
        _fill_layer(maps, i, lens, measured, unit_io, basis_mok, seen)
    maps.close()
    coords = np.load(plan.folder / ARRAY["pair_coords"].path, mmap_mode="r")
    for m, head in enumerate(made[0].pairs):
        rows = coords[:, :, m].reshape(-1, coords.shape[-1])
        writer.index(pair_key(head), build_flat_fp16(rows))
    return {
        "pair_coord": basis_mok.shape[2],
        "pair_rank": ranks,
        "pair_interval": [[low, high] for low, high in _intervals()],
        "pair_sample": _SAMPLES,
    }


class _Maps:
    """The arrays over (layer, neuron, later head), on disk while they are filled."""

    def __init__(self, writer: BundleWriter, lnm: tuple[int, int, int], coords: int, ranks: int) -> None:
        self._writer = writer
        intervals = (len(_intervals()), _SAMPLES)
        shapes: dict[str, tuple[int, ...]] = {"coords": (coords,), "quantiles": (len(QUANTILES),)}
        shapes |= dict.fromkeys(("top_ids", "top_scores"), (2, ranks))
        shapes |= dict.fromkeys(("interval_ids", "interval_scores"), intervals)
        shapes |= dict.fromkeys(("length", "std", "score", "share", "inertia"), ())
        self.by_name = {name: writer.memmap(f"pair_{name}", (*lnm, *tail)) for name, tail in shapes.items()}
        self.by_name["neuron_inertia"] = writer.memmap("pair_neuron_inertia", lnm[:2])
        for name in ("top_ids", "interval_ids"):  # a head that is not later has no images
            self.by_name[name][:] = -1
        for name in ("top_scores", "interval_scores"):
            self.by_name[name][:] = np.nan

    def close(self) -> None:
        for name in self.by_name:
            self._writer.close_memmap(f"pair_{name}")


def _fill_layer(
    maps: _Maps,
    i: int,
    lens: NeuronHead,
    measured: MeasuredNeurons,
    unit_io: np.ndarray,
    basis_mok: torch.Tensor,
    seen: Callable[[int], None],
) -> None:
    """Everything of one layer, a few neurons at a time."""
    images, m = len(measured.image_ids), len(lens.pairs)
    here = slice(len(basis_mok) - m, None)  # heads that are not later come first
    d_nmc = lens.coords(basis_mok[here]).cpu().numpy()
    step = max(1, _ENTRIES // max(1, images * m))
    for start in range(0, lens.neurons, step):
        part = slice(start, min(start + step, lens.neurons))
        s_nim = measured.scalars(lens.layer, part)
        mean_nm = s_nim.mean(1, dtype=np.float64)
        size_nm = np.linalg.norm(d_nmc[part].astype(np.float64), axis=-1)
        fit = fit_pairs(s_nim, mean_nm, size_nm)
        unit_nmc = (
            d_nmc[part] * np.divide(fit.sign_nm, size_nm, where=size_nm > 0, out=np.zeros_like(size_nm))[..., None]
        )
        x_nim = (s_nim - mean_nm[:, None].astype(np.float32)) * fit.length_nm[:, None]
        values = {
            "coords": unit_nmc,
            "length": fit.length_nm,
            "std": fit.std_nm,
            "score": fit.score_nm,
            "share": _share(lens, part, s_nim - mean_nm[:, None]),
            "inertia": inertia(unit_io, largest_images(uncentred_norms(s_nim, size_nm), INERTIA_IMAGES)),
            **ordered(x_nim, measured.image_ids, maps.by_name["top_ids"].shape[-1]),
        }
        for name, value in values.items():
            maps.by_name[name][i, part, here] = value
        norm_ni = np.linalg.norm(s_nim @ lens.reduce_ncm[part].transpose(1, 2).cpu().numpy(), axis=-1)
        largest = largest_images(norm_ni[..., None], INERTIA_IMAGES)
        maps.by_name["neuron_inertia"][i, part] = inertia(unit_io, largest)[:, 0]
        seen(len(s_nim))


def _share(lens: NeuronHead, part: slice, centred_nim: np.ndarray) -> np.ndarray:
    """(n, m) covariance (trace) of each pair with its neuron's effect, over the variance of that: Σ_m' C G, with C the
    covariance of the scalars and G the inner products of their directions. Zeros where nothing varies."""
    covariance_nmm = centred_nim.transpose(0, 2, 1) @ centred_nim
    together_nm = (covariance_nmm * lens.gram(slice(part.start, part.stop)).cpu().numpy().astype(np.float64)).sum(-1)
    total_n = together_nm.sum(-1, keepdims=True)
    return np.divide(together_nm, total_n, where=total_n > 0, out=np.zeros_like(together_nm))


def _intervals() -> list[tuple[float, float]]:
    """Neighbouring levels, the highest interval first."""
    return list(pairwise(LEVELS))[::-1]


def _sampled_ranks(images: int) -> np.ndarray:
    """(intervals, samples) ranks, 0 the largest coefficient, spread evenly over each interval; -1 where it has fewer
    images than samples."""
    rank_es = np.full((len(_intervals()), _SAMPLES), -1)
    for row_s, (low, high) in zip(rank_es, _intervals(), strict=True):
        first, end = round((1 - high) * images), round((1 - low) * images)
        count = min(_SAMPLES, end - first)
        row_s[:count] = first + ((np.arange(count) + 0.5) * (end - first) / max(1, count)).astype(int)
    return rank_es


def ordered(x_nim: np.ndarray, image_ids: np.ndarray, ranks: int) -> dict[str, np.ndarray]:
    """Both ends, quantiles and samples of the intervals of x, from one sorting of every pair's images.

    Of equal coefficients the smaller id comes first at the + end, and last at the - end.
    """
    key_nmi = pack(np.ascontiguousarray(-x_nim.transpose(0, 2, 1)) + np.float32(0), image_ids)
    key_nmi.sort(axis=-1)
    images = key_nmi.shape[-1]
    sample_es = _sampled_ranks(images)
    level_q = np.asarray(QUANTILES)

    def at(rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and ids at some ranks (any shape) of each pair; NaN and -1 at rank -1."""
        cost, ids = unpack(key_nmi[..., np.maximum(rank, 0)])
        return np.where(rank < 0, np.float32(np.nan), -cost + np.float32(0)), np.where(rank < 0, -1, ids)

    ends = np.stack([np.arange(ranks), images - 1 - np.arange(ranks)])
    top, sampled = at(ends), at(sample_es)
    # numpy's linear interpolation between neighbouring ranks, counted from the smallest
    position_q = (1 - level_q) * (images - 1)
    low_q, high_q = np.floor(position_q).astype(int), np.ceil(position_q).astype(int)
    low, high = at(low_q)[0], at(high_q)[0]
    quantiles = low + (high - low) * (position_q - low_q).astype(np.float32)
    return {
        "top_scores": top[0],
        "top_ids": top[1],
        "interval_scores": sampled[0],
        "interval_ids": sampled[1],
        "quantiles": np.maximum.accumulate(quantiles, axis=-1),  # rounding may turn two equal ones about
    }


def describe_pairs(
    plan: Plan, writer: BundleWriter, texts_wo: np.ndarray, progress: Callable[[int, int], None] | None = None
) -> tuple[int, int]:
    """Sparse decomposition of the directions of largest score, atoms of norm one; returns how many pairs, and the texts
    of each. `progress` is called with (done, total) picks. Raises PoolError for a pool whose texts are all one."""
    load = lambda name: np.load(plan.folder / ARRAY[f"pair_{name}"].path, mmap_mode="r")
    score, coords, basis_mok = load("score"), load("coords"), load("basis")
    rows = order(np.asarray(score))[: plan.settings.pair_texts]
    rows = rows[np.asarray(score).ravel()[rows] > 0]
    flat = coords.reshape(-1, coords.shape[-1])
    direction_po = np.zeros((len(rows), basis_mok.shape[1]), np.float32)
    for m, basis_ok in enumerate(basis_mok):
        at = np.flatnonzero(rows % len(basis_mok) == m)
        direction_po[at] = flat[rows[at]] @ basis_ok.T
    atoms_wo = text_atoms(torch.from_numpy(texts_wo), AtomScaling.UNIT)
    count = min(plan.settings.neuron_texts, direction_po.shape[1], len(texts_wo))
    found = pursue(torch.from_numpy(direction_po), atoms_wo, count, progress=progress)
    writer.array("pair_text_rows", rows.astype(np.int32))
    write_texts(writer, "pair_text", found, rows.shape)
    return len(rows), count


PAIR_FACTS = {"largest": LARGEST, "inertia_images": INERTIA_IMAGES, "atoms": "unit"}
