"""Adapter for open_clip's VisionTransformer: pre-norm blocks, class-token pooling (papers H and N)."""

import threading
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.errors import UnsupportedTower
from core.models.readout import LayerNormReadout, Readout
from core.models.taps import Tap, tapped
from core.models.tower import AttentionTrace, HeadWeights, Trace, input_dtype


class OpenClipViT:
    """See `core.models.tower.Tower`. Raises UnsupportedTower, by name, for variants whose parts would not close."""

    kind: Literal["vit", "resnet"] = "vit"

    def __init__(self, visual: Any) -> None:
        _refuse_variants(visual)
        self.visual = visual
        self.blocks = visual.transformer.resblocks
        self.layers = len(self.blocks)
        attention = self.blocks[0].attn
        self.heads, self.head_width = attention.num_heads, attention.head_dim
        self.width, self.out_dim = visual.proj.shape
        self.grid = tuple(visual.grid_size)
        self.lock = threading.Lock()
        self.readout: Readout = LayerNormReadout(
            gain_d=visual.ln_post.weight.detach().float(),
            offset_d=visual.ln_post.bias.detach().float(),
            eps=visual.ln_post.eps,
            proj_od=visual.proj.detach().float().T.contiguous(),
        )
        # cached on the instance, not the class, so that the weights go when the tower goes
        self.head_weights = cache(self._head_weights)

    def _head_weights(self, layer: int) -> HeadWeights:
        block = self.blocks[layer]
        attention, h, k = block.attn, self.heads, self.head_width
        wq, wk, wv = (w.reshape(h, k, -1) for w in attention.in_proj_weight.detach().float().chunk(3))
        bq, _, bv = (b.reshape(h, k) for b in attention.in_proj_bias.detach().float().chunk(3))
        # LayerScale multiplies what the attention writes: fold it into W_O and b_O
        scale = getattr(block.ls_1, "gamma", None)
        scale_d = torch.ones_like(attention.out_proj.bias).float() if scale is None else scale.detach().float()
        wo = (scale_d[:, None] * attention.out_proj.weight.detach().float()).reshape(-1, h, k).permute(1, 0, 2)
        bo = scale_d * attention.out_proj.bias.detach().float()
        return HeadWeights(wq, bq, wk.contiguous(), wv.contiguous(), bv, wo.contiguous(), bo)

    @torch.inference_mode()
    def trace(self, images: Tensor, layers: tuple[int, ...]) -> Trace:
        """One forward pass over (b, 3, s, s); see Tower."""
        taps = {
            "embedding": Tap(self.visual.ln_pre, "output", class_token=True),
            "final": Tap(self.visual.ln_post, "input", class_token=True),
        }
        for i, block in enumerate(self.blocks):
            taps[f"attention {i}"] = Tap(block.ls_1, "output", class_token=True)
            taps[f"mlp {i}"] = Tap(block.ls_2, "output", class_token=True)
            if i in layers:
                taps[f"z {i}"] = Tap(block.ln_1, "output")
        with self.lock, tapped(taps) as seen:
            out = self.visual(images.to(input_dtype(self.visual)))
        representation = (out[0] if isinstance(out, tuple) else out).float()
        heads = {}
        for layer in layers:
            z_btd = seen[f"z {layer}"].float()
            heads[layer] = AttentionTrace(z_btd, *self.head_weights(layer).attend(z_btd))
        mean_b, scale_b = self.readout.moments(seen["final"].float())
        return Trace(
            representation_bo=representation,
            norm_b=representation.norm(dim=-1),
            mean_b=mean_b,
            scale_b=scale_b,
            embedding_bd=seen["embedding"].float(),
            attention_lbd=torch.stack([seen[f"attention {i}"] for i in range(self.layers)]).float(),
            mlp_lbd=torch.stack([seen[f"mlp {i}"] for i in range(self.layers)]).float(),
            heads=heads,
        )


def _refuse_variants(visual: Any) -> None:
    """Each check names the assumption of the decomposition that the variant breaks."""
    if getattr(visual, "attn_pool", None) is not None:
        raise UnsupportedTower(
            "This ViT pools its tokens by attention (as CoCa does); class-token pooling is supported."
        )
    if visual.pool_type != "tok":
        raise UnsupportedTower(f"This ViT pools its tokens by '{visual.pool_type}'; class-token pooling is supported.")
    if visual.proj is None:
        raise UnsupportedTower("This ViT has no projection into a joint space with texts; CLIP's is needed.")
    for block in visual.transformer.resblocks:
        attention = block.attn
        if not isinstance(attention, nn.MultiheadAttention) or attention.in_proj_bias is None:
            raise UnsupportedTower(
                f"This ViT's attention is '{type(attention).__name__}' (scaled-cosine, normalised or bias-free); "
                "plain multi-head attention is supported, as in every OpenAI and LAION ViT of open_clip."
            )
