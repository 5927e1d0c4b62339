"""Spurious cues: the words by which an image of one class may be taken for another. Paper N (Gandelsman et al. 2025),
its section on semantic adversarial examples, eq. 6.

A neuron's effect is about b + x r, so it adds x⟨r, v⟩ to the difference of an image's cosines with two classes, where
v = t_c2 - t_c1. The sign of r is a convention, and the neuron writes toward c2 at the end where x⟨r, v⟩ > 0: the + end
if ⟨r, v⟩ > 0, else the − end, whose text decomposition is that of -r, with coefficients -γ. Eq. 6 sums
γ_nj |⟨r_n, v⟩| over a set of neurons; with every neuron turned to the end that writes toward c2, that is

    w_j = Σ_n sign(⟨r_n, v⟩) γ_nj |⟨r_n, v⟩| = Σ_n γ_nj ⟨r_n, v⟩,

which no longer depends on the signs of the directions. (Read without turning, as the formula stands, the texts of a
neuron whose − end writes toward c2 would count for c2 although they describe the other end.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WordWeights:
    """Texts with w_j, the largest first, zero ones left out: `row_w` rows of the pool, `weight_w`, and `part_kw` what
    each neuron adds to each, which sums to the weight."""

    row_w: np.ndarray
    weight_w: np.ndarray
    part_kw: np.ndarray


def toward(direction_no: np.ndarray, v_o: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k neurons that write most toward v, by |⟨r_n, v⟩|: their rows (k,) and signed products (k,), largest size
    first, ties by row. A positive product means the + end. Neurons without a direction are left out."""
    product_n = np.asarray(direction_no, np.float64) @ np.asarray(v_o, np.float64)
    row_k = np.argsort(-np.abs(product_n), kind="stable")[: max(0, k)]
    row_k = row_k[product_n[row_k] != 0]
    return row_k, product_n[row_k]


def word_weights(
    index_km: np.ndarray, coefficient_km: np.ndarray, product_k: np.ndarray, dropped: Sequence[int] = ()
) -> WordWeights:
    """w_j of every text that one of k neurons is described by: `index_km` rows of the pool (-1: none) with coefficients
    γ, `product_k` ⟨r, v⟩. Rows in `dropped` get none. Ties go to the earlier text."""
    part_km = np.asarray(coefficient_km, np.float64) * np.asarray(product_k, np.float64)[:, None]
    kept_km = (index_km >= 0) & ~np.isin(index_km, np.asarray(dropped, np.int64))
    row_w, at = np.unique(index_km[kept_km], return_inverse=True)
    part_kw = np.zeros((len(index_km), len(row_w)))
    np.add.at(part_kw, (np.nonzero(kept_km)[0], at), part_km[kept_km])
    weight_w = part_kw.sum(0)
    order = np.argsort(-weight_w, kind="stable")
    order = order[weight_w[order] != 0]
    return WordWeights(row_w[order], weight_w[order], part_kw[:, order])
