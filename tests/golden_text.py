"""Golden arrays of the sparse text decompositions: of a ViT's neurons (unit atoms, and as the released code scales
them), and of a ResNet's neuron-head pairs, whose directory (`clip_rn.npz`) has a form of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from core.methods.sparse_text import AtomScaling, pursue, reconstruct, text_atoms
from tests.golden_set import GoldenSet, Rules, Verdict, close, within
from tests.reference.plain_sparse_text import plain_pursuit

RESNET = "clip_rn.npz"
RESNET_INPUTS = ("images_u8", "slide_image_u8", "text", "vocab")
TIE = 1e-5  # a pick that wins by less, relative to atom and direction, is decided by the reference's float32
SCALING = {"omp_ref": AtomScaling.PAPER, "omp_row": AtomScaling.UNIT}
PAPER_FACTOR = 100  # the released code's atoms are a hundred times ours


def sparse_text(golden: GoldenSet, activation: str) -> dict[str, np.ndarray]:
    """omp_* of second_<activation>.npz, from the golden first components, so that they are checked on their own."""
    out: dict[str, np.ndarray] = {}
    for name in golden.arrays:
        which, _, layer = name.partition("_idx_l")
        if which in SCALING and layer:
            atoms_wo = text_atoms(torch.from_numpy(golden.texts), SCALING[which])
            index_nm, coefficient_nm = _decompose(
                golden.arrays[f"pca_l{layer}"], atoms_wo, golden.arrays[name].shape[1]
            )
            out |= {name: index_nm, f"{which}_coef_l{layer}": coefficient_nm / PAPER_FACTOR}
    return out


def resnet_text(golden: GoldenSet, activation: str) -> dict[str, np.ndarray]:
    """The arrays about text of clip_rn.npz, from the golden first components of its pairs."""
    theirs = golden.arrays
    directions_no = theirs["pc0"].reshape(-1, theirs["pc0"].shape[-1])[theirs["omp_pairs"]]
    out: dict[str, np.ndarray] = {}
    for prefix, scaling in (("omp", AtomScaling.PAPER), ("omp_unit", AtomScaling.UNIT)):
        atoms_wo = text_atoms(torch.from_numpy(golden.texts), scaling)
        index_nm, coefficient_nm = _decompose(directions_no, atoms_wo, theirs[f"{prefix}_index"].shape[1])
        out |= {f"{prefix}_index": index_nm, f"{prefix}_coef": coefficient_nm}
        if scaling is AtomScaling.PAPER:
            result = pursue(torch.from_numpy(directions_no), atoms_wo, index_nm.shape[1])
            rebuilt_no = reconstruct(result, atoms_wo)
            out["omp_dictionary"] = atoms_wo.numpy()
            out["sparse_direction"] = (rebuilt_no / rebuilt_no.norm(dim=1, keepdim=True)).numpy()
    return out


def load_resnet(folder: Path) -> GoldenSet:
    """The arrays of a ResNet directory."""
    stored = dict(np.load(folder / RESNET))
    return GoldenSet(
        config=json.loads(str(stored.pop("config_json"))),
        weights={name[3:]: torch.from_numpy(value) for name, value in stored.items() if name.startswith("sd:")},
        images=torch.from_numpy(stored["images_u8"]),
        texts=stored["vocab"],
        arrays={k: value for k, value in stored.items() if not k.startswith("sd:") and k not in RESNET_INPUTS},
        noise={},
        inputs={name: stored[name] for name in RESNET_INPUTS},
    )


def _decompose(directions_no: np.ndarray, atoms_wo: torch.Tensor, picks: int) -> tuple[np.ndarray, np.ndarray]:
    """Picks and coefficients in order of decreasing size, as the released code stores them."""
    result = pursue(torch.from_numpy(directions_no), atoms_wo, picks)
    order_nm = result.coefficient_nm.abs().argsort(dim=1, descending=True, stable=True)
    return result.index_nm.gather(1, order_nm).numpy(), result.coefficient_nm.gather(1, order_nm).numpy()


def _same_sets(golden: GoldenSet, name: str, ours: np.ndarray, stable_n: np.ndarray) -> Verdict:
    """Supports as sets, where the reference itself is not decided by rounding."""
    differ = (np.sort(ours, axis=1) != np.sort(golden.arrays[name], axis=1)).any(axis=1)
    hard = int((differ & stable_n).sum())
    remark = f"{differ.sum()} supports differ, {hard} of them not ties (compared as sets)"
    return Verdict(hard == 0, float(differ.sum()), float(differ.mean()), None, remark)


def _neuron_support(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    return _same_sets(golden, name, ours, golden.arrays[name.replace("_idx_", "_stable_")].astype(bool))


def _neuron_coefficients(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Ten times the plain tolerance: a coefficient inherits the conditioning of the picked atoms."""
    stable_n = golden.arrays[name.replace("_coef_", "_stable_")].astype(bool)
    error = np.abs(ours - golden.arrays[name])[stable_n]
    return within(golden, name, error, 10 * golden.tolerance(name), f"{(~stable_n).sum()} unstable neurons excluded")


def _pair_margins(golden: GoldenSet, name: str) -> np.ndarray:
    """By how much each pair's closest pick was won, in float64."""
    theirs = golden.arrays
    scaling = AtomScaling.UNIT if name.startswith("omp_unit") else AtomScaling.PAPER
    atoms_wo = text_atoms(torch.from_numpy(golden.texts), scaling).numpy()
    directions_no = theirs["pc0"].reshape(-1, theirs["pc0"].shape[-1])[theirs["omp_pairs"]]
    picks = theirs["omp_index"].shape[1]
    return np.array([min(plain_pursuit(direction, atoms_wo, picks).margin) for direction in directions_no])


def _pair_support(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    return _same_sets(golden, name, ours, _pair_margins(golden, name) > TIE)


def _pair_floats(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """1e-4 of the largest entry, as the set's description suggests; pairs whose picks are ties excluded."""
    bound = 1e-4 * float(np.abs(golden.arrays[name]).max())
    if name == "omp_dictionary":
        return close(golden, name, ours, bound)
    safe_n = _pair_margins(golden, name) > TIE
    error = np.abs(ours - golden.arrays[name])[safe_n]
    return within(golden, name, error, bound, f"{(~safe_n).sum()} near-tie pairs excluded")


_VIT: dict[str, Callable[[GoldenSet, str, np.ndarray], Verdict]] = {
    f"{which}_{kind}_l": rule
    for which in SCALING
    for kind, rule in (("idx", _neuron_support), ("coef", _neuron_coefficients))
}
RULES: Rules = {
    **_VIT,
    **dict.fromkeys(("omp_index", "omp_unit_index"), _pair_support),
    **dict.fromkeys(("omp_dictionary", "omp_coef", "omp_unit_coef", "sparse_direction"), _pair_floats),
}
