"""Does a label predict its unit? Figures of one predictor against one unit's numbers over images it was not made from.

A label is scored by what it says of images: the cosine of each image's representation with its text, or 0 and 1 for the
images that it names. That predictor is compared with the unit's number x at the end in question (x itself, or -x):

    pearson   correlation of predictor and number
    auprc     average precision, Σ (R_k - R_k-1) P_k over the thresholds of the predictor, as scikit-learn has it
    auroc     chance that an image of the unit's top share has a larger predictor than another image, a tie counts half
    f1        of the k images of largest predictor against the k positives: no threshold is tuned, and precision,
              recall and F1 are one number; of tied images as many as are needed count, at their average

where an image is *positive* if the unit's number is among its largest TOP over the sample. Ties of the predictor are
exact. Intervals: percentile bootstrap over images, what counts as positive held fixed; draws are counts (Poisson-like,
how often each image was drawn), so that all draws share one sort and resampling is a matrix of small numbers.

Letters: i images, r draws, g groups of equal predictor that hold a positive.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

TOP = 0.05
"""Share of the sample, by the unit's number, that counts as positive."""
DRAWS = 500
LIMIT = 10_000
"""Most images of a sample, spread evenly over a bundle."""
INTERVAL = (2.5, 97.5)
"""Percentiles that bound an interval."""
NAMES = ("pearson", "auprc", "f1", "auroc")
_SEED = 20_25


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.value != self.value:
            return "–"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def positives(number_i: np.ndarray, top: float = TOP) -> np.ndarray:
    """(i,) whether each number is among the largest `top` of all, at least one; those that tie with the last of them
    are too, unless that would be every image: then only what is larger is."""
    if not len(number_i):
        return np.zeros(0, bool)
    count = max(1, round(top * len(number_i)))
    last = np.partition(number_i, len(number_i) - count)[len(number_i) - count]
    at_least = np.asarray(number_i >= last)
    return number_i > last if at_least.all() else at_least


def figures(
    predictor_i: np.ndarray, number_i: np.ndarray, positive_i: np.ndarray, count_ir: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Every figure of NAMES (r,) with each image counted `count_ir` times (None: once, r = 1); NaN where undefined: a
    predictor or number that does not vary, or no positive or no other image. `count_ir` float32 or float64 of whole
    numbers, which stay exact."""
    if count_ir is None:
        return once(predictor_i[None], number_i, positive_i)
    order = np.argsort(-predictor_i, kind="stable")
    sorted_i, at = -predictor_i[order], np.flatnonzero(positive_i[order])
    value_g, first_g = np.unique(sorted_i[at], return_index=True)
    from_g, to_g = (np.searchsorted(sorted_i, value_g, side) for side in ("left", "right"))
    # counts are summed between the ends of groups alone, as nothing else is asked of the order
    edge_e = np.unique(np.concatenate([[0], from_g, to_g, [len(order)]]))
    up_to_er = np.zeros((len(edge_e), count_ir.shape[1]), count_ir.dtype)
    np.cumsum(np.add.reduceat(count_ir[order], edge_e[:-1], axis=0), axis=0, out=up_to_er[1:])
    before_gr = up_to_er[np.searchsorted(edge_e, from_g)]
    inside_gr = up_to_er[np.searchsorted(edge_e, to_g)] - before_gr
    drawn_mr = count_ir[order[at]]
    hit_gr = np.add.reduceat(drawn_mr, first_g, axis=0) if len(at) else drawn_mr
    found = _ranked(before_gr, inside_gr, hit_gr, up_to_er[-1])
    return {"pearson": _pearson(predictor_i, number_i, count_ir)} | found


def once(predictor_wi: np.ndarray, number_i: np.ndarray, positive_i: np.ndarray) -> dict[str, np.ndarray]:
    """Every figure of NAMES (w,) of many predictors of the same number, each image counted once."""
    sorted_wi = np.sort(-predictor_wi, axis=1)
    value_wm = np.sort(-predictor_wi[:, positive_i], axis=1)
    before_mw, up_to_mw, hit_mw = np.empty((3, *value_wm.shape[::-1]))
    for w, (sorted_i, value_m) in enumerate(zip(sorted_wi, value_wm, strict=True)):
        before_mw[:, w], up_to_mw[:, w] = (np.searchsorted(sorted_i, value_m, side) for side in ("left", "right"))
        first_m, last_m = (np.searchsorted(value_m, value_m, side) for side in ("left", "right"))
        hit_mw[:, w] = np.where(first_m == np.arange(len(value_m)), last_m - first_m, 0)  # a group's first has them all
    total_w = np.full(len(predictor_wi), float(len(number_i)))
    found = _ranked(before_mw, up_to_mw - before_mw, hit_mw, total_w)
    x_i, r_w = _standard(number_i), np.full(len(predictor_wi), np.nan)
    if x_i is not None:
        p_wi = predictor_wi.astype(np.float64)
        p_wi -= p_wi.mean(1, keepdims=True)
        spread_w = np.sqrt(np.einsum("wi,wi->w", p_wi, p_wi) * len(x_i))
        varies_w = predictor_wi.min(1) < predictor_wi.max(1)
        r_w[varies_w] = (p_wi[varies_w] @ x_i) / spread_w[varies_w]
    return {"pearson": r_w} | found


def _ranked(
    before_gr: np.ndarray, inside_gr: np.ndarray, hit_gr: np.ndarray, total_r: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures that only know the order: images before each group, in it, and positives in it."""
    positive_r = hit_gr.sum(0)
    other_r = total_r - positive_r
    hit_before_gr = hit_gr.cumsum(0) - hit_gr
    missed_inside_gr = inside_gr - hit_gr
    missed_after_gr = other_r - (before_gr - hit_before_gr) - missed_inside_gr
    share_gr = hit_gr / np.where(positive_r > 0, positive_r, np.nan)
    some_gr = np.maximum(inside_gr, 1)  # a group that was not drawn has no hits either
    called_gr = np.clip((positive_r - before_gr) / some_gr, 0, 1)
    below_gr = (missed_after_gr + missed_inside_gr / 2) / np.where(other_r > 0, other_r, np.nan)
    precision_gr = (hit_before_gr + hit_gr) / np.maximum(before_gr + inside_gr, 1)
    made = {"auprc": precision_gr, "f1": called_gr, "auroc": below_gr}
    nothing = (positive_r <= 0) | (other_r <= 0)
    return {name: np.where(nothing, np.nan, (share_gr * x_gr).sum(0)) for name, x_gr in made.items()}


def _pearson(predictor_i: np.ndarray, number_i: np.ndarray, count_ir: np.ndarray) -> np.ndarray:
    p_i, x_i = _standard(predictor_i), _standard(number_i)
    if p_i is None or x_i is None:
        return np.full(count_ir.shape[1], np.nan)
    moments_5i = np.stack([p_i, x_i, p_i * p_i, x_i * x_i, p_i * x_i]).astype(count_ir.dtype)
    p, x, pp, xx, px = (moments_5i @ count_ir).astype(np.float64) / np.maximum(count_ir.sum(0, dtype=np.float64), 1)
    spread = (pp - p * p) * (xx - x * x)
    nothing = spread <= 1e-9  # both were standardised: what is left of a draw of one and the same value
    return np.where(nothing, np.nan, (px - p * x) / np.sqrt(np.where(nothing, 1, spread)))


def _standard(x_i: np.ndarray) -> np.ndarray | None:
    """Of mean 0 and deviation 1, float64; None for what does not vary."""
    if not len(x_i) or x_i.min() == x_i.max():
        return None
    x = x_i.astype(np.float64)
    centred = x - x.mean()
    return centred / np.sqrt((centred * centred).mean())


@lru_cache(maxsize=4)
def drawn_counts(images: int, draws: int = DRAWS) -> np.ndarray:
    """(i, r) float32, read-only: how often each image is in each of `draws` bootstrap samples of as many images. The
    same every time: equal samples are resampled alike, so that two labels of a unit are compared draw by draw."""
    rng = np.random.default_rng((_SEED, images, draws))
    made = np.empty((images, draws), np.float32)
    for r in range(draws):
        made[:, r] = np.bincount(rng.integers(0, images, images), minlength=images)
    made.flags.writeable = False
    return made


def estimates(
    predictor_i: np.ndarray, number_i: np.ndarray, positive_i: np.ndarray, draws: int = DRAWS
) -> dict[str, Estimate]:
    """Every figure of NAMES with its 95 % interval; draws in which a figure is undefined are left out of it."""
    value = figures(predictor_i, number_i, positive_i)
    drawn = figures(predictor_i, number_i, positive_i, drawn_counts(len(predictor_i), draws))
    return {name: Estimate(float(value[name][0]), *interval(drawn[name])) for name in NAMES}


def baseline(predictor_wi: np.ndarray, number_i: np.ndarray, positive_i: np.ndarray) -> Mapping[str, Estimate]:
    """Median and middle 95 % of every figure over many predictors, such as texts taken at random."""
    made = once(predictor_wi, number_i, positive_i)
    return {name: Estimate(_median(x_w), *interval(x_w)) for name, x_w in made.items()}


def interval(x_r: np.ndarray) -> tuple[float, float]:
    """The percentiles of INTERVAL; NaN where nothing is defined."""
    known = x_r[~np.isnan(x_r)]
    low, high = np.percentile(known, INTERVAL) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _median(x_w: np.ndarray) -> float:
    known = x_w[~np.isnan(x_w)]
    return float(np.median(known)) if len(known) else float("nan")


def pearson_rows(predictor_ui: np.ndarray, number_ui: np.ndarray, kept_ui: np.ndarray) -> np.ndarray:
    """(u,) correlation of each row of predictors with its row of numbers over the images that it keeps; NaN where one
    of them does not vary, or nothing is kept."""
    kept = kept_ui.astype(np.float32)
    images_u1 = np.maximum(kept.sum(1, keepdims=True, dtype=np.float64), 1)
    # centred first, in place of sums of squares that cancel
    p, x = (
        (a - ((a * kept).sum(1, keepdims=True, dtype=np.float64) / images_u1).astype(np.float32)) * kept
        for a in (predictor_ui, number_ui)
    )
    dot = lambda a, b: np.einsum("ui,ui->u", a, b, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found_u = dot(p, x) / np.sqrt(dot(p, p) * dot(x, x))
    largest = lambda a: np.abs(np.where(kept_ui, a, 0)).max(1)
    # rounding of float32 means is all that is left of rows that do not vary
    still = [dot(c, c) <= (1e-6 * largest(a)) ** 2 * images_u1[:, 0] for c, a in ((p, predictor_ui), (x, number_ui))]
    return np.where(still[0] | still[1], np.nan, found_u)


def largest(size_ui: np.ndarray, count: int) -> np.ndarray:
    """(u, i) which images are the `count` of largest size of each unit, those that tie with the last of them too; a
    size of zero never is."""
    count = min(count, size_ui.shape[1])
    if count < 1:
        return np.zeros(size_ui.shape, bool)
    size_ui = size_ui.astype(np.float32)  # NumPy has no fast order of float16
    last_u1 = np.partition(size_ui, size_ui.shape[1] - count, axis=1)[:, size_ui.shape[1] - count, None]
    return (size_ui >= last_u1) & (size_ui > 0)


def evenly(n: int, limit: int) -> np.ndarray:
    """Ascending places of at most `limit` of n, spread evenly: all where there are no more."""
    return np.arange(n) if n <= limit else np.linspace(0, n - 1, limit).round().astype(np.int64)
