"""Which text a concept's activation follows over images, and how closely.

A half of the images chooses the text, and the other half tells how well it fits: the largest of thousands of
correlations is large by chance too, where it was looked for.

Shape letters: i image, c concept, d unit, w text.
"""

from collections.abc import Iterable, Sequence

import numpy as np

CHOSEN_BY, TOLD_BY = slice(0, None, 2), slice(1, None, 2)
"""Images that choose a concept's label, and those that its correlation is of. The order of images is by hash, so both
are a sample."""
_CONCEPTS = 1_024  # correlated with all texts at a time


def read_as(cosines: Iterable[np.ndarray]) -> np.ndarray:
    """(w, i) float32: how much images are like texts; the mean over models of the standardised cosines (w, i)."""
    parts = [standardised(cosine_wi) for cosine_wi in cosines]
    return np.asarray(sum(parts) / len(parts), np.float32)


def standardised(x_ri: np.ndarray) -> np.ndarray:
    """Rows less their mean, over their deviation, float32; zeros where a row does not vary."""
    x = x_ri.astype(np.float64)
    centred = x - x.mean(1, keepdims=True)
    spread = centred.std(1, keepdims=True)
    # less than rounding leaves of a constant row
    return np.asarray(centred / np.where(spread > 1e-6 * np.abs(x).max(initial=0), spread, np.inf), np.float32)


def deviations(x_ri: np.ndarray, mean_r: np.ndarray, std_r: np.ndarray) -> np.ndarray:
    """Rows less a mean, over a deviation, in their precision; 0 where it is 0."""
    return np.asarray((x_ri - mean_r[:, None]) / np.where(std_r > 0, std_r, np.inf)[:, None])


def activation(z_di: np.ndarray, best: Sequence[Sequence[int]]) -> np.ndarray:
    """(c, i): mean of the standardised peaks `z_di` of each concept's rows `best`, of each member its best unit."""
    return np.stack([z_di[list(rows)].mean(0) for rows in best]) if best else np.zeros((0, z_di.shape[1]), z_di.dtype)


def labels(like_wi: np.ndarray, number_ci: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each concept the text (c,) that its activation follows most closely over the images CHOSEN_BY, -1 where it
    follows none (r ≤ 0), and the Pearson correlation (c,) with it over the images TOLD_BY, NaN without."""
    chosen_c, r_c = np.full(len(number_ci), -1, np.int32), np.full(len(number_ci), np.nan)
    chosen_by, told_by = like_wi[:, CHOSEN_BY], like_wi[:, TOLD_BY]
    if not len(like_wi) or not told_by.shape[1]:
        return chosen_c, r_c
    like_wa = standardised(chosen_by)
    for start in range(0, len(number_ci), _CONCEPTS):
        some = number_ci[start : start + _CONCEPTS]
        r_wc = like_wa @ standardised(some[:, CHOSEN_BY]).T / like_wa.shape[1]
        text_c = r_wc.argmax(0)
        follows = r_wc.max(0) > 0
        told = (standardised(told_by[text_c]) * standardised(some[:, TOLD_BY])).mean(1, dtype=np.float64)
        chosen_c[start : start + len(some)][follows] = text_c[follows]
        r_c[start : start + len(some)][follows] = told[follows]
    return chosen_c, r_c
