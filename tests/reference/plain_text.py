"""Slow, plain twins of core/text: one class, one image at a time."""

from typing import Any

import numpy as np


def plain_class_embeddings(encoder: Any, names: list[str], templates: list[str]) -> np.ndarray:
    """Mean over templates of unit embeddings, normalised again."""
    rows = []
    for name in names:
        each = [encoder.encode_texts([template.replace("{}", name)])[0].astype(np.float64) for template in templates]
        mean = np.mean([row / np.linalg.norm(row) for row in each], axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


def plain_zero_shot(reps: np.ndarray, labels: np.ndarray, class_emb: np.ndarray) -> tuple[float, float, list[float]]:
    """Top-1, top-5 and top-1 by class, by sorting each image's classes; of equal scores the earlier first."""
    top1, top5, by_class = [], [], {c: [] for c in range(len(class_emb))}
    for rep, label in zip(reps, labels, strict=True):
        if label < 0:
            continue
        scores = [float(np.dot(rep, row)) for row in class_emb]
        order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
        top1.append(order[0] == label)
        top5.append(label in order[:5])
        by_class[int(label)].append(order[0] == label)
    return (
        float(np.mean(top1)),
        float(np.mean(top5)),
        [float(np.mean(hits)) if hits else float("nan") for hits in by_class.values()],
    )
