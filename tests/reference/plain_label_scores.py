"""Slow, plain twin of core/methods/label_scores: scikit-learn's figures, and bootstrap samples as lists of images."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def plain_figures(predictor: list[float], number: list[float], positive: list[bool]) -> dict[str, float]:
    """Every figure of one sample, images repeated as they were drawn; NaN where scikit-learn has none."""
    nan = float("nan")
    p, x = np.array(predictor, np.float64), np.array(number, np.float64)
    both = 0 < sum(positive) < len(positive)
    varies = len(set(p.tolist())) > 1 and len(set(x.tolist())) > 1
    return {
        "pearson": float(np.corrcoef(p, x)[0, 1]) if varies else nan,
        "auprc": float(average_precision_score(positive, p)) if both else nan,
        "auroc": float(roc_auc_score(positive, p)) if both else nan,
        "f1": _f1(p.tolist(), positive) if both else nan,
    }


def _f1(predictor: list[float], positive: list[bool]) -> float:
    """As many images called positive as are, one group of equal predictors after another; of the group in which they
    run out, every choice counts alike."""
    wanted = left = sum(positive)
    right = 0.0
    for value in sorted(set(predictor), reverse=True):
        group = [hit for p, hit in zip(predictor, positive, strict=True) if p == value]
        taken = min(left, len(group))
        right += sum(group) * taken / len(group)
        left -= taken
    precision, recall = right / wanted, right / wanted
    return 2 * precision * recall / (precision + recall) if right else 0.0


def plain_drawn(predictor: np.ndarray, number: np.ndarray, positive: np.ndarray, count: np.ndarray) -> dict[str, float]:
    """The same of one bootstrap sample, given as how often each image was drawn."""
    at = [i for i, times in enumerate(count.tolist()) for _ in range(int(times))]
    return plain_figures([predictor[i] for i in at], [number[i] for i in at], [bool(positive[i]) for i in at])
