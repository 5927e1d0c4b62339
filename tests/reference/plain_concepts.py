"""Concept discovery as appendix A.5 of paper N puts it: sums over active neurons, text by text."""

import numpy as np


def plain_concepts(
    index_am: np.ndarray, coefficient_am: np.ndarray, strength_a: np.ndarray, behind: int
) -> list[tuple[int, float, list[tuple[int, float]]]]:
    """(text, weight, [(position of neuron, its part)]) by decreasing weight, earlier texts first among equals."""
    parts: dict[int, list[tuple[int, float]]] = {}
    for neuron, strength in enumerate(strength_a):
        for text, coefficient in zip(index_am[neuron], coefficient_am[neuron], strict=True):
            if text >= 0:
                parts.setdefault(int(text), []).append((neuron, float(coefficient * strength)))
    found = []
    for text, given in parts.items():
        weight = sum(part for _, part in given)
        side = -1 if weight < 0 else 1
        with_it = sorted((p for p in given if side * p[1] > 0), key=lambda p: (-side * p[1], p[0]))
        found.append((text, weight, with_it[:behind]))
    return sorted(found, key=lambda concept: (-concept[1], concept[0]))
