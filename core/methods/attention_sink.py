"""Attention sinks of a ResNet's pool: the token that its class token looks at, and the neurons that make it do so.

Paper P (Bu & Gandelsman 2025), §5.2 and appendix: the class token attends to one and the same token in nearly every
image, whatever is there, and a few *register neurons* drive it. A neuron is ranked by how much the attention to that
token, mean over heads, changes when the neuron is set to zero in all tokens, the class token (their mean) included,
before the positional embedding is added.

That needs no further pass. With x the tokens, z = x + position, q = W_Q z_0 + b_Q and k_t = W_K z_t, setting neuron n
to zero changes query and keys by one column each, so for all neurons n, tokens t and heads

    logit'_nt = (q·k_t - x_0n (w_n^Q·k_t) - x_tn (q·w_n^K) + x_0n x_tn (w_n^Q·w_n^K)) / √d.

(The key's bias shifts all logits alike.) Checked against passes with the neuron zeroed: tests/reference/plain_sink.py.

Letters as in `core.models.tower`, n neuron (a channel of the last map).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from core.models.tower import HeadWeights

_CHUNK = 2**24  # logits formed at a time: 64 MB


def sink_token(attn_bht: Tensor) -> Tensor:
    """(b,) the token other than the class token that each image's class token attends to most, mean over heads."""
    return attn_bht.mean(1)[:, 1:].argmax(-1) + 1


def sink_change(weights: HeadWeights, x_btn: Tensor, position_tn: Tensor, token: int) -> Tensor:
    """(b, n) the attention to `token`, mean over heads, less what it is with neuron n set to zero in all tokens.

    Positive: the neuron draws attention to the token. `x_btn` are the pool's tokens without positional embedding.
    """
    b, t, n = x_btn.shape
    h, scale = weights.heads, 1 / math.sqrt(weights.head_width)
    z_btn = x_btn + position_tn
    query_bhk = torch.einsum("bn,hkn->bhk", z_btn[:, 0], weights.wq_hkd) + weights.bq_hk
    key_bhtk = torch.einsum("btn,hkn->bhtk", z_btn, weights.wk_hkd)
    logit_bht = torch.einsum("bhk,bhtk->bht", query_bhk, key_bhtk)
    attention_b = torch.softmax(logit_bht * scale, dim=-1)[..., token].mean(1)
    out_bn = torch.empty(b, n, device=x_btn.device)
    step = max(1, _CHUNK // (b * h * t))
    for start in range(0, n, step):
        part = slice(start, start + step)
        wq_hkn, wk_hkn, x_part = weights.wq_hkd[..., part], weights.wk_hkd[..., part], x_btn[..., part]
        by_query_bhnt = torch.einsum("hkn,bhtk->bhnt", wq_hkn, key_bhtk)
        by_key_bhn = torch.einsum("bhk,hkn->bhn", query_bhk, wk_hkn)
        both_hn = (wq_hkn * wk_hkn).sum(1)
        first_bn = x_part[:, 0]
        per_token_bhn = by_key_bhn - first_bn[:, None] * both_hn  # q'·w_n^K
        changed_bhnt = (
            logit_bht[:, :, None]
            - first_bn[:, None, :, None] * by_query_bhnt
            - x_part.transpose(1, 2)[:, None] * per_token_bhn[..., None]
        )
        without_bn = torch.softmax(changed_bhnt * scale, dim=-1)[..., token].mean(1)
        out_bn[:, part] = attention_b[:, None] - without_bn
    return out_bn


def attention_without(
    weights: HeadWeights, x_btn: Tensor, position_tn: Tensor, neurons: Sequence[int] | Tensor
) -> Tensor:
    """a_bht of the class token with some neurons set to zero in all tokens at once, before the positional embedding."""
    kept_btn = x_btn.clone()
    kept_btn[..., torch.as_tensor(neurons, dtype=torch.long)] = 0
    return weights.attention(kept_btn + position_tn)


def register_order(change_bn: Tensor) -> Tensor:
    """(n,) neurons by descending mean over images of |change|, ties by number."""
    return torch.argsort(change_bn.abs().mean(0), descending=True, stable=True)
