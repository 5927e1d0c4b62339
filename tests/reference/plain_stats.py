"""Slow, plain twins of core/stats: all images at once, in exact arithmetic, one cell after another."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np


def exact_moments(x: np.ndarray) -> tuple[list[Fraction], list[list[Fraction]]]:
    """Mean and population covariance of the rows of x (n, k), in rational numbers."""
    rows = [[Fraction(float(v)) for v in row] for row in x]
    n = len(rows)
    mean = [sum(column, Fraction(0)) / n for column in zip(*rows, strict=True)]
    k = len(mean)
    cov = [[sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in rows) / n for j in range(k)] for i in range(k)]
    return mean, cov


def plain_topk(scores: np.ndarray, ids: np.ndarray, k: int, largest: bool) -> tuple[list[float], list[int]]:
    """The k best of one cell by sorting everything by (score, id); unfilled slots at the end."""
    order = sorted(zip(scores.tolist(), ids.tolist(), strict=True), key=lambda p: (-p[0] if largest else p[0], p[1]))
    best = order[:k] + [(-math.inf if largest else math.inf, -1)] * max(k - len(order), 0)
    return [score for score, _ in best], [number for _, number in best]


def plain_quantile(values: np.ndarray, q: str) -> float:
    """Nearest-rank quantile: the ceil(q n)-th smallest, q as the decimal it is written as."""
    ordered = sorted(values.tolist())
    return ordered[max(math.ceil(Fraction(q) * len(ordered)), 1) - 1]


def batches(n: int, cuts: list[int]) -> list[slice]:
    """0..n cut at the given places (any order, repeats make empty batches)."""
    marks = [0, *sorted(c % (n + 1) for c in cuts), n]
    return [slice(a, b) for a, b in pairwise(marks)]
