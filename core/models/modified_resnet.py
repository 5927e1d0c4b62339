"""Adapter for open_clip's ModifiedResNet: a ResNet whose last map is read by one attention pool (paper P).

The pool's class token is the mean of the spatial tokens; the positional embedding is added to every token. Its heads
write the representation directly, so head contributions and the output bias close without a LayerNorm.
"""

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from core.errors import UnsupportedTower
from core.models.readout import IdentityReadout, Readout
from core.models.taps import Tap, tapped
from core.models.tower import AttentionTrace, HeadWeights, NeuronWeights, Trace, input_dtype


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

    def tokens(self, map_bchw: Tensor) -> Tensor:
        """The pool's input tokens (b, 1 + hw, c) from the last map: mean first, positional embedding added to all."""
        spatial_btc = map_bchw.float().flatten(2).transpose(1, 2)
        with_mean_btc = torch.cat([spatial_btc.mean(1, keepdim=True), spatial_btc], dim=1)
        return with_mean_btc + self.pool.positional_embedding.detach().float()

    def neuron_weights(self, layer: int) -> NeuronWeights:
        """Raises UnsupportedTower: see Tower."""
        _no_mlp(layer)

    def intervene(
        self, images: Tensor, layer: int, changes: Sequence[Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """Raises UnsupportedTower: see Tower."""
        _no_mlp(layer)

    @torch.inference_mode()
    def trace(self, images: Tensor, layers: tuple[int, ...] = (0,), neurons: tuple[int, ...] = ()) -> Trace:
        """One forward pass over (b, 3, s, s); see Tower."""
        if neurons:
            _no_mlp(neurons[0])
        with self.lock, tapped({"map": Tap(self.pool, "input")}) as seen:
            representation = self.visual(images.to(input_dtype(self.visual))).float()
        z_btd = self.tokens(seen["map"])
        heads = {layer: AttentionTrace(z_btd, *self.head_weights(layer).attend(z_btd)) for layer in layers}
        mean_b, scale_b = self.readout.moments(representation)
        return Trace(
            representation_bo=representation,
            norm_b=representation.norm(dim=-1),
            mean_b=mean_b,
            scale_b=scale_b,
            embedding_bd=None,
            attention_lbd=representation[None],
            mlp_lbd=representation.new_zeros(0, *representation.shape),
            heads=heads,
        )


def _no_mlp(layer: int) -> NoReturn:
    raise UnsupportedTower(
        f"A CLIP-ResNet has no MLP layers, and neurons of layer {layer} were asked for. Its neurons are the channels "
        "of its last map, which the attention pool reads directly."
    )
