"""Golden arrays of the first-order decomposition and of TextSpan."""

import re

import numpy as np
import torch

from core.methods.first_order import FirstOrder
from core.methods.layernorm import Convention
from core.methods.textspan import head_subspace, textspan
from tests.golden_set import GoldenSet, Rules, Verdict, build_tower, close

TIE = 1e-5  # a pick whose margin over the second best is smaller is decided by rounding (rule of the golden set)
ROUNDING = 1e-7  # a reconstruction inherits the float32 rounding of the head outputs that it is made of


def first_order(golden: GoldenSet, activation: str) -> dict[str, np.ndarray]:
    """Our version of every array of first_<activation>.npz."""
    if "rep" not in golden.arrays:
        return {}
    tower = build_tower(golden, activation)
    layers = tuple(range(tower.layers))
    lens = FirstOrder(tower, layers, Convention.EQUAL)
    pool = tower.trace(golden.images, layers)
    n = golden.arrays["rep"].shape[0]
    main = tower.trace(golden.images[:n], layers)
    parts = lens.parts(main)
    tokens = torch.stack([lens.token_contributions(main, layer) for layer in layers], dim=1)
    mlps = parts.part_pbo[[0, *(lens.names.index(f"mlp L{i}") for i in layers)]]
    heads_blho = lens.head_contributions(lens.parts(pool).coords_blhc)
    out = {
        "rep": main.representation_bo,
        "rep_norm": main.norm_b,
        "post_ln_mean": main.mean_b[:, None],
        "post_ln_std": main.scale_b[:, None],
        "attn_tok": tokens,
        "attn_head": lens.head_contributions(parts.coords_blhc),
        "mlps": mlps.transpose(0, 1),
        "cls_attn": tokens[:, :, 0].sum(2),
    }
    for name in golden.arrays:
        if match := re.fullmatch(r"headout_L(\d+)H(\d+)", name):
            out[name] = heads_blho[:, int(match[1]), int(match[2])]
    arrays = {name: value.numpy() for name, value in out.items()}
    for name in golden.arrays:
        if match := re.fullmatch(r"ts_idx_L(\d+)H(\d+)_r(\d+)", name):
            layer, head, rank = (int(group) for group in match.groups())
            basis_oc = lens.basis_lhoc[layer, head].double().numpy()
            picks = golden.arrays[name].shape[0]
            coords_bc = golden.arrays[f"headout_L{layer}H{head}"].astype(np.float64) @ basis_oc
            index, rebuilt = _textspan(coords_bc, golden.texts @ basis_oc, picks, rank)
            arrays[name] = index
            arrays[name.replace("ts_idx", "ts_rec")] = rebuilt @ basis_oc.T
    return arrays


def _textspan(coords_bc: np.ndarray, texts_wc: np.ndarray, picks: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Picks, and the head's outputs rebuilt from the mean and the span of the picked texts."""
    mean_c, cov_cc = coords_bc.mean(0), np.cov(coords_bc.T, bias=True)
    texts_wc = texts_wc @ head_subspace(mean_c, cov_cc, rank)
    result = textspan(cov_cc, texts_wc, picks)
    span_cm = np.linalg.qr(texts_wc[result.index_m].T)[0]
    return result.index_m, mean_c + (coords_bc - mean_c) @ span_cm @ span_cm.T


def _picks(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Picks in order agree exactly, except from a step on that the golden itself calls a tie."""
    theirs = golden.arrays[name]
    wrong = np.flatnonzero(ours != theirs)
    margin = golden.arrays[name.replace("ts_idx", "ts_margin")]
    tied = len(wrong) == 0 or margin[wrong[0]] < TIE
    remark = f"{len(theirs)} picks identical" if len(wrong) == 0 else f"picks part at {wrong[0]}"
    return Verdict(bool(tied), float(len(wrong)), len(wrong) / len(theirs), None, remark)


RULES: Rules = {
    "ts_idx": _picks,
    "ts_rec": lambda golden, name, ours: close(golden, name, ours, golden.tolerance(name, ROUNDING)),
}
