"""TextSpan: the texts that span what a head writes. Paper H (Gandelsman et al. 2024), algorithm 1.

Greedily pick the text along which the head's contributions vary most, project it out of the contributions and of the
pool, repeat. The published algorithm does so on the data matrix (images x joint space). Only the head's covariance Σ
in its own k-dimensional subspace matters, so it costs nothing per image and a head can be relabelled live.

Let T be the pool in head coordinates and u the picked text's unit residual. Deflating data and pool by u changes the
variance along text t by -2 (t·u)(t·s) + (u·s)(t·u)², with s = Σ u; so each step is two matrix-vector products with the
*original* T, and the deflated pool is never formed.
"""

from dataclasses import dataclass

import numpy as np

EXHAUSTED = 1e-10  # of the head's variance: what float64 leaves of a fully explained covariance

SPANNED = 1e-6  # of a text's length: what lies outside a span that holds it, since embeddings are float32


@dataclass(frozen=True)
class TextSpan:
    """`index_m` rows of the pool in order of choice (-1 once nothing is left to explain) and `explained_m`, the
    fraction of the head's variance that each removes (population: the images that made the covariance)."""

    index_m: np.ndarray
    explained_m: np.ndarray

    @property
    def cumulative_m(self) -> np.ndarray:
        return np.cumsum(self.explained_m)


def textspan(cov_cc: np.ndarray, texts_wc: np.ndarray, picks: int) -> TextSpan:
    """Choose `picks` texts for a head.

    `cov_cc` covariance of the head's coordinates r; `texts_wc` = T Q, the pool's unit rows in the same coordinates.
    Ties go to the earlier text. A head that does not vary gets no texts.
    """
    cov, texts = np.array(cov_cc, np.float64), np.asarray(texts_wc, np.float64)
    chosen_cj = np.zeros((cov.shape[0], 0))
    index, explained = np.full(picks, -1, np.int32), np.zeros(picks)
    total = np.trace(cov)
    if not total > 0:
        return TextSpan(index, explained)
    variance_w = np.einsum("wc,wc->w", texts @ cov, texts)
    for step in range(min(picks, *texts.shape)):
        best = int(np.argmax(variance_w))
        residual_c = _orthogonal_part(texts[best], chosen_cj)
        norm = np.linalg.norm(residual_c)
        if variance_w[best] <= EXHAUSTED * total * (texts[best] @ texts[best]) or norm == 0:
            break
        unit_c = residual_c / norm
        slope_c = cov @ unit_c
        removed = unit_c @ slope_c
        along_w, with_w = (texts @ np.stack([unit_c, slope_c], axis=1)).T
        variance_w += along_w * (removed * along_w - 2 * with_w)
        variance_w[best] = -np.inf
        cov += np.outer(unit_c, removed * unit_c - slope_c) - np.outer(slope_c, unit_c)
        chosen_cj = np.column_stack([chosen_cj, unit_c])
        index[step], explained[step] = best, removed / total
    return TextSpan(index, explained)


def head_subspace(mean_c: np.ndarray, cov_cc: np.ndarray, rank: int) -> np.ndarray:
    """Projector (c, c) onto the top `rank` directions of the *uncentred* second moment, as the released code's
    `w_ov_rank` truncates the pool. Multiply the pool by it; the default is no truncation."""
    second_cc = np.asarray(cov_cc, np.float64) + np.outer(mean_c, mean_c)
    top_cr = np.linalg.eigh(second_cc)[1][:, -rank:]
    return top_cr @ top_cr.T


def explained_in_order(cov_cc: np.ndarray, texts_dmc: np.ndarray) -> np.ndarray:
    """What texts taken in a given order explain: (d, m) fractions of the variance that each of m texts adds to those
    before it, for each of d sequences of rows in the head's coordinates.

    The same projection as TextSpan's without its choice: the baseline for it. A text that those before it span adds 0.
    """
    cov, texts = np.asarray(cov_cc, np.float64), np.asarray(texts_dmc, np.float64)
    total, basis_dmc = np.trace(cov), np.zeros(texts.shape)
    if not total > 0:
        return np.zeros(texts.shape[:2])
    for step in range(texts.shape[1]):
        before_djc, residual_dc = basis_dmc[:, :step], texts[:, step]
        for _ in range(2):  # twice, because once loses digits when little is left
            residual_dc = residual_dc - np.einsum("djc,djb,db->dc", before_djc, before_djc, residual_dc, optimize=True)
        norm_d1 = np.linalg.norm(residual_dc, axis=1, keepdims=True)
        new_d1 = norm_d1 > SPANNED * np.linalg.norm(texts[:, step], axis=1, keepdims=True)
        basis_dmc[:, step] = np.where(new_d1, residual_dc / np.where(new_d1, norm_d1, 1), 0)
    return np.einsum("dmc,cb,dmb->dm", basis_dmc, cov, basis_dmc, optimize=True) / total


def best_explained(cov_cc: np.ndarray, picks: int) -> np.ndarray:
    """(m,) cumulative fractions of the variance along the first m principal components: no directions reach more."""
    variance_c = np.maximum(np.linalg.eigvalsh(np.asarray(cov_cc, np.float64))[::-1], 0)
    return np.cumsum(variance_c)[:picks] / (variance_c.sum() or 1.0)


def _orthogonal_part(x_c: np.ndarray, basis_cj: np.ndarray) -> np.ndarray:
    """x minus its projection on orthonormal columns; twice, because once loses digits when little is left."""
    for _ in range(2):
        x_c = x_c - basis_cj @ (basis_cj.T @ x_c)
    return x_c
