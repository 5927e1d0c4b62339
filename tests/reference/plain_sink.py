"""Attention sinks, spelled out: for each neuron, image and head the pool's attention with the neuron set to zero."""

import numpy as np


def plain_attention(
    x_tn: np.ndarray, position_tn: np.ndarray, wq: np.ndarray, bq: np.ndarray, wk: np.ndarray, bk: np.ndarray,
    heads: int,
) -> np.ndarray:  # fmt: skip
    """(h, t) the class token's attention of one image; weights as torch's linear layers have them, (n, n) and (n,)."""
    z_tn = x_tn + position_tn
    query, keys = wq @ z_tn[0] + bq, [wk @ z + bk for z in z_tn]
    width = len(query) // heads
    out = np.zeros((heads, len(z_tn)))
    for h in range(heads):
        own = slice(h * width, (h + 1) * width)
        logits = np.array([query[own] @ key[own] for key in keys]) / np.sqrt(width)
        odds = np.exp(logits - logits.max())
        out[h] = odds / odds.sum()
    return out


def plain_sink_change(
    x_btn: np.ndarray, position_tn: np.ndarray, wq: np.ndarray, bq: np.ndarray, wk: np.ndarray, bk: np.ndarray,
    heads: int, token: int,
) -> np.ndarray:  # fmt: skip
    """(b, n) the mean attention to `token` less what it is without each neuron."""
    pool = (position_tn, wq, bq, wk, bk, heads)
    out = np.zeros((x_btn.shape[0], x_btn.shape[2]))
    for b, x_tn in enumerate(x_btn):
        whole = plain_attention(x_tn, *pool)[:, token].mean()
        for n in range(x_tn.shape[1]):
            without = x_tn.copy()
            without[:, n] = 0
            out[b, n] = whole - plain_attention(without, *pool)[:, token].mean()
    return out
