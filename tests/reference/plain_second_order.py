"""Second-order effects as paper N defines them: every neuron's write, token by token and head by head, in float64."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PlainEffects:
    """Of one MLP layer: activations `p_btn`; `pair_bnmo` the effect of each neuron through each later head, φ its sum
    over them (`phi_bno`); `bias_bo` the effect of the MLP's bias (zero under `equal`, where neurons share it);
    `carried_bo` what the later heads make of the MLP's output as a whole."""

    p_btn: Tensor
    pair_bnmo: Tensor
    bias_bo: Tensor
    carried_bo: Tensor

    @property
    def phi_bno(self) -> Tensor:
        return self.pair_bnmo.sum(2)


def plain_second_order(visual: torch.nn.Module, images: Tensor, layer: int, convention: str) -> PlainEffects:
    """Run the model, then send each write through every later head with attention and scales as they were."""
    v = copy.deepcopy(visual).double()
    blocks = v.transformer.resblocks
    x = v.conv1(images.double()).flatten(2).transpose(1, 2)
    x = v.ln_pre(torch.cat([v.class_embedding.expand(x.shape[0], 1, -1), x], dim=1) + v.positional_embedding)
    entering, attention = [], []
    for i, block in enumerate(blocks):
        entering.append(x)
        z, a = block.ln_1(x), block.attn
        query, key, value = (p.unflatten(-1, (a.num_heads, -1)) for p in _in(a, z).chunk(3, dim=-1))
        attn_bhts = torch.softmax(torch.einsum("bthk,bshk->bhts", query, key) / a.head_dim**0.5, dim=-1)
        attention.append(attn_bhts[:, :, 0])
        mixed = torch.einsum("bhts,bshk->bthk", attn_bhts, value).flatten(2)
        x = x + block.ls_1(mixed @ a.out_proj.weight.T + a.out_proj.bias)
        p = block.mlp.gelu(block.mlp.c_fc(block.ln_2(x)))
        x = x + block.ls_2(block.mlp.c_proj(p))
        if i == layer:
            p_btn = p
    final = x[:, 0]
    end = _End(v, final, (v.ln_post(final) @ v.proj).norm(dim=-1))

    scale_d = blocks[layer].ls_2.gamma if hasattr(blocks[layer].ls_2, "gamma") else torch.ones_like(final[0])
    w_nd = (scale_d[:, None] * blocks[layer].mlp.c_proj.weight).T
    bias_d = scale_d * blocks[layer].mlp.c_proj.bias
    writes = [p_btn[..., n, None] * w_nd[n] for n in range(len(w_nd))]
    later = range(layer + 1, len(blocks))

    def through(x_btd: Tensor, parts: int) -> Tensor:
        """Effects (b, m, o) of one of `parts` equal parts of the MLP's output."""
        return torch.cat([_one_layer(blocks[i], i, x_btd, entering[i], attention[i], end, parts, convention)
                          for i in later], dim=1)  # fmt: skip

    count = len(writes)
    share = bias_d / count if convention == "equal" else 0
    pairs = torch.stack([through(write + share, count) for write in writes], dim=1)
    alone = through(bias_d.expand_as(writes[0]), 1).sum(1) if convention == "own" else torch.zeros_like(pairs[:, 0, 0])
    carried = through(sum(writes) + bias_d, 1).sum(1)
    return PlainEffects(p_btn, pairs, alone, carried)


@dataclass(frozen=True)
class _End:
    """The readout at the class token's final residual."""

    visual: torch.nn.Module
    final_bd: Tensor
    norm_b: Tensor

    def read(self, y_bd: Tensor, share: float, convention: str) -> Tensor:
        post = self.visual.ln_post
        mean = self.final_bd.mean(-1, keepdim=True)
        sigma = torch.sqrt(self.final_bd.var(-1, unbiased=False, keepdim=True) + post.eps)
        if convention == "own":
            normed = (y_bd - y_bd.mean(-1, keepdim=True)) / sigma * post.weight
        else:
            normed = (y_bd - mean * share) / sigma * post.weight + post.bias * share
        return normed @ self.visual.proj / self.norm_b[:, None]


def _one_layer(
    block: torch.nn.Module, at: int, x_btd: Tensor, entering_btd: Tensor, attn_bht: Tensor, end: _End, parts: int,
    convention: str,
) -> Tensor:  # fmt: skip
    """(b, h, o): u_t through LN1 as it was, each head's values, output and the readout."""
    a, ln = block.attn, block.ln_1
    mean = entering_btd.mean(-1, keepdim=True)
    sigma = torch.sqrt(entering_btd.var(-1, unbiased=False, keepdim=True) + ln.eps)
    equal = convention == "equal"
    share = 1 / ((2 * at + 1) * parts)  # of what enters this layer: an embedding, and an attention and an MLP a layer
    if equal:
        u_btd = (x_btd - mean * share) / sigma * ln.weight + ln.bias * share
    else:
        u_btd = (x_btd - x_btd.mean(-1, keepdim=True)) / sigma * ln.weight
    scale_d = block.ls_1.gamma if hasattr(block.ls_1, "gamma") else torch.ones_like(ln.weight)
    width, effects = a.head_dim, []
    for h in range(a.num_heads):
        rows = slice(2 * a.embed_dim + h * width, 2 * a.embed_dim + (h + 1) * width)
        out_dk = scale_d[:, None] * a.out_proj.weight[:, h * width : (h + 1) * width]
        value_btk = u_btd @ a.in_proj_weight[rows].T + (a.in_proj_bias[rows] * share if equal else 0)
        y_bd = (attn_bht[:, h, :, None] * value_btk).sum(1) @ out_dk.T
        if equal:
            y_bd = y_bd + scale_d * a.out_proj.bias * share / a.num_heads
        layers = len(end.visual.transformer.resblocks)
        effects.append(end.read(y_bd, share / ((2 * layers + 1) * a.num_heads), convention))
    return torch.stack(effects, dim=1)


def _in(attention: torch.nn.Module, z: Tensor) -> Tensor:
    return z @ attention.in_proj_weight.T + attention.in_proj_bias
