"""Who matches whom, from correlations: mutual nearest neighbours, tuples over several models, clusters, a null level.

Tables of neighbours are made a tile at a time (`nearest`) and merged (`merge_nearest`), so that no table of all units
of one model times all of another is ever held. They are ordered by r as float32, of equal r the lower index first, so
that merged tables are those of the whole, entry by entry. An r of exactly 0 is a unit that is constant (see
core.methods.rosetta_correlator): nobody's neighbour.

Shape letters: n, m units of two models, k neighbour.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

K = 5
"""Neighbours a unit has in another model, as the paper has it."""
LEVEL_QUANTILE = 0.99
"""The null level of two models is this quantile of their units' best correlations under the shuffle."""


def nearest(r_nm: Tensor | np.ndarray, k: int = K, first: int = 0, own: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k units m of largest r for each n: index (n, k) int32 and r (n, k) float32; -1 and NaN where there are fewer.

    `first` is the number of column 0, where a tile is part of a larger table. `own`: the table is of a layer with
    itself, and the entry of a unit with itself does not count.
    """
    # -inf: no neighbour. torch's topk does not say which of equal values it takes, so rows in doubt are sorted.
    r = torch.as_tensor(r_nm).float()
    r = torch.where((r == 0) | r.isnan(), -torch.inf, r)
    if own:
        r.fill_diagonal_(-torch.inf)
    if r.shape[1] < k:
        r = torch.nn.functional.pad(r, (0, k - r.shape[1]), value=-torch.inf)
    value_nk, index_nk = r.topk(k, dim=1)
    doubt = (r >= value_nk[:, -1:]).sum(1) > k
    value_nk[doubt], index_nk[doubt] = (part[:, :k] for part in r[doubt].sort(dim=1, descending=True, stable=True))
    return _ordered(index_nk.cpu().numpy() + first, value_nk.cpu().numpy())


def merge_nearest(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours of the same units in two parts of a table, as `nearest` gives them for the whole."""
    index_nj, r_nj = (np.concatenate(parts, axis=1) for parts in zip(one, other, strict=True))
    index_nj, r_nj = _ordered(index_nj, np.where(index_nj < 0, -np.inf, r_nj))
    k = one[0].shape[1]
    return index_nj[:, :k].copy(), r_nj[:, :k].copy()


def _ordered(index_nj: np.ndarray, value_nj: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By falling value, then rising index; -inf becomes -1 and NaN."""
    order_nj = np.lexsort((index_nj, -value_nj), axis=1)
    index_nj, value_nj = (np.take_along_axis(part, order_nj, 1) for part in (index_nj, value_nj))
    none = np.isneginf(value_nj)
    return np.where(none, -1, index_nj).astype(np.int32), np.where(none, np.nan, value_nj).astype(np.float32)


def best(r_nm: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each unit's largest r, of both sides: (n,) and (m,) float32; NaN of units that are constant.

    Those of tiles merge by `np.fmax`.
    """
    r = torch.as_tensor(r_nm).float()
    r = torch.where((r == 0) | r.isnan(), -torch.inf, r)
    found = (r.amax(dim=axis).cpu().numpy() if r.numel() else np.full(r.shape[1 - axis], -np.inf) for axis in (1, 0))
    one, other = (np.where(np.isneginf(value), np.nan, value).astype(np.float32) for value in found)
    return one, other


def mutual(index_ab: np.ndarray, index_ba: np.ndarray) -> np.ndarray:
    """Pairs (i, j), (n, 2) int32, lexicographic: j is among i's neighbours and i among j's (eq. 4.3).

    `index_ab` (n, k) of `nearest`, `index_ba` (m, k) of the same correlations the other way.
    """
    i, at = np.nonzero(index_ab >= 0)
    j = index_ab[i, at]
    chosen = (index_ba[j] == i[:, None]).any(1)
    pairs = np.stack([i[chosen], j[chosen]], axis=1).astype(np.int32)
    return pairs[np.lexsort(pairs.T[::-1])]


def tuples(pairs: Sequence[np.ndarray]) -> np.ndarray:
    """Every combination of partners of a hub's units (eq. 4.4): (n, 1 + models) int32, lexicographic.

    `pairs` (_, 2) of the hub with each other model, as `mutual` gives them; units without a partner in one are out.
    """
    found = np.unique(pairs[0][:, :1], axis=0) if len(pairs) else np.empty((0, 1), np.int32)
    for each in pairs:
        each = each[np.lexsort(each.T[::-1])]
        begin, end = (np.searchsorted(each[:, 0], found[:, 0], side) for side in ("left", "right"))
        row = np.repeat(np.arange(len(found)), end - begin)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
        found = np.column_stack([found[row], each[begin[row] + nth, 1]])
    return found.astype(np.int32)


def clusters(units: np.ndarray, self_pairs: np.ndarray) -> np.ndarray:
    """Connected components of `units` (n,) under `self_pairs` (_, 2): labels (n,) int32 from 0, by first appearance.

    Pairs with a unit that is not among them, such as a path through it, count for nothing.
    """
    order = np.argsort(units)
    place = np.searchsorted(units, self_pairs, sorter=order).clip(max=max(len(units) - 1, 0))
    known = (units[order[place]] == self_pairs).all(1) if len(units) else np.zeros(len(self_pairs), bool)
    i, j = order[place[known]].T if known.any() else np.empty((2, 0), int)
    graph = coo_array((np.ones(len(i), bool), (i, j)), shape=(len(units), len(units)))
    _, raw = connected_components(graph, directed=False) if len(units) else (0, np.empty(0, int))
    _, first, inverse = np.unique(raw, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int32)


def level(null_best_a: np.ndarray, null_best_b: np.ndarray) -> float:
    """What chance reaches between two models: LEVEL_QUANTILE of the best r under the shuffle, of the side where it is
    larger. `null_best` (n,) and (m,) of `best`, NaN of constant units; NaN if all are."""
    sides = [side[~np.isnan(side)] for side in (np.asarray(null_best_a), np.asarray(null_best_b))]
    return max((float(np.quantile(side, LEVEL_QUANTILE)) for side in sides if len(side)), default=float("nan"))
