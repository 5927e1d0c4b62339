"""What all neurons of a layer add to each image together: Σ_n (φ_n - b_n), and over the active ones alone (paper N).

These are what mean-ablation of a layer takes away, one vector of the joint space an image and layer. A block of images
and neurons at a time: s is read where it lies, and summed where the heads' values are, so neither D nor φ is formed.
"""

import numpy as np
import torch

from core.methods.neuron_head import NeuronHead
from precompute.neurons import MeasuredNeurons

_ENTRIES = 2**23  # numbers of s at a time: 32 MB, and as much again for the active ones


def totals(
    lens: NeuronHead, measured: MeasuredNeurons, mean_nm: np.ndarray, active_ni: np.ndarray, entries: int = _ENTRIES
) -> tuple[np.ndarray, np.ndarray]:
    """(i, o) fp16 each: over all neurons, and over those where `active_ni`. `mean_nm` is s̄, over the same images."""
    device = lens.value_nmk.device
    total_io, active_io = (np.zeros((active_ni.shape[1], lens.tower.out_dim), np.float32) for _ in range(2))
    mean_nm = mean_nm.astype(np.float32)
    for shard, raw_nim in measured.shards(lens.layer):
        images, (n, _, m) = active_ni[:, shard].shape[1], raw_nim.shape
        step = max(1, entries // max(1, images * m))
        for start in range(0, n, step):
            part = slice(start, min(start + step, n))
            s_nim = raw_nim[part].astype(np.float32) / np.float32(measured.factor) - mean_nm[part, None]
            s_inm = torch.from_numpy(s_nim).to(device).transpose(0, 1)
            large_in1 = torch.from_numpy(active_ni[part, shard]).to(device).T[..., None]
            total_io[shard] += lens.total(s_inm, part).cpu().numpy()
            active_io[shard] += lens.total(s_inm * large_in1, part).cpu().numpy()
    return total_io.astype(np.float16), active_io.astype(np.float16)
