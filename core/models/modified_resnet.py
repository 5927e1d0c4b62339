"""Adapter for open_clip's ModifiedResNet: a ResNet whose last map is read by one attention pool (paper P).

The pool's class token is the mean of the spatial tokens; the positional embedding is added to every token. Its heads
write the representation directly, so head contributions and the output bias close without a LayerNorm.
"""

import threading
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from core.errors import UnsupportedTower
from core.models.readout import IdentityReadout, Readout
from core.models.taps import Tap, tapped
from core.models.tower import AttentionTrace, CarrierTrace, HeadWeights, NeuronWeights, Trace, input_dtype


class ModifiedResNetTower:
    """See `core.models.tower.Tower`. Its one attention layer, the pool, is layer 0."""

    kind: Literal["vit", "resnet"] = "resnet"

    def __init__(self, visual: Any) -> None:
        pool = visual.attnpool
        if pool is None or not hasattr(pool, "c_proj"):
            raise UnsupportedTower(
                "This ResNet has no attention pool; CLIP's ModifiedResNet with its pool is supported."
            )
        self.visual = visual
        self.pool = pool
        self.layers = 1
        self.heads = pool.num_heads
        self.head_width = pool.q_proj.weight.shape[0] // pool.num_heads
        self.out_dim, self.width = pool.c_proj.weight.shape
        self.neurons = self.width
        side = round((pool.positional_embedding.shape[0] - 1) ** 0.5)
        self.grid = (side, side)
        self.lock = threading.Lock()
        self.readout: Readout = IdentityReadout(self.out_dim)
        self.head_weights = cache(self._head_weights)

    def _head_weights(self, layer: int) -> HeadWeights:
        if layer != 0:
            raise UnsupportedTower(f"A CLIP-ResNet has one attention layer, 0; layer {layer} was asked for.")
        pool, h, k = self.pool, self.heads, self.head_width
        by_head = lambda linear: linear.weight.detach().float().reshape(h, k, -1)
        return HeadWeights(
            wq_hkd=by_head(pool.q_proj),
            bq_hk=pool.q_proj.bias.detach().float().reshape(h, k),
            wk_hkd=by_head(pool.k_proj),
            wv_hkd=by_head(pool.v_proj),
            bv_hk=pool.v_proj.bias.detach().float().reshape(h, k),
            wo_hdk=pool.c_proj.weight.detach().float().reshape(-1, h, k).permute(1, 0, 2).contiguous(),
            bo_d=pool.c_proj.bias.detach().float(),
        )

    @cached_property
    def position_td(self) -> Tensor:
        """The pool's positional embedding (1 + hw, c), fp32."""
        return self.pool.positional_embedding.detach().float()

    def activations(self, map_bchw: Tensor) -> Tensor:
        """The neurons' activations p (b, 1 + hw, c) from the last map: their mean over the map first."""
        spatial_btc = map_bchw.float().flatten(2).transpose(1, 2)
        return torch.cat([spatial_btc.mean(1, keepdim=True), spatial_btc], dim=1)

    def pooled(self, z_btd: Tensor) -> Tensor:
        """The representation (b, o) that the pool makes of its input tokens, fp32."""
        weights = self.head_weights(0)
        _, out_bhk = weights.attend(z_btd)
        return torch.einsum("bhk,hdk->bd", out_bhk, weights.wo_hdk) + weights.bo_d

    def neuron_weights(self, layer: int) -> NeuronWeights:
        """Raises UnsupportedTower: see Tower."""
        raise UnsupportedTower(
            f"A CLIP-ResNet has no MLP layers, and the weights of layer {layer}'s neurons were asked for. Its neurons "
            "are the channels of its last map, which the attention pool reads directly."
        )

    @torch.inference_mode()
    def intervene(
        self, images: Tensor, layer: int, changes: Sequence[Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """See Tower. What is changed are the activations before the positional embedding, at all tokens, their mean
        too; a change costs a pass through the pool alone."""
        _only_map(layer)
        representation_bo, p_btd = self._pass(images)
        return representation_bo, [self.pooled(change(p_btd) + self.position_td) for change in changes]

    @torch.inference_mode()
    def trace(self, images: Tensor, layers: tuple[int, ...] = (0,), neurons: tuple[int, ...] = ()) -> Trace:
        """One forward pass over (b, 3, s, s); see Tower."""
        for layer in neurons:
            _only_map(layer)
        representation_bo, p_btd = self._pass(images)
        z_btd, weights = p_btd + self.position_td, self.head_weights(0)
        heads = {layer: AttentionTrace(z_btd, *self.head_weights(layer).attend(z_btd)) for layer in layers}
        mean_b, scale_b = self.readout.moments(representation_bo)
        carriers = {}
        if neurons:
            attn_bht = heads[0].attn_bht if 0 in heads else weights.attention(z_btd)
            plain_bt = torch.zeros_like(z_btd[..., 0])  # no LayerNorm before the pool
            carriers = {0: CarrierTrace(attn_bht, plain_bt, plain_bt + 1)}
        return Trace(
            representation_bo=representation_bo,
            norm_b=representation_bo.norm(dim=-1),
            mean_b=mean_b,
            scale_b=scale_b,
            embedding_bd=None,
            attention_lbd=representation_bo[None],
            mlp_lbd=representation_bo.new_zeros(0, *representation_bo.shape),
            heads=heads,
            neurons={0: p_btd} if neurons else {},
            carriers=carriers,
        )

    def _pass(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The representation (b, o) as the model gives it, and the activations (b, t, c) of its last map."""
        with self.lock, tapped({"map": Tap(self.pool, "input")}) as seen:
            representation_bo = self.visual(images.to(input_dtype(self.visual))).float()
        return representation_bo, self.activations(seen["map"])


def _only_map(layer: int) -> None:
    if layer != 0:
        raise UnsupportedTower(
            f"A CLIP-ResNet has one layer of neurons, 0, the channels of its last map; layer {layer} was asked for."
        )
