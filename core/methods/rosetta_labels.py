"""What a CLIP unit of a Rosetta concept looks like, in words (papers N, P and H put to use for paper R).

Three ways, by what the unit is (a concept itself is named by what it follows over images, `core.stats.followed`):

- *second-order direction*: a neuron of a ViT's MLP that later heads read. Its effects on the representation have a
  first principal component r_n (core.methods.neuron_head), and texts are near it or not.
- *pool direction*: a channel of a CLIP-ResNet's last map; the same through the heads of its attention pool.
- *map*: any other unit of a CLIP model. Each text has a heatmap: at each position, what the attention heads bring from
  there to the representation, along the text less the mean of the pool. The unit is named by the text whose heatmap its
  own map follows best, by Pearson over images and positions, like the units of two models.

Shape letters: b image, n neuron, m later head, w text, o joint space, t token, y, x grid.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from core.methods.first_order import FirstOrder
from core.methods.neuron_head import NeuronHead
from core.models.tower import Trace

SECOND_ORDER, POOL, MAP = "second-order direction", "pool direction", "map"
HOWS = (SECOND_ORDER, POOL, MAP)
LARGEST = 100
"""Images of largest effect that a direction is taken from, as in a bundle (paper N, §4.3)."""
TEXTS = 5
"""Texts kept of a unit."""
_NEURONS = 128  # directions found at a time: 0.2 GB for the first layer of a ViT-B


def directions(lens: NeuronHead, neurons: Sequence[int], s_bnm: np.ndarray) -> Tensor:
    """Unit directions r_n (n, o) float32 of some neurons of a lens from their scalars s in all images; zeros of a
    neuron without effect."""
    parts = []
    for start in range(0, len(neurons), _NEURONS):
        some = lens.only(neurons[start : start + _NEURONS])
        s = torch.from_numpy(np.array(s_bnm[:, start : start + _NEURONS], np.float32)).to(some.value_nmk.device)
        mean_nm = s.mean(0, dtype=torch.float64)
        norm_bn = some.norms(s, mean_nm.float())
        top_in = norm_bn.topk(min(LARGEST, len(s)), dim=0).indices
        top_nim = torch.stack([s[rows, n] for n, rows in enumerate(top_in.T)])
        parts.append(some.principal(top_nim, mean_nm).direction_no)
    return torch.cat(parts) if parts else torch.zeros(0, lens.writer_mok.shape[1])


def nearest_texts(direction_no: Tensor, atoms_wo: Tensor, k: int = TEXTS) -> tuple[np.ndarray, np.ndarray]:
    """The k texts of largest cosine with each direction: row and cosine (n, k). `atoms_wo` unit, less the pool's mean
    (core.methods.sparse_text.text_atoms). The first is the first of a sparse decomposition, unless that is negative."""
    value, index = (direction_no.double() @ atoms_wo.double().T).topk(min(k, len(atoms_wo)), dim=1)
    return index.cpu().numpy(), value.cpu().numpy()


def text_maps(lens: FirstOrder, trace: Trace, texts_wo: Tensor) -> Tensor:
    """(b, w, y, x): what all heads of the lens's layers bring from each position, along each text. As
    `core.methods.heatmaps.Heatmaps.total`, summed over heads before texts are looked at."""
    written_bto = torch.stack([lens.token_contributions(trace, layer).sum(2) for layer in lens.layers]).sum(0)
    return (written_bto[:, 1:] @ texts_wo.T).transpose(1, 2).unflatten(2, lens.tower.grid)
