"""The store's answers by brute force: every image, float64, loops."""

import numpy as np

from core.bundle.read import Bundle


def scores(bundle: Bundle, i: int, h: int, text_o: np.ndarray) -> dict[int, float]:
    """⟨Q r, t⟩ of every usable image."""
    basis = np.array(bundle.array("basis")[i, h], np.float64)
    r_nc = np.array(bundle.array("r")[i, h], np.float64)
    return {int(n): float(basis @ r_nc[n] @ text_o) for n in np.flatnonzero(bundle.array("ok"))}


def folded(bundle: Bundle, ids: list[int], above: float) -> dict[int, list[int]]:
    """Greedy: an image joins the first one shown that it is nearly equal to."""
    ok = np.flatnonzero(bundle.array("ok"))
    units = np.array(bundle.array("representations"), np.float64)
    mean = units[ok].mean(0)
    shown: dict[int, list[int]] = {}
    for n in ids:
        for m in shown:
            x, y = units[n] - mean, units[m] - mean
            if x @ y / np.sqrt((x @ x) * (y @ y)) > above:
                shown[m].append(n)
                break
        else:
            shown[n] = []
    return shown


def correlation_ratio(r_nc: np.ndarray, names: list) -> float:
    """η with the ε² correction, from its definition: within-group and total sums of squares."""
    total = sum(((r - r_nc.mean(0)) ** 2).sum() for r in r_nc)
    within = 0.0
    for name in set(names):
        group = np.array([r for r, other in zip(r_nc, names, strict=True) if other == name])
        within += ((group - group.mean(0)) ** 2).sum()
    n, k = len(names), len(set(names))
    return float(np.sqrt(max(0.0, 1 - (within / (n - k)) / (total / (n - 1)))))
