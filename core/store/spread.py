"""How scores spread over images: rows by quantile interval, and histograms."""

from collections.abc import Sequence

import numpy as np

from core.errors import InputError
from core.store import answers as a
from core.store.scan import Scores


def intervals(scores: Scores, per_row: int, levels: Sequence[float], population: a.Population) -> a.Intervals:
    """The images by quantile interval of their scores, with `per_row` of each (drawn by chance, the same each time);
    quantiles are of the scores given. InputError for levels outside [0, 1]."""
    # not stored quantiles: their error may be relative, too coarse where scores differ by less than 1 % of the mean
    level_e = np.array(sorted({0.0, 1.0, *levels}))
    if not (np.isfinite(level_e).all() and level_e[0] == 0 and level_e[-1] == 1):
        raise InputError("Quantile levels lie between 0 and 1.")
    edge_e = np.quantile(scores.score_n, level_e)
    at_n = np.searchsorted(edge_e[1:-1], scores.score_n, side="right")
    order = np.argsort(at_n, kind="stable")
    bounds = np.searchsorted(at_n[order], np.arange(len(edge_e)))
    rows = []
    for e in range(len(edge_e) - 1):
        members = order[bounds[e] : bounds[e + 1]]
        drawn = np.random.default_rng(e).permutation(len(members))[: max(0, per_row)]  # seeded: the same each time
        chosen = members[drawn]
        chosen = chosen[np.argsort(-scores.score_n[chosen], kind="stable")]
        hits = tuple(a.Hit(int(scores.id_n[n]), float(scores.score_n[n])) for n in chosen)
        spans = float(edge_e[e]), float(edge_e[e + 1]), float(level_e[e]), float(level_e[e + 1])
        rows.append(a.Interval(*spans, len(members), hits))
    return a.Intervals(tuple(reversed(rows)), population)


def histogram(scores: Scores, bins: int, population: a.Population) -> a.Histogram:
    """Counts, mean and deviation of the scores given."""
    count_b, edge_b = np.histogram(scores.score_n, bins=max(1, min(bins, 1000)))
    x = scores.score_n.astype(np.float64)
    return a.Histogram(edge_b, count_b, float(x.mean()), float(x.std()), population)
