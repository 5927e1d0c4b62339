"""Text labels of every head: TextSpan, and for each of its texts the images at both ends and the spread of scores."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.bundle.write import BundleWriter
from core.methods.textspan import textspan
from core.stats.moments import Moments
from core.stats.quantiles import Quantiles
from core.stats.topk import TopK
from precompute.config import QUANTILES, Settings
from precompute.statistics import HeadStatistics

_BLOCK = 8192  # images a step: 8192 x 64 coordinates and 8192 x 60 scores, 6 MB


@dataclass(frozen=True)
class HeadLabels:
    """One head's texts with, for each, its scores' statistics over the images decoded (see core/bundle/schema.py)."""

    text_index: np.ndarray
    text_explained: np.ndarray
    text_mean: np.ndarray
    text_std: np.ndarray
    text_quantiles: np.ndarray
    text_top_ids: np.ndarray
    text_top_scores: np.ndarray


def label_heads(
    writer: BundleWriter,
    statistics: HeadStatistics,
    basis_lhoc: np.ndarray,
    texts_wo: np.ndarray,
    r_lhnc: np.ndarray,
    ok_n: np.ndarray,
    settings: Settings,
    seen: Callable[[int], None] = lambda n: None,
) -> None:
    """TextSpan for every head, from its covariance; then one pass over its coordinates r."""
    cov = statistics.coords.cov
    layers, heads, _, coords = basis_lhoc.shape
    picks = min(settings.picks, coords, len(texts_wo))
    labels = []
    for layer in range(layers):
        for head in range(heads):
            in_head_wc = (texts_wo @ basis_lhoc[layer, head]).astype(np.float64)
            span = textspan(cov[layer, head], in_head_wc, picks)
            scores = _scores(r_lhnc[layer, head], ok_n, in_head_wc[np.maximum(span.index_m, 0)], settings.top_images)
            labels.append(_blank(HeadLabels(span.index_m, span.explained_m, *scores)))
            seen(1)
    for name in HeadLabels.__dataclass_fields__:
        stacked = np.stack([getattr(label, name) for label in labels])
        writer.array(name, stacked.reshape(layers, heads, *stacked.shape[1:]))
    writer.array("mean", statistics.coords.mean)
    writer.array("cov", cov)
    writer.array("variance", np.trace(cov, axis1=-2, axis2=-1))
    writer.array("share", statistics.head_share)
    norm_quantiles = np.stack([statistics.norms.quantile(q) for q in QUANTILES], axis=-1)
    writer.array("norm_quantiles", norm_quantiles.astype(np.float32))


def _blank(labels: HeadLabels) -> HeadLabels:
    """Where TextSpan found nothing more to explain there is no text, so there are no scores either."""
    none_m = labels.text_index < 0
    for array in (labels.text_mean, labels.text_std, labels.text_quantiles, labels.text_top_scores):
        array[none_m] = np.nan
    labels.text_top_ids[none_m] = -1
    return labels


def _scores(r_nc: np.ndarray, ok_n: np.ndarray, texts_mc: np.ndarray, rank: int) -> tuple[np.ndarray, ...]:
    """Mean, deviation, quantiles, and images at both ends of ⟨r, Qᵀt⟩ = ⟨c, t⟩, a block of images at a time."""
    picks = len(texts_mc)
    moments, quantiles = Moments((picks, 1)), Quantiles((picks,))
    ends = TopK((picks,), rank), TopK((picks,), rank, largest=False)
    for start in range(0, len(r_nc), _BLOCK):
        ids = start + np.flatnonzero(ok_n[start : start + _BLOCK])
        block = r_nc[start : start + _BLOCK][ids - start].astype(np.float32)
        scores_nm = block @ texts_mc.T.astype(np.float32)
        moments.update(scores_nm[..., None])
        quantiles.update(scores_nm)
        for end in ends:
            end.update(scores_nm, ids)
    top_ids = np.stack([end.ids for end in ends], axis=1)
    top_scores = np.where(top_ids < 0, np.float32(np.nan), np.stack([end.scores for end in ends], axis=1))
    spread = np.sqrt(moments.cov[..., 0, 0])
    levels = np.stack([quantiles.quantile(q) for q in QUANTILES], axis=-1).astype(np.float32)
    return moments.mean[..., 0], spread, levels, top_ids, top_scores
