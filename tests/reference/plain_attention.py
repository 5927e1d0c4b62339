"""The decomposition as the papers write it: full attention matrices, per-token values, vectors in the joint space."""

import torch
from torch import Tensor


def vit_residual_terms(visual: torch.nn.Module, images: Tensor) -> dict[str, Tensor]:
    """A pre-norm ViT written out: class-token terms of the residual stream, in float64.

    Returns embedding (b,d), attention by source token and head (b,l,t,h,d) with biases left out, `bias` (l,d),
    mlp (b,l,d), final residual (b,d).
    """
    v = visual.double()
    x = v.conv1(images.double()).flatten(2).transpose(1, 2)
    x = torch.cat([v.class_embedding.expand(x.shape[0], 1, -1), x], dim=1) + v.positional_embedding
    x = v.ln_pre(x)
    embedding, attention, mlp, biases = x[:, 0], [], [], []
    for block in v.transformer.resblocks:
        z, a = block.ln_1(x), block.attn
        h, k = a.num_heads, a.head_dim
        q, key, value = (p.unflatten(-1, (h, k)) for p in (z @ a.in_proj_weight.T + a.in_proj_bias).chunk(3, dim=-1))
        weights = torch.softmax(torch.einsum("bthk,bshk->bhts", q, key) / k**0.5, dim=-1)
        scale = block.ls_1.gamma if hasattr(block.ls_1, "gamma") else torch.ones(x.shape[-1], dtype=x.dtype)
        out_weight = (scale[:, None] * a.out_proj.weight).unflatten(-1, (h, k))
        by_token = torch.einsum("bhs,bshk,dhk->bshd", weights[:, :, 0], value, out_weight)
        all_tokens = torch.einsum("bhts,bshk,dhk->btd", weights, value, out_weight) + scale * a.out_proj.bias
        x = x + all_tokens
        step = block.ls_2(block.mlp(block.ln_2(x)))
        x = x + step
        attention.append(by_token)
        mlp.append(step[:, 0])
        biases.append(scale * a.out_proj.bias)
    return {
        "embedding": embedding,
        "attention": torch.stack(attention, 1),
        "bias": torch.stack(biases),
        "mlp": torch.stack(mlp, 1),
        "final": x[:, 0],
    }


def own_share(visual: torch.nn.Module, x: Tensor, final: Tensor) -> Tensor:
    """P (γ ∘ (x - mean x) / σ) / ρ: a term's contribution to the unit representation under `own`; x is (b, ..., d)."""
    v = visual.double()
    sigma = torch.sqrt(final.var(-1, unbiased=False) + v.ln_post.eps)
    norm = (v.ln_post(final) @ v.proj).norm(dim=-1)
    scale = (sigma * norm).reshape(-1, *[1] * (x.ndim - 1))
    return ((x - x.mean(-1, keepdim=True)) * v.ln_post.weight) @ v.proj / scale


def pool_contributions(pool: torch.nn.Module, map_bchw: Tensor) -> Tensor:
    """A CLIP-ResNet's attention pool written out: contributions by token and head (b,t,h,o), not normalised, no b_O."""
    p = pool.double()
    tokens = map_bchw.double().flatten(2).transpose(1, 2)
    z = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + p.positional_embedding
    h = p.num_heads
    q, key, value = (layer(z).unflatten(-1, (h, -1)) for layer in (p.q_proj, p.k_proj, p.v_proj))
    logits = torch.einsum("bhk,bthk->bht", q[:, 0], key) / q.shape[-1] ** 0.5
    return torch.einsum("bht,bthk,ohk->btho", torch.softmax(logits, -1), value, p.c_proj.weight.unflatten(-1, (h, -1)))
