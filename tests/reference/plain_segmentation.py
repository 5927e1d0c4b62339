"""Segmentation by loops over neurons, tokens and pixels: maps as papers H and N describe them, scores as the
ImageNet-Segmentation protocol does."""

import numpy as np


def plain_neuron_map(
    activation_tn: np.ndarray, directions_no: np.ndarray, text_o: np.ndarray, top: int, grid: tuple[int, int]
) -> np.ndarray:
    """One image: the mean activation map of the `top` neurons of largest |⟨r_n, text⟩|, not yet resized."""
    ranked = sorted(range(len(directions_no)), key=lambda n: -abs(float(directions_no[n] @ text_o)))[:top]
    total = np.zeros(grid)
    for neuron in ranked:
        for row in range(grid[0]):
            for column in range(grid[1]):
                total[row, column] += activation_tn[1 + row * grid[1] + column, neuron]
    return total / len(ranked)


def plain_rollout(attn_lhts: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """One image: the full product of all layers' mixing matrices, last layer leftmost, read at the class token."""
    product = np.eye(attn_lhts.shape[-1])
    for attn_hts in attn_lhts:
        mixing = attn_hts.mean(axis=0) + np.eye(attn_lhts.shape[-1])
        product = (mixing / mixing.sum(axis=1, keepdims=True)) @ product
    return product[0, 1:].reshape(grid)


def plain_resize(map_yx: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, pixel centres at half-integers, the border repeated."""
    out = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = min(max((row + 0.5) * map_yx.shape[0] / size[0] - 0.5, 0), map_yx.shape[0] - 1)
            x = min(max((column + 0.5) * map_yx.shape[1] / size[1] - 0.5, 0), map_yx.shape[1] - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, map_yx.shape[0] - 1), min(left + 1, map_yx.shape[1] - 1)
            dy, dx = y - top, x - left
            upper = (1 - dx) * map_yx[top, left] + dx * map_yx[top, right]
            lower = (1 - dx) * map_yx[below, left] + dx * map_yx[below, right]
            out[row, column] = (1 - dy) * upper + dy * lower
    return out


def plain_scores(
    maps: list[np.ndarray], truths: list[np.ndarray], masks: list[np.ndarray], ignore: int
) -> tuple[float, float, float]:
    """Pixel accuracy, mIoU and mAP of some images."""
    correct = pixels = 0
    inter, union = [0, 0], [0, 0]
    precisions = []
    for score, truth, guess in zip(maps, truths, masks, strict=True):
        rated = []
        for s, t, g in zip(score.ravel(), truth.ravel(), guess.ravel(), strict=True):
            if t == ignore:
                continue
            pixels += 1
            correct += int(g) == t
            for which in (0, 1):
                inter[which] += int(g) == which and t == which
                union[which] += int(g) == which or t == which
                rated.append((s if which else 1 - s, t == which))
        precisions.append(_average_precision(rated))
    return correct / pixels, sum(i / u if u else 0 for i, u in zip(inter, union, strict=True)) / 2, np.mean(precisions)


def _average_precision(rated: list[tuple[float, bool]]) -> float:
    """Sum over thresholds of (gain in recall) · precision."""
    total, recall_before = 0.0, 0.0
    positives = sum(positive for _, positive in rated)
    for threshold in sorted({score for score, _ in rated}, reverse=True):
        taken = [positive for score, positive in rated if score >= threshold]
        recall = sum(taken) / positives
        total += (recall - recall_before) * sum(taken) / len(taken)
        recall_before = recall
    return total
