"""Adapter for open_clip's VisionTransformer: pre-norm blocks, class-token pooling (papers H and N)."""

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.errors import AddressError, UnsupportedTower
from core.models.readout import LayerNormReadout, Readout
from core.models.taps import Tap, changed, class_token, tapped
from core.models.tower import AttentionTrace, CarrierTrace, HeadWeights, NeuronWeights, Trace, input_dtype


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
        self.neurons = self.blocks[0].mlp.c_proj.in_features
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
        self.neuron_weights = cache(self._neuron_weights)

    def _head_weights(self, layer: int) -> HeadWeights:
        block = self.blocks[layer]
        attention, h, k = block.attn, self.heads, self.head_width
        wq, wk, wv = (w.reshape(h, k, -1) for w in attention.in_proj_weight.detach().float().chunk(3))
        bq, _, bv = (b.reshape(h, k) for b in attention.in_proj_bias.detach().float().chunk(3))
        scale_d = _layer_scale(block.ls_1, attention.out_proj.bias)
        wo = (scale_d[:, None] * attention.out_proj.weight.detach().float()).reshape(-1, h, k).permute(1, 0, 2)
        bo = scale_d * attention.out_proj.bias.detach().float()
        gain, offset = block.ln_1.weight.detach().float(), block.ln_1.bias.detach().float()
        return HeadWeights(wq, bq, wk.contiguous(), wv.contiguous(), bv, wo.contiguous(), bo, gain, offset)

    def _neuron_weights(self, layer: int) -> NeuronWeights:
        self._check(layer)
        block = self.blocks[layer]
        write = block.mlp.c_proj
        scale_d = _layer_scale(block.ls_2, write.bias)
        return NeuronWeights(
            out_nd=(scale_d[:, None] * write.weight.detach().float()).T.contiguous(),
            bias_d=scale_d * write.bias.detach().float(),
        )

    def _check(self, *layers: int) -> None:
        for layer in layers:
            if not 0 <= layer < self.layers:
                raise AddressError(f"This model has MLP layers 0 to {self.layers - 1}; layer {layer} was asked for.")

    @torch.inference_mode()
    def trace(self, images: Tensor, layers: tuple[int, ...], neurons: tuple[int, ...] = ()) -> Trace:
        """One forward pass over (b, 3, s, s); see Tower."""
        self._check(*neurons)
        carriers = range(min(neurons, default=self.layers) + 1, self.layers)
        taps = {
            "embedding": Tap(self.visual.ln_pre, "output", class_token),
            "final": Tap(self.visual.ln_post, "input", class_token),
        }
        for i, block in enumerate(self.blocks):
            taps[f"attention {i}"] = Tap(block.ls_1, "output", class_token)
            taps[f"mlp {i}"] = Tap(block.ls_2, "output", class_token)
            if i in layers:
                taps[f"z {i}"] = Tap(block.ln_1, "output")
            if i in neurons:
                taps[f"neurons {i}"] = Tap(block.mlp.gelu, "output")
            if i in carriers:
                taps[f"moments {i}"] = Tap(block.ln_1, "input", _moments(block.ln_1.eps))
                if i not in layers:
                    taps[f"carried {i}"] = Tap(block.ln_1, "output", _attention(self.head_weights(i)))
        with self.lock, tapped(taps) as seen:
            out = self.visual(images.to(input_dtype(self.visual)))
        representation = (out[0] if isinstance(out, tuple) else out).float()
        heads = {}
        for layer in layers:
            z_btd = seen[f"z {layer}"].float()
            heads[layer] = AttentionTrace(z_btd, *self.head_weights(layer).attend(z_btd))
        carried = {
            layer: CarrierTrace(
                heads[layer].attn_bht if layer in heads else seen[f"carried {layer}"], *seen[f"moments {layer}"]
            )
            for layer in carriers
        }
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
            neurons={layer: seen[f"neurons {layer}"].float() for layer in neurons},
            carriers=carried,
        )

    @torch.inference_mode()
    def intervene(
        self, images: Tensor, layer: int, changes: Sequence[Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """The representation as it is, and with changed activations of an MLP; see Tower."""
        self._check(layer)
        block, made = self.blocks[layer], []
        with self.lock:
            with tapped({"stream": Tap(block, "input")}) as seen:
                out = self.visual(images.to(input_dtype(self.visual)))
            for change in changes:
                with changed(block.mlp.gelu, change):
                    stream_btd = seen["stream"]
                    for later in self.blocks[layer:]:
                        stream_btd = later(stream_btd)
                made.append((self.visual.ln_post(stream_btd[:, 0]) @ self.visual.proj).float())
        return (out[0] if isinstance(out, tuple) else out).float(), made


def _layer_scale(module: nn.Module, like: Tensor) -> Tensor:
    """LayerScale's factors (ones where there is none), to be folded into what it multiplies: W_O and b_O, or an MLP."""
    scale = getattr(module, "gamma", None)
    return torch.ones_like(like.detach(), dtype=torch.float32) if scale is None else scale.detach().float()


def _moments(eps: float) -> Callable[[Tensor], Tensor]:
    """Mean and scale of every token: (b, t, d) -> (2, b, t), fp32."""

    def moments(x_btd: Tensor) -> Tensor:
        variance_bt, mean_bt = torch.var_mean(x_btd.float(), -1, correction=0)
        return torch.stack([mean_bt, torch.sqrt(variance_bt + eps)])

    return moments


def _attention(weights: HeadWeights) -> Callable[[Tensor], Tensor]:
    """The class token's attention to (b, t, d), fp32, so that the tokens themselves need not be kept."""
    return lambda z_btd: weights.attention(z_btd.float())


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
