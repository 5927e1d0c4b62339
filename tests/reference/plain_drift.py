"""Drift, spelled out: sums of vectors, and the point-biserial correlation by its own formula."""

import numpy as np


def plain_share(contributions_bjo: np.ndarray, representation_bo: np.ndarray) -> np.ndarray:
    """‖sum of the pairs' contributions‖ / ‖representation‖ (b,)."""
    out = []
    for contributions_jo, representation_o in zip(contributions_bjo, representation_bo, strict=True):
        total = np.zeros(len(representation_o))
        for contribution_o in contributions_jo:
            total = total + contribution_o
        out.append(np.sqrt((total**2).sum()) / np.sqrt((representation_o**2).sum()))
    return np.array(out)


def plain_point_biserial(score_b: np.ndarray, truth_b: np.ndarray) -> float:
    """(M₁ - M₀) / s_n · √(p q)."""
    yes, no = score_b[truth_b == 1], score_b[truth_b == 0]
    p = len(yes) / len(score_b)
    spread = np.sqrt(((score_b - score_b.mean()) ** 2).mean())
    return float((yes.mean() - no.mean()) / spread * np.sqrt(p * (1 - p)))
