"""Neuron-head pairs as the released code of paper P computes them: every contribution written out, one SVD a unit."""

from collections.abc import Sequence

import numpy as np


def plain_contributions(
    s_inm: np.ndarray, direction_nmo: np.ndarray, constant_mo: np.ndarray | float = 0
) -> np.ndarray:
    """r (i, n, m, o) = s D + c, float64."""
    return s_inm[..., None].astype(np.float64) * direction_nmo + constant_mo


def plain_largest(r_io: np.ndarray, count: int) -> np.ndarray:
    """Centred contributions (k, o) of the `count` images whose centred norm is largest, smallest norm first."""
    centred_io = r_io - r_io.mean(0)
    return centred_io[np.argsort(np.linalg.norm(centred_io, axis=1))[-count:]]


def plain_components(r_io: np.ndarray, largest: int, count: int) -> np.ndarray:
    """Right singular vectors of those (count, o), each turned so that most of the images project positively."""
    top_ko = plain_largest(r_io, largest)
    vectors_ro = np.linalg.svd(top_ko, full_matrices=False)[2][:count].copy()
    for vector_o in vectors_ro:
        along_k = top_ko @ vector_o
        positive, negative = (along_k > 0).sum(), (along_k < 0).sum()
        if negative > positive or (negative == positive and along_k.mean() < 0):
            vector_o *= -1
    return vectors_ro


def plain_score(r_io: np.ndarray, largest: int) -> float:
    """Mean of the largest centred norms."""
    return float(np.linalg.norm(plain_largest(r_io, largest), axis=1).mean())


def plain_inertia(r_io: np.ndarray, unit_io: np.ndarray, count: int) -> float:
    """Sum of squared distances to their mean of the representations of the images of largest uncentred norm."""
    chosen_ko = unit_io[np.argsort(np.linalg.norm(r_io, axis=1))[-count:]]
    return float(((chosen_ko - chosen_ko.mean(0)) ** 2).sum())


def plain_ablated(units: Sequence[np.ndarray], scores: Sequence[float], percent: float) -> np.ndarray:
    """Sum of all units' contributions (i, o) each, those below the percentile of the scores replaced by their means."""
    least = np.percentile(scores, 100 - percent)
    parts = [
        r_io if score >= least else np.broadcast_to(r_io.mean(0), r_io.shape)
        for r_io, score in zip(units, scores, strict=True)
    ]
    return np.sum(parts, axis=0)


def plain_rebuilt(units: Sequence[np.ndarray], directions: Sequence[np.ndarray]) -> np.ndarray:
    """Sum over units of the mean and the projection of what is around it on orthonormal directions (r, o)."""
    total = np.zeros_like(units[0])
    for r_io, vectors_ro in zip(units, directions, strict=True):
        mean_o = r_io.mean(0)
        total += mean_o + (r_io - mean_o) @ vectors_ro.T @ vectors_ro
    return total
