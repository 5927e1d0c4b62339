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

_CHUNK = 2**20  # logits formed at a time: 4 MB, which stays in a core's cache


def sink_token(attn_bht: Tensor) -> Tensor:
    """(b,) the token other than the class token that each image's class token attends to most, mean over heads."""
    return attn_bht.mean(1)[:, 1:].argmax(-1) + 1


def sink_change(weights: HeadWeights, x_btn: Tensor, position_tn: Tensor, token: int) -> Tensor:
    """(b, n) the attention to `token`, mean over heads, less what it is with neuron n set to zero in all tokens.

    Positive: the neuron draws attention to the token. `x_btn` are the pool's tokens without positional embedding.
    """
    scale = 1 / math.sqrt(weights.head_width)
    both_hn = (weights.wq_hkd * weights.wk_hkd).sum(1)
    out_bn = torch.zeros(x_btn.shape[0], x_btn.shape[2], device=x_btn.device)
    for x_tn, out_n in zip(x_btn, out_bn, strict=True):
        z_tn = x_tn + position_tn
        query_hk = torch.einsum("n,hkn->hk", z_tn[0], weights.wq_hkd) + weights.bq_hk
        key_htk = torch.einsum("tn,hkn->htk", z_tn, weights.wk_hkd)
        logit_ht = torch.einsum("hk,htk->ht", query_hk, key_htk)
        by_key_hn = torch.einsum("hk,hkn->hn", query_hk, weights.wk_hkd)
        attention = torch.softmax(logit_ht * scale, dim=-1)[:, token].mean()
        active = x_tn.any(0).nonzero()[:, 0]  # a neuron that is zero everywhere changes nothing
        for part in active.split(max(1, _CHUNK // logit_ht.numel())):
            x_part, first = x_tn[:, part], x_tn[0, part]
            changed_hnt = weights.wq_hkd[..., part].transpose(1, 2) @ key_htk.transpose(1, 2)  # w_n^Q·k_t
            changed_hnt *= -first[:, None]
            per_token_hn = by_key_hn[:, part] - first * both_hn[:, part]  # q'·w_n^K
            changed_hnt.addcmul_(x_part.T, per_token_hn[..., None], value=-1)
            changed_hnt += logit_ht[:, None]
            changed_hnt *= scale
            without_hn = torch.exp(changed_hnt[..., token] - torch.logsumexp(changed_hnt, dim=-1))
            out_n[part] = attention - without_hn.mean(0)
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
