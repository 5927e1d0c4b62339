"""Zero-shot classification: an image belongs to the class whose text embedding it is nearest to (CLIP, section 3.1)."""

from math import sqrt
from typing import TypedDict

import numpy as np


def binomial_error(share: float, images: int) -> float:
    """Standard error √(p (1 - p) / n) of a share p of n images, such as an accuracy; zero for none."""
    return sqrt(max(0.0, share * (1 - share)) / images) if images else 0.0


class ZeroShot(TypedDict):
    """Accuracies as shares in [0, 1]; `per_class` is top-1, one a class, NaN where no image has that class."""

    top1: float
    top5: float
    per_class: list[float]
    n: int


def zero_shot_accuracy(reps: np.ndarray, labels: np.ndarray, class_emb: np.ndarray, block: int = 4096) -> ZeroShot:
    """Accuracy of image representations reps (n, o; array or memmap, any float type) against class_emb (c, o).

    `labels` (n,) are class numbers; images with a negative one are left out, and `n` counts the rest. Of equal scores
    the earlier class wins; top5 is top-c where there are fewer classes. ValueError on shapes that do not fit, a label
    past the classes, NaN, or no labelled image.
    """
    labels = np.asarray(labels)
    classes = len(class_emb)
    if reps.ndim != 2 or class_emb.ndim != 2 or reps.shape[1] != class_emb.shape[1] or labels.shape != (len(reps),):
        raise ValueError(
            f"reps {reps.shape}, labels {labels.shape}, class_emb {class_emb.shape}; expected (n, o), (n,), (c, o)"
        )
    if labels.dtype.kind not in "iu" or (labels.size and labels.max() >= classes):
        raise ValueError(f"labels must be class numbers below {classes} (negative: none), not {labels.dtype} with more")
    if not (labels >= 0).any():
        raise ValueError("no image has a class, so there is no accuracy")
    weights = np.asarray(class_emb, np.float32).T
    rank = np.full(len(labels), -1)  # how many classes come before the true one
    for start in range(0, len(labels), block):
        part = start + np.flatnonzero(labels[start : start + block] >= 0)
        scores = np.asarray(reps[start : start + block], np.float32)[part - start] @ weights
        if np.isnan(scores).any():
            raise ValueError("representations or class embeddings hold NaN: leave these images out (label −1)")
        truth = labels[part, None]
        own = np.take_along_axis(scores, truth, axis=1)
        before = (scores > own) | ((scores == own) & (np.arange(classes) < truth))
        rank[part] = before.sum(axis=1)
    kept = labels >= 0
    members = np.bincount(labels[kept], minlength=classes)
    hits = np.bincount(labels[rank == 0], minlength=classes)
    per_class = np.divide(hits, members, out=np.full(classes, np.nan), where=members > 0)
    return ZeroShot(
        top1=float((rank[kept] < 1).mean()),
        top5=float((rank[kept] < 5).mean()),
        per_class=per_class.tolist(),
        n=int(kept.sum()),
    )
