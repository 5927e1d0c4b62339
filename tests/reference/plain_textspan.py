"""TextSpan on the data matrix, as paper H's algorithm 1 is printed."""

import numpy as np


def plain_textspan(out_no: np.ndarray, texts_wo: np.ndarray, picks: int) -> tuple[list[int], list[float]]:
    """Picks and explained fractions for a head's outputs (n, o) and a pool already inside the head's span."""
    data = np.asarray(out_no, np.float64) - out_no.mean(0)
    texts = np.array(texts_wo, np.float64)
    total, index, explained = (data**2).sum(), [], []
    for _ in range(picks):
        best = int(np.argmax((data @ texts.T).var(0)))
        direction = texts[best] / np.linalg.norm(texts[best])
        before = (data**2).sum()
        data = data - np.outer(data @ direction, direction)
        texts = texts - np.outer(texts @ direction, direction)
        index.append(best)
        explained.append((before - (data**2).sum()) / total)
    return index, explained


def plain_explained(out_no: np.ndarray, texts_mo: np.ndarray) -> list[float]:
    """Fraction of a head's variance inside the span of the first 1, 2, ... texts, by least squares on its outputs."""
    data = np.asarray(out_no, np.float64) - out_no.mean(0)
    together = []
    for m in range(1, len(texts_mo) + 1):
        fitted = texts_mo[:m].T @ np.linalg.lstsq(texts_mo[:m].T, data.T, rcond=1e-6)[0]
        together.append((fitted**2).sum() / (data**2).sum())
    return together
