"""Eq. 6 a neuron and a text at a time, each neuron first turned to the end that writes toward the second class."""

import numpy as np


def plain_cues(
    direction_no: np.ndarray, index_nm: np.ndarray, coefficient_nm: np.ndarray, v_o: np.ndarray, k: int
) -> tuple[list[int], dict[int, float]]:
    """The k neurons with the largest |⟨r, v⟩|, and the weight of each text that describes one of them."""
    products = {
        n: sum(float(a) * float(b) for a, b in zip(direction_no[n], v_o, strict=True)) for n in range(len(direction_no))
    }
    chosen = sorted(products, key=lambda n: (-abs(products[n]), n))[:k]
    weights: dict[int, float] = {}
    for n in chosen:
        turn = 1.0 if products[n] > 0 else -1.0
        for j, gamma in zip(index_nm[n].tolist(), coefficient_nm[n].tolist(), strict=True):
            if j >= 0:
                weights[j] = weights.get(j, 0.0) + turn * gamma * abs(products[n])
    return chosen, weights
