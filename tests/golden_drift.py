"""Golden arrays of drift and of the attention sink: shift_*, sink_* and register_order of `clip_rn.npz`.

Everything is computed from weights, images and texts, through the methods that the product uses.
"""

import numpy as np
import torch

from core.methods.attention_sink import register_order, sink_change
from core.methods.drift import choose_pairs, written_share
from tests.golden_segmentation import directions, pixels, resnet_tower
from tests.golden_set import GoldenSet, Rules, Verdict, close, within
from tests.golden_text import TIE


def drift(golden: GoldenSet, kind: str) -> dict[str, np.ndarray]:
    """shift_*: the pairs of largest cosine with each text, and what they write together."""
    tower = resnet_tower(golden)
    trace, weights = tower.trace(pixels(golden.images)), tower.head_weights(0)
    h, n = tower.heads, tower.width
    unit_po = directions(tower, trace, golden.config["top_k_pca"]).double().numpy()  # row n · heads + h
    d_po = torch.einsum("hok,hkn->nho", weights.wo_hdk, weights.wv_hkd).flatten(0, 1).double().numpy()
    length_p = (d_po * unit_po).sum(1)
    constant_ho = (torch.einsum("hok,hk->ho", weights.wo_hdk, weights.bv_hk) + weights.bo_d / h).double().numpy() / n
    heads = trace.heads[0]
    moved_bp = (heads.attn_bht @ heads.z_btd).transpose(1, 2).flatten(1).double().numpy()
    norm_b = trace.norm_b.double().numpy()
    found: dict[str, list[np.ndarray]] = {"shift_pairs": [], "shift_similarity": [], "shift_score": []}
    for text_o in golden.inputs["text"]:
        cosine_p = unit_po @ text_o
        chosen = choose_pairs(cosine_p, golden.arrays["shift_pairs"].shape[1])
        amount_bj = moved_bp[:, chosen] * length_p[chosen] / norm_b[:, None]
        neuron, head = np.divmod(chosen, h)
        found["shift_pairs"].append(head * n + neuron)  # as the set numbers them
        found["shift_similarity"].append(cosine_p[chosen])
        found["shift_score"].append(written_share(amount_bj, unit_po[chosen], constant_ho[head].sum(0), norm_b))
    return {name: np.stack(rows, axis=1 if name == "shift_score" else 0) for name, rows in found.items()}


def sink(golden: GoldenSet, kind: str) -> dict[str, np.ndarray]:
    """sink_* of the last token, as in the released code, and the neurons that drive it."""
    tower = resnet_tower(golden)
    heads, position_td = tower.trace(pixels(golden.images)).heads[0], tower.pool.positional_embedding.detach()
    change_bn = sink_change(tower.head_weights(0), heads.z_btd - position_td, position_td, len(position_td) - 1)
    return {
        "sink_attention": heads.attn_bht[..., -1].mean(1).numpy(),
        "sink_diff": change_bn.numpy(),
        "register_order": register_order(change_bn).numpy(),
    }


def _floats(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """1e-4 of the largest entry, as the set's description suggests."""
    return close(golden, name, ours, 1e-4 * float(np.abs(golden.arrays[name]).max()))


def _pairs(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Equal wherever the similarity tells neighbours in the list apart, the first one outside of it included."""
    theirs = golden.arrays
    every_wp = golden.inputs["text"] @ theirs["pc0"].reshape(-1, theirs["pc0"].shape[-1]).T
    best_wj = np.sort(every_wp, axis=1)[:, ::-1][:, : ours.shape[1] + 1]
    return _apart(golden, name, ours, best_wj)


def _order(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Equal wherever the mean change tells neighbours apart."""
    size_n = np.sort(np.abs(golden.arrays["sink_diff"]).mean(0))[::-1]
    return _apart(golden, name, ours[None], np.append(size_n, -size_n[0])[None])


def _apart(golden: GoldenSet, name: str, ours: np.ndarray, value: np.ndarray) -> Verdict:
    """`value` is what orders each row, with one entry more than the row."""
    gap = np.abs(np.diff(value, axis=1, prepend=np.inf))
    near = np.minimum(gap[:, :-1], gap[:, 1:]) <= TIE * np.abs(value).max()
    wrong = (ours != golden.arrays[name].reshape(ours.shape))[~near]
    return within(golden, name, wrong.astype(float), 0.0, f"{near.sum()} near-ties excluded")


RULES: Rules = {"shift_pairs": _pairs, "shift_": _floats, "sink_": _floats, "register_order": _order}
