"""Segmentation with neuron-head pairs by loops over classes, pairs, tokens, windows and pixels, as paper P's equation 6
and its released code have it; MaskCLIP; mIoU."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.reference.plain_segmentation import plain_resize


def plain_query(texts_wo: np.ndarray) -> np.ndarray:
    """Texts less their mean, of norm one."""
    centred_wo = texts_wo - np.mean(texts_wo, axis=0)
    return np.array([row / math.sqrt(float(row @ row)) for row in centred_wo])


def plain_choice(direction_nmo: np.ndarray, query_o: np.ndarray, k: int) -> list[tuple[int, int]]:
    """The k pairs (n, m) whose direction has the largest cosine with the query."""
    neurons, heads, _ = direction_nmo.shape
    cosine = {
        (n, m): float(direction_nmo[n, m] @ query_o) / np.linalg.norm(direction_nmo[n, m])
        for n in range(neurons)
        for m in range(heads)
        if direction_nmo[n, m].any()
    }
    return sorted(cosine, key=lambda pair: -cosine[pair])[:k]


def plain_repair(x_yx: np.ndarray) -> np.ndarray:
    """The last place (of rows x columns x ...) replaced by the mean of its west, north and north-west neighbours."""
    out = np.array(x_yx)
    out[-1, -1] = (x_yx[-1, -2] + x_yx[-2, -1] + x_yx[-2, -2]) / 3
    return out


def plain_cosine(a_o: np.ndarray, b_o: np.ndarray) -> float:
    return float(a_o @ b_o) / (np.linalg.norm(a_o) * np.linalg.norm(b_o))


def plain_pair_logits(
    contribution_yxmo: np.ndarray, activation_yxn: np.ndarray, query_o: np.ndarray, pairs: Sequence[tuple[int, int]]
) -> np.ndarray:
    """One image and class: the mean over pairs of activation times cosine, at each place."""
    out = np.zeros(activation_yxn.shape[:2])
    for y, x in np.ndindex(*out.shape):
        for n, m in pairs:
            out[y, x] += activation_yxn[y, x, n] * plain_cosine(contribution_yxmo[y, x, m], query_o) / len(pairs)
    return out


def plain_head_logits(contribution_yxmo: np.ndarray, query_o: np.ndarray) -> np.ndarray:
    """The mean over heads of the cosine."""
    out = np.zeros(contribution_yxmo.shape[:2])
    for y, x in np.ndindex(*out.shape):
        out[y, x] = np.mean([plain_cosine(head_o, query_o) for head_o in contribution_yxmo[y, x]])
    return out


def plain_neuron_logits(activation_yxn: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """The mean activation of some neurons."""
    return np.mean([activation_yxn[..., n] for n in chosen], axis=0)


def plain_slide(image_cyx: np.ndarray, crop: int, stride: int, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Logits (w, y, x): every window's (w, rows, columns), drawn at its size; each pixel the mean of its windows."""
    _, rows, columns = image_cyx.shape
    seen: dict[tuple[int, int], list[np.ndarray]] = {}
    for i in range(math.ceil(max(rows - crop, 0) / stride) + 1):
        for j in range(math.ceil(max(columns - crop, 0) / stride) + 1):
            top, left = max(0, min(i * stride, rows - crop)), max(0, min(j * stride, columns - crop))
            logits_wyx = score(image_cyx[:, top : top + crop, left : left + crop])
            drawn = np.array([plain_resize(one, (crop, crop)) for one in logits_wyx])
            for y, x in np.ndindex(crop, crop):
                seen.setdefault((top + y, left + x), []).append(drawn[:, y, x])
    out = np.array([[np.mean(seen[y, x], axis=0) for x in range(columns)] for y in range(rows)])
    return out.transpose(2, 0, 1)


def plain_miou(truths: Sequence[np.ndarray], given: Sequence[np.ndarray], classes: int) -> tuple[float, float]:
    """mIoU over the classes that are somewhere, and pixel accuracy; true -1 counts nowhere."""
    both, either, right, pixels = [0] * classes, [0] * classes, 0, 0
    for truth_yx, given_yx in zip(truths, given, strict=True):
        for t, g in zip(truth_yx.ravel().tolist(), given_yx.ravel().tolist(), strict=True):
            if t == -1:
                continue
            pixels, right = pixels + 1, right + (t == g)
            for c in range(classes):
                both[c] += t == c and g == c
                either[c] += t == c or g == c
    return float(np.mean([b / e for b, e in zip(both, either, strict=True) if e])), right / pixels
