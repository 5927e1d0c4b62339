"""Zero-shot segmentation: where in the image a text's class is, without training for it.

Two ways to a map over the image's patches. By tokens (paper H, §4.4): what all chosen heads write toward the text at
each token, `Heatmaps.total()` of `core.methods.heatmaps`. By neurons (paper N, §5.3): the neurons whose direction r_n
has the largest |⟨r_n, text⟩|, their activation maps averaged. Raw attention and attention rollout (Abnar & Zuidema
2020), which know no text, are what these are measured against.

A map is resized to the image, stretched to [0, 1] and cut at a threshold; `core.methods.segmentation_scores` rates it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from core.models.tower import HeadWeights

TOP_NEURONS = 200
"""Neurons averaged for a class, in the paper."""
THRESHOLD = 0.5
"""Where a map in [0, 1] is cut, for neurons in the paper. (The ImageNet-Segmentation protocol: at the map's mean.)"""


def choose_neurons(directions_no: Tensor, texts_wo: Tensor, top: int = TOP_NEURONS) -> tuple[Tensor, Tensor]:
    """For each text the neurons with the largest |⟨r_n, text⟩|: rows of `directions_no` (w, k) and the signed ⟨r_n,
    text⟩ (w, k), in decreasing order of size. k is `top`, or all neurons if there are fewer. ValueError if top < 1."""
    if top < 1:
        raise ValueError(f"{top} neurons chosen for a text; expected at least one")
    similarity_wn = texts_wo @ directions_no.T
    index_wk = similarity_wn.abs().topk(min(top, len(directions_no)), dim=1).indices
    return index_wk, similarity_wn.gather(1, index_wk)


def neuron_map(activation_btn: Tensor, index_k: Tensor, grid: tuple[int, int], sign_k: Tensor | None = None) -> Tensor:
    """The mean activation map of some neurons over the patches: (b, y, x).

    `activation_btn` of all tokens, the class token first (it is dropped); layers side by side along n. `sign_k` (of
    ⟨r_n, text⟩, say) weighs each neuron by its sign; the paper does not, None.
    """
    chosen_btk = activation_btn[:, 1:, index_k]
    if sign_k is not None:
        chosen_btk = chosen_btk * sign_k.sign()
    return _on_grid(chosen_btk.mean(-1), grid)


def attention_map(attn_bht: Tensor, grid: tuple[int, int]) -> Tensor:
    """Raw attention: the class token's, in one layer, averaged over heads: (b, y, x)."""
    return _on_grid(attn_bht[..., 1:].mean(1), grid)


def full_attention(weights: HeadWeights, z_btd: Tensor) -> Tensor:
    """Attention of every token t to every token s (b, h, t, s), from a layer's inputs after LN1 (`AttentionTrace`).

    The decompositions need the class token's row alone; this is for `rollout_map`, and grows with t².
    """
    query_bhtk = torch.einsum("btd,hkd->bhtk", z_btd, weights.wq_hkd) + weights.bq_hk[:, None]
    key_bhsk = torch.einsum("bsd,hkd->bhsk", z_btd, weights.wk_hkd)
    return torch.softmax(query_bhtk @ key_bhsk.transpose(2, 3) / math.sqrt(weights.head_width), dim=-1)


def rollout_map(attn_lbhts: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Attention rollout (b, y, x): how attention alone would carry patches to the class token through all layers.

    `attn_lbhts` each layer's attention (b, h, t, s) from token t to token s, first layer first. A layer mixes as
    (mean over heads + identity) / 2, the identity being the residual stream. Only the class token's row is carried, so
    it is a vector times a matrix a layer. ValueError without a layer.
    """
    if not attn_lbhts:
        raise ValueError("attention rollout needs at least one layer")
    row_bs = torch.zeros_like(attn_lbhts[0][:, 0, 0])
    row_bs[:, 0] = 1
    for attn_bhts in reversed(attn_lbhts):
        row_bs = (row_bs + (row_bs[:, None] @ attn_bhts.mean(1))[:, 0]) / 2
    return _on_grid(row_bs[:, 1:], grid)


def resize(map_byx: Tensor, size: tuple[int, int]) -> Tensor:
    """A patch map resized to (rows, columns) of the image, bilinear between patch centres."""
    return torch.nn.functional.interpolate(map_byx[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def stretch(map_byx: Tensor) -> Tensor:
    """Each map linearly onto [0, 1]. A constant map says nothing of where, and is zero throughout."""
    low_b11, high_b11 = map_byx.amin((1, 2), keepdim=True), map_byx.amax((1, 2), keepdim=True)
    return torch.where(high_b11 > low_b11, (map_byx - low_b11) / (high_b11 - low_b11), 0)


def mask(map_byx: Tensor, threshold: float | None = THRESHOLD) -> Tensor:
    """Foreground (b, y, x) bool of maps in [0, 1]: above the threshold, or above the map's own mean if it is None."""
    cut = map_byx.mean((1, 2), keepdim=True) if threshold is None else threshold
    return map_byx > cut


def _on_grid(patch_bt: Tensor, grid: tuple[int, int]) -> Tensor:
    rows, columns = grid
    if patch_bt.shape[1] != rows * columns:
        raise ValueError(f"{patch_bt.shape[1]} patches; a grid of {rows} x {columns} has {rows * columns}")
    return patch_bt.unflatten(1, grid)
