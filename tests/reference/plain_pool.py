"""CLIP-ResNet's attention pool written out, full attention and every token's values: paper P, eq. 2-4, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PlainPool:
    """Tokens z (b, t, d), the class token's attention (b, h, t), representation (b, o)."""

    z_btd: Tensor
    attn_bht: Tensor
    out_bo: Tensor


def plain_pool(visual: torch.nn.Module, images: Tensor, zeroed: Sequence[int] = ()) -> PlainPool:
    """The pool of an open_clip ModifiedResNet on images, with some channels of the last map set to zero."""
    seen: list[Tensor] = []
    handle = visual.attnpool.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    visual(images)
    handle.remove()
    spatial = seen[0].double().clone()
    spatial[:, list(zeroed)] = 0
    pool, tokens = visual.attnpool, spatial.flatten(2).transpose(1, 2)
    z = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1) + pool.positional_embedding.double()
    apply = lambda layer, x: x @ layer.weight.double().T + layer.bias.double()
    q, k, v = (apply(layer, z).unflatten(-1, (pool.num_heads, -1)) for layer in (pool.q_proj, pool.k_proj, pool.v_proj))
    attention = torch.softmax(torch.einsum("bthk,bshk->bhts", q, k) / q.shape[-1] ** 0.5, dim=-1)[:, :, 0]
    mixed = torch.einsum("bht,bthk->bhk", attention, v).flatten(1)
    return PlainPool(z.float(), attention.float(), apply(pool.c_proj, mixed).float())


def plain_pairs(visual: torch.nn.Module, images: Tensor) -> Tensor:
    """r[n,h] (b, n, h, o) without biases: each token's value of one channel, through one head, summed over tokens."""
    plain, pool = plain_pool(visual, images), visual.attnpool
    width = pool.v_proj.weight.shape[0] // pool.num_heads
    total = torch.zeros(len(images), plain.z_btd.shape[2], pool.num_heads, pool.c_proj.weight.shape[0])
    for h in range(pool.num_heads):
        rows = slice(h * width, (h + 1) * width)
        through = pool.c_proj.weight[:, rows] @ pool.v_proj.weight[rows]
        for t in range(plain.z_btd.shape[1]):
            total[:, :, h] += (plain.attn_bht[:, h, t, None] * plain.z_btd[:, t])[..., None] * through.T
    return total
