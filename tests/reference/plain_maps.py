"""Baselines of segmentation by PyTorch's own attention and by plain backpropagation, in float64, one image."""

import copy

import numpy as np
import torch
from torch import Tensor

from tests.reference.plain_segmentation import plain_resize


def plain_attentions(visual: torch.nn.Module, pixels: Tensor) -> np.ndarray:
    """(l, h, t, s): the weights that each block's nn.MultiheadAttention says it used."""
    seen: list[Tensor] = []
    v = copy.deepcopy(visual).double()
    for block in v.transformer.resblocks:
        block.register_forward_pre_hook(lambda _block, args: seen.append(args[0]))
    v(pixels.double())
    out = []
    for block, x_btd in zip(v.transformer.resblocks, seen, strict=True):
        z_btd = block.ln_1(x_btd)
        _, weights = block.attn(z_btd, z_btd, z_btd, need_weights=True, average_attn_weights=False)
        out.append(weights[0])
    return torch.stack(out).detach().numpy()


def plain_grad_cam(visual: torch.nn.Module, pixels: Tensor, text_o: np.ndarray, vit: bool) -> np.ndarray:
    """Grad-CAM of the cosine with a text, as large as the picture: channels weighed by their mean gradient, summed,
    what is below zero left out."""
    v = copy.deepcopy(visual).double()
    layer = v.transformer.resblocks[-1].ln_1 if vit else v.layer4
    kept: list[Tensor] = []
    layer.register_forward_hook(lambda _layer, _args, output: (output.retain_grad(), kept.append(output))[0])
    with torch.enable_grad():
        out = v(pixels.double().requires_grad_())
        (out @ torch.from_numpy(text_o) / out.norm(dim=-1)).sum().backward()
    value, gradient = kept[0][0].detach(), kept[0].grad[0]
    if vit:
        side = round((len(value) - 1) ** 0.5)
        value, gradient = (x[1:].T.unflatten(1, (side, side)) for x in (value, gradient))
    total = np.zeros(value.shape[1:])
    for channel in range(len(value)):
        total += float(gradient[channel].mean()) * value[channel].numpy()
    return plain_resize(np.maximum(total, 0), tuple(pixels.shape[-2:]))


def plain_stretch(map_yx: np.ndarray) -> np.ndarray:
    span = map_yx.max() - map_yx.min()
    return (map_yx - map_yx.min()) / span if span else np.zeros_like(map_yx)
