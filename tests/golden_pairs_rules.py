"""How golden arrays of neuron-head pairs are judged (`tests.golden_pairs`): floats by 1e-4 of the largest entry, as the
set's description suggests, choices but for those that the reference's own rounding decides."""

from functools import lru_cache

import numpy as np
import torch

from core.methods.sparse_text import AtomScaling, text_atoms
from tests.golden_set import GoldenSet, Rules, Verdict, within
from tests.reference.plain_sparse_text import plain_pursuit

BOUND = 1e-4
TIE = 1e-5  # relative: choices that are won by less are decided by the reference's float32


def percentile(name: str) -> float:
    """The number that a name ends with."""
    return float(name[len(name.rstrip("0123456789.")) :])


def _bound(golden: GoldenSet, name: str) -> float:
    return BOUND * float(np.abs(golden.arrays[name]).max())


def _floats(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    return within(golden, name, np.abs(ours.astype(np.float64) - golden.arrays[name]), _bound(golden, name))


def _logits(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Up to what all tokens share, which the softmax drops: the key's bias, which is not computed, is part of it."""
    centred = lambda x_bht: x_bht.astype(np.float64) - x_bht.mean(-1, keepdims=True)
    error = np.abs(centred(ours) - centred(golden.arrays[name]))
    return within(golden, name, error, _bound(golden, name), "compared less their mean over tokens")


def _choice(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """pair_order and its beginning, omp_pairs, through the scores that they order; no pair may come twice."""
    score_p, theirs = golden.arrays["pair_score"].ravel().astype(np.float64), golden.arrays[name]
    if len(np.unique(ours)) < len(ours) or not 0 <= ours.min() <= ours.max() < len(score_p):
        return Verdict(False, np.nan, np.nan, None, "no order of pairs")
    error, bound = np.abs(score_p[ours] - score_p[theirs]), TIE * float(score_p.max())
    return within(golden, name, error, bound, f"{(ours != theirs).sum()} in another place, compared by their scores")


def _mask(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Exact but for pairs whose score is the percentile itself, within rounding."""
    score_mn = golden.arrays["pair_score"].astype(np.float64)
    least = np.percentile(score_mn, percentile(name))
    differ, tie = ours != golden.arrays[name], np.abs(score_mn - least) <= TIE * least
    wrong = int((differ & ~tie).sum())
    return Verdict(wrong == 0, float(wrong), wrong / ours.size, None, f"{differ.sum()} masks differ, {wrong} no ties")


def _signed(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """First components but for those whose sign, or whose images, the reference's own rounding decides."""
    theirs, safe = golden.arrays, np.zeros(ours.shape[:-1], bool)
    for at in np.ndindex(safe.shape):
        safe[at] = _decided(_centred(theirs, name, at), theirs[name][at], golden.config["top_k_pca"], int(name[-1]))
    error = np.abs(ours - theirs[name])[safe]
    return within(golden, name, error, _bound(golden, name), f"{(~safe).sum()} undecided ones excluded")


def _centred(theirs: dict[str, np.ndarray], name: str, at: tuple[int, ...]) -> np.ndarray:
    """A unit's centred contributions (i, o) float64, from golden arrays."""
    if name == "pc0":
        r_io = np.outer(theirs["coef"][:, at[0], at[1]], theirs["direction"][at]).astype(np.float64)
    else:
        r_io = theirs["contrib_neuron"][:, at[0]].astype(np.float64)
    return r_io - r_io.mean(0)


def _decided(r_io: np.ndarray, vector_o: np.ndarray, k: int, rank: int) -> bool:
    """Whether a component (`rank` 0 or 1) stands clear of rounding: which images are the largest, its singular value's
    distance to its neighbours (whose vectors mix by rounding over distance), and the vote on its sign."""
    norms = np.sort(np.linalg.norm(r_io, axis=1))[::-1]
    if not norms[0] or (k < len(norms) and norms[k - 1] - norms[k] <= TIE * norms[0]):
        return False
    top_ko = r_io[np.argsort(-np.linalg.norm(r_io, axis=1))[:k]]
    values = np.linalg.svd(top_ko, compute_uv=False) / norms[0]
    near = [abs(values[rank] - other) for j, other in enumerate(values) if j != rank]
    along_k = top_ko @ vector_o.astype(np.float64) / norms[0]
    votes = int((along_k > 0).sum())
    close = votes in (k // 2, k // 2 + 1) and np.abs(along_k).min() <= TIE * 10
    return min(near, default=1.0) > 1e-2 and not close


def _ablated(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """As all floats, but for pairs whose score is the percentile itself, within rounding."""
    score_p = golden.arrays["pair_score"].ravel().astype(np.float64)
    least = np.percentile(score_p, percentile(name))
    return _but_for(golden, name, ours, np.abs(score_p - least) <= TIE * least)


def _sparse(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """As all floats, but for pairs that have a pick which another text came near to."""
    pc0, picks = golden.arrays["pc0"], golden.config["omp_components"]
    return _but_for(golden, name, ours, _tied_pairs(pc0.tobytes(), pc0.shape, golden.texts.tobytes(), picks))


def _but_for(golden: GoldenSet, name: str, ours: np.ndarray, tied_p: np.ndarray) -> Verdict:
    """What undecided pairs can change is their coefficients times anything: the error is taken at right angles to it,
    over images. Where they are many it would be right-angled to everything: then 2 |x| of each is allowed instead."""
    error_bo = ours.astype(np.float64) - golden.arrays[name]
    coef, bound = golden.arrays["coef"].astype(np.float64), _bound(golden, name)
    x_bp = (coef - coef.mean(0)) * np.linalg.norm(golden.arrays["direction"], axis=-1)
    x_bp = x_bp.reshape(len(x_bp), -1)[:, tied_p]
    if 0 < x_bp.shape[1] <= len(x_bp) // 2:
        basis_bp = np.linalg.qr(x_bp)[0]
        error_bo = error_bo - basis_bp @ (basis_bp.T @ error_bo)
    elif x_bp.size:
        bound += 2 * float(np.abs(x_bp).sum(1).max())
    return within(golden, name, np.abs(error_bo), bound, f"{tied_p.sum()} undecided pairs allowed for")


@lru_cache(maxsize=2)
def _tied_pairs(directions: bytes, shape: tuple[int, ...], texts: bytes, picks: int) -> np.ndarray:
    """Which pairs (in the golden order) have a pick that another text came near to: bool."""
    pc0_po = np.frombuffer(directions, np.float32).reshape(-1, shape[-1])
    vocab_wo = torch.from_numpy(np.frombuffer(texts, np.float32).reshape(-1, shape[-1]).copy())
    atoms_wo = text_atoms(vocab_wo, AtomScaling.PAPER).numpy()
    return np.array([min(plain_pursuit(d_o, atoms_wo, picks).margin) <= TIE for d_o in pc0_po])


_CHOICES = {"pair_order": _choice, "omp_pairs": _choice, "mask_percentile": _mask}
_OTHERS = {
    "attention_logits_cls": _logits, "representation_sparse": _sparse, "representation_meanablate": _ablated,
}  # fmt: skip
_SIGNED = dict.fromkeys(("pc0", "neuron_pc0", "neuron_pc1"), _signed)
_FLOATS = (
    "conv_map", "z", "attention_cls", "representation", "coef", "direction", "pair_constant", "contrib_", "norm_pair",
    "pair_mean", "top_norms", "pair_score", "inertia_",
)  # fmt: skip
#: Judged by how a name begins, the first that fits: "representation_sparse" before "representation".
RULES: Rules = {**_CHOICES, **_OTHERS, **_SIGNED, **dict.fromkeys(_FLOATS, _floats)}
