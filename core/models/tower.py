"""What a decomposable image encoder offers: weights of its heads and neurons, and a forward pass with all of it tapped.

Shape letters (DESIGN): b image, l layer, h head, t token (0 = class token), n neuron, d model width, k head width,
o joint space.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from core.models.readout import Readout


@dataclass(frozen=True)
class HeadWeights:
    """One attention layer's weights by head, fp32. Query and key serve only the class token's attention.

    `wq_hkd, bq_hk, wk_hkd` query and key (the key's bias shifts all logits alike and drops out of the softmax);
    `wv_hkd, bv_hk` value; `wo_hdk` output, b_O in `bo_d`. For a ResNet's pool the output's d is the joint space.
    `gain_d, offset_d` of the LayerNorm before it (LN1); None in a ResNet, where nothing is normalised.
    """

    wq_hkd: Tensor
    bq_hk: Tensor
    wk_hkd: Tensor
    wv_hkd: Tensor
    bv_hk: Tensor
    wo_hdk: Tensor
    bo_d: Tensor
    gain_d: Tensor | None = None
    offset_d: Tensor | None = None

    @property
    def heads(self) -> int:
        return self.wq_hkd.shape[0]

    @property
    def head_width(self) -> int:
        return self.wq_hkd.shape[1]

    def attention(self, z_btd: Tensor) -> Tensor:
        """The class token's attention a_bht, without forming keys: W_K is folded into its query, a d-vector a head."""
        query_bhk = torch.einsum("bd,hkd->bhk", z_btd[:, 0], self.wq_hkd) + self.bq_hk
        folded_bhd = torch.einsum("bhk,hkd->bhd", query_bhk, self.wk_hkd) / math.sqrt(self.head_width)
        return torch.softmax(folded_bhd @ z_btd.transpose(1, 2), dim=-1)

    def attend(self, z_btd: Tensor) -> tuple[Tensor, Tensor]:
        """The class token's attention and each head's output, without forming keys or values.

        W_V is applied after the average over tokens: O(h t d) an image instead of O(t d²). Returns a_bht and
        o_bhk = W_V Σ_t a_t z_t + b_V.
        """
        attn_bht = self.attention(z_btd)
        mixed_bhd = attn_bht @ z_btd
        return attn_bht, torch.einsum("bhd,hkd->bhk", mixed_bhd, self.wv_hkd) + self.bv_hk


@dataclass(frozen=True)
class NeuronWeights:
    """What one MLP's neurons write, fp32: neuron n adds its activation times `out_nd[n]`; `bias_d` is added once."""

    out_nd: Tensor
    bias_d: Tensor


@dataclass(frozen=True)
class AttentionTrace:
    """One layer's attention of the class token: inputs `z_btd` (after LN1), `attn_bht`, outputs `out_bhk`."""

    z_btd: Tensor
    attn_bht: Tensor
    out_bhk: Tensor


@dataclass(frozen=True)
class CarrierTrace:
    """How one attention layer carries to the class token what earlier layers wrote: `attn_bht`, and of the residual
    stream that enters its LN1 each token's `mean_bt` and `scale_bt` = sqrt(var + eps)."""

    attn_bht: Tensor
    mean_bt: Tensor
    scale_bt: Tensor


@dataclass(frozen=True)
class Trace:
    """One forward pass, fp32. Residual-stream terms are of the class token alone.

    `representation_bo` as encode_image gives it, not normalised; `norm_b` ρ; `mean_b` μ and `scale_b` σ of the final
    residual; `embedding_bd` the class token before the first block (None in a ResNet); `attention_lbd` and `mlp_lbd`
    what each layer's attention and MLP add, all layers; `heads` the chosen layers' attention. `neurons` the chosen
    MLPs' activations p_btn after the nonlinearity, at all tokens, and `carriers` every attention layer above the
    lowest of them. In a ResNet the neurons of "layer" 0 are the channels of the last map, after its ReLU: p at token 0
    is their mean over the map, the positional embedding is not in it, and carrier 0 is the pool.
    """

    representation_bo: Tensor
    norm_b: Tensor
    mean_b: Tensor
    scale_b: Tensor
    embedding_bd: Tensor | None
    attention_lbd: Tensor
    mlp_lbd: Tensor
    heads: dict[int, AttentionTrace]
    neurons: dict[int, Tensor] = field(default_factory=dict)
    carriers: dict[int, CarrierTrace] = field(default_factory=dict)


class Tower(Protocol):
    """An image encoder whose representation is a sum of attention heads' and other parts' writes."""

    kind: Literal["vit", "resnet"]
    visual: nn.Module
    layers: int  # attention layers; 1 for a ResNet (its pool)
    heads: int
    head_width: int
    width: int  # of the residual stream; in a ResNet, channels of the last map
    neurons: int  # of an MLP; in a ResNet, channels of the last map
    out_dim: int
    grid: tuple[int, int]  # rows and columns of the spatial tokens
    lock: threading.Lock  # hooks mix the passes of two threads: every pass holds this

    @property
    def readout(self) -> Readout:
        """The step from the residual stream to the joint space."""

    def head_weights(self, layer: int) -> HeadWeights:
        """Weights of an attention layer, 0-based."""

    def neuron_weights(self, layer: int) -> NeuronWeights:
        """Weights of an MLP, 0-based. UnsupportedTower for a ResNet, whose neurons write nothing but themselves."""

    def trace(self, images: Tensor, layers: tuple[int, ...], neurons: tuple[int, ...] = ()) -> Trace:
        """One plain forward pass over preprocessed images (b, 3, s, s), with taps; heads of `layers` only, and what
        the MLPs of `neurons` need. UnsupportedTower for neurons of a ResNet."""

    def intervene(
        self, images: Tensor, layer: int, changes: Sequence[Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """The representation (b, o) as it is, and with the activations p (b, t, n) of MLP `layer` made `change(p)`, one
        for each change. A change costs a pass from that layer on. In a ResNet layer 0 is its last map."""


def input_dtype(visual: Any) -> torch.dtype:
    """The dtype that the encoder's first convolution takes. Its other parameters may differ: in half precision
    open_clip keeps the class token and the LayerNorms in fp32."""
    return visual.conv1.weight.dtype
