"""Concept discovery: which texts the neurons that an image excites write. Paper N (Gandelsman et al. 2025), A.5.

Each active neuron n has a sparse decomposition r_n ≈ Σ_j γ_nj text_j (`core.methods.sparse_text`) and an effect of size
‖φ_n(I)‖ on this image. A text's weight is what they say of it together:

    w_j(I) = Σ over active n of γ_nj ‖φ_n(I)‖.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Concepts:
    """Every text that an active neuron speaks of, by decreasing weight; negative ones, which are written away, last.

    `text_c` rows of the pool and `weight_c` their w_j, in the unit of the strengths given. `neuron_cb` the b neurons
    that most pull a text's weight to its side, as positions in the list of active neurons (-1 where there are fewer),
    and `part_cb` their γ ‖φ‖ (0 there).
    """

    text_c: np.ndarray
    weight_c: np.ndarray
    neuron_cb: np.ndarray
    part_cb: np.ndarray


def discover(index_am: np.ndarray, coefficient_am: np.ndarray, strength_a: np.ndarray, behind: int = 5) -> Concepts:
    """Concepts of an image from its a active neurons: their decompositions (rows of the pool, -1 for none, and γ) and
    how strongly each acts.

    `strength_a` is ‖φ_n(I)‖ in the paper. Given the signed coefficient x_n(I) instead, a neuron that writes toward its
    negative end speaks against its texts. ValueError on shapes that do not fit or strengths that are not finite.
    """
    index, strength = np.asarray(index_am), np.asarray(strength_a, np.float64)
    coefficient = np.asarray(coefficient_am, np.float64)
    if index.ndim != 2 or coefficient.shape != index.shape or strength.shape != index.shape[:1] or behind < 0:
        raise ValueError(
            f"picks {index.shape}, coefficients {coefficient.shape}, strengths {strength.shape}, {behind} behind each; "
            "expected (a, m), (a, m), (a,) and none or more"
        )
    if not (np.isfinite(strength).all() and np.isfinite(coefficient).all()):
        raise ValueError("strengths or coefficients hold NaN or infinity: leave out neurons that were not measured")
    active_k, pick_k = np.nonzero(index >= 0)
    part_k = coefficient[active_k, pick_k] * strength[active_k]
    text_c, place_k = np.unique(index[active_k, pick_k], return_inverse=True)
    weight_c = np.bincount(place_k, part_k, minlength=len(text_c))
    # within each text, its parts in order of how far they pull to the side that won; ties by the order given
    pull_k = part_k * np.where(weight_c[place_k] < 0, -1, 1)
    order_k = np.lexsort((np.arange(len(part_k)), -pull_k, place_k))
    starts_c = np.searchsorted(place_k[order_k], np.arange(len(text_c)))
    rank_k = np.arange(len(part_k)) - starts_c[place_k[order_k]]
    kept = (rank_k < behind) & (pull_k[order_k] > 0)
    neuron_cb = np.full((len(text_c), behind), -1)
    part_cb = np.zeros((len(text_c), behind))
    cell = place_k[order_k][kept], rank_k[kept]
    neuron_cb[cell], part_cb[cell] = active_k[order_k][kept], part_k[order_k][kept]
    ranked = np.lexsort((text_c, -weight_c))
    return Concepts(text_c[ranked], weight_c[ranked], neuron_cb[ranked], part_cb[ranked])
