"""Coefficients of the described pairs in every measured image: what a drift page sums without the model (paper P).

All pairs' would be pairs x images numbers (RN50x16: 2.9 GB of 10,000 images); the described ones, those of largest
score, are a few thousand: 3,000 pairs of 10,000 images in 60 MB.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from core.bundle.schema import ARRAY
from core.bundle.write import BundleWriter
from core.methods.neuron_head import NeuronHead, PoolPairs
from precompute.neurons import MeasuredNeurons
from precompute.plan import Plan

_ENTRIES = 2**24  # numbers of s read at a time: 64 MB


def keep_pair_scores(
    plan: Plan,
    writer: BundleWriter,
    made: Sequence[NeuronHead],
    measured: MeasuredNeurons,
    seen: Callable[[int], None] = lambda n: None,
) -> None:
    """Write pair_text_scores, pair_text_scale and pair_constant, from the pairs' rows, lengths and means that are
    written already. `seen(n)` is told of every n pairs done."""
    rows_p, length_lnm, mean_lnm = (
        np.load(plan.folder / ARRAY[name].path) for name in ("pair_text_rows", "pair_length", "neuron_mean_s")
    )
    _, neurons, carriers = length_lnm.shape
    images = len(measured.image_ids)
    scores_pi = writer.memmap("pair_text_scores", (len(rows_p), images))
    scale_p = np.zeros(len(rows_p), np.float32)
    layer_p, neuron_p, head_p = np.unravel_index(rows_p, length_lnm.shape)
    for i, lens in enumerate(made):
        first = carriers - len(lens.pairs)  # heads that are not later than this layer come first and have no s
        step = max(1, _ENTRIES // max(1, images * len(lens.pairs)))
        for start in range(0, neurons, step):
            at = np.flatnonzero((layer_p == i) & (neuron_p >= start) & (neuron_p < start + step))
            if not len(at):
                continue
            s_nim = measured.scalars(lens.layer, slice(start, min(start + step, neurons)))
            n, m = neuron_p[at], head_p[at]
            x_pi = s_nim[n - start, :, m - first] - mean_lnm[i, n, m][:, None]
            x_pi *= length_lnm[i, n, m][:, None]
            scale_p[at] = np.abs(x_pi).max(1, initial=0)
            scores_pi[at] = x_pi / np.where(scale_p[at] > 0, scale_p[at], 1)[:, None]
            seen(len(at))
    writer.close_memmap("pair_text_scores")
    writer.array("pair_text_scale", scale_p)
    writer.array("pair_constant", constants(made, carriers))


def constants(made: Sequence[NeuronHead], carriers: int) -> np.ndarray:
    """What each pair of a head adds in every image, to the representation before it is scaled to one, (m, o)."""
    lens = made[0]
    if isinstance(lens, PoolPairs):
        return (lens.constant_ho / lens.neurons).cpu().numpy()
    return torch.zeros(carriers, lens.tower.out_dim).numpy()
