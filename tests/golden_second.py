"""Golden arrays of the second-order effects: φ, its mean, norms, largest images, first components, coefficients."""

import numpy as np
import torch

from core.methods.layernorm import Convention
from core.methods.second_order import PAPER_FACTOR, SecondOrder
from tests.golden_set import GoldenSet, Rules, Verdict, build_tower, within

TIE = 1e-4  # relative gap of the k-th and the next norm below which S_n is decided by rounding (rule of the golden set)


def second_order(
    golden: GoldenSet, activation: str, convention: Convention = Convention.EQUAL
) -> dict[str, np.ndarray]:
    """Our version of second_<activation>.npz, for every layer in it; its texts' decompositions apart."""
    layers = sorted(int(name.removeprefix("phi_l")) for name in golden.arrays if name.startswith("phi_l"))
    tower = build_tower(golden, activation)
    out: dict[str, torch.Tensor] = {}
    for layer in layers:
        lens = SecondOrder(tower, layer, convention)
        s_bnm = lens.scalars(tower.trace(golden.images, (), (layer,)))
        mean_nm = s_bnm.double().mean(0).float()
        main_bnm = s_bnm[: golden.arrays[f"phi_l{layer}"].shape[0]]
        norm_bn = lens.norms(s_bnm, mean_nm)
        top_kn = norm_bn.topk(golden.arrays[f"topk_idx_l{layer}"].shape[1], dim=0, sorted=True)
        chosen_nk = top_kn.indices.flip(0).T
        principal = lens.principal(s_bnm[chosen_nk, torch.arange(lens.neurons)[:, None]], mean_nm)
        out |= {
            f"phi_l{layer}": PAPER_FACTOR * lens.phi(main_bnm),
            f"phi_mean_l{layer}": PAPER_FACTOR * lens.phi(mean_nm[None])[0],
            f"cnorm_all_l{layer}": PAPER_FACTOR * norm_bn,
            f"topk_idx_l{layer}": chosen_nk,
            f"topk_norm_l{layer}": PAPER_FACTOR * top_kn.values.flip(0).T,
            f"pca_l{layer}": principal.direction_no,
            f"x_l{layer}": PAPER_FACTOR * lens.coefficients(main_bnm, mean_nm, principal),
        }
    return {name: value.numpy() for name, value in out.items()}


def _layer(name: str) -> str:
    return name.rsplit("_l", 1)[1]


def _safe(golden: GoldenSet, name: str) -> np.ndarray:
    """Neurons (n,) whose S_n is not decided by rounding."""
    return golden.arrays[f"topk_gap_l{_layer(name)}"] > TIE


def _tolerance(golden: GoldenSet, name: str) -> float:
    """Of arrays made of φ: φ's own noise counts, where theirs was not stored."""
    return golden.tolerance(name, golden.noise.get(f"phi_l{_layer(name)}", [0.0])[0])


def _made_of_phi(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    return within(golden, name, np.abs(ours - golden.arrays[name]), _tolerance(golden, name))


def _chosen(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """S_n as a set, where it is not decided by rounding."""
    theirs = golden.arrays[name]
    differ = (np.sort(ours, axis=1) != np.sort(theirs, axis=1)).any(axis=1)
    hard = differ & _safe(golden, name)
    remark = f"{differ.sum()} neurons differ, {hard.sum()} of them not ties (compared as sets)"
    return Verdict(not hard.any(), float(differ.sum()), float(differ.mean()), None, remark)


def _tie_free_norms(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    safe = _safe(golden, name)
    error = np.abs(ours - golden.arrays[name])[safe]
    return within(golden, name, error, remark=f"{(~safe).sum()} near-tie neurons excluded")


def _components(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Signs agree where the vote cannot flip by rounding; an entry's error grows as the second component's size nears
    the first's."""
    theirs, safe = golden.arrays[name], _safe(golden, name)
    sign = np.where((ours * theirs).sum(1) < 0, -1.0, 1.0)
    flips = int(((sign < 0) & safe & golden.arrays[f"pca_sign_safe_l{_layer(name)}"]).sum())
    sizes = golden.arrays[f"pca_sv_l{_layer(name)}"].astype(np.float64)
    condition = np.maximum(1, 1 / (sizes[:, 0] / sizes[:, 1] - 1))
    error = (np.abs(ours * sign[:, None] - theirs).max(1) / condition)[safe]
    remark = f"{flips} wrong signs; {(~safe).sum()} near-tie neurons excluded"
    verdict = within(golden, name, error, remark=remark)
    return verdict._replace(good=verdict.good and flips == 0)


def _coefficients(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Ten times φ's tolerance: a coefficient inherits its component's conditioning."""
    safe = _safe(golden, name)
    error = np.abs(ours - golden.arrays[name])[:, safe]
    return within(golden, name, error, 10 * _tolerance(golden, name), f"{(~safe).sum()} near-tie neurons excluded")


RULES: Rules = {
    "phi_mean_l": _made_of_phi,
    "cnorm_all_l": _made_of_phi,
    "topk_idx_l": _chosen,
    "topk_norm_l": _tie_free_norms,
    "pca_l": _components,
    "x_l": _coefficients,
}
