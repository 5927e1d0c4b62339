"""Rosetta neurons, spelled out: every pair of maps resized by `F.interpolate` and correlated in float64; matches by
sorting whole tables. And the released code's other numbers, which are not eq. 4.2 and 4.3 (docs/decisions.md)."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Maps = Sequence[Tensor]
"""A model's layers, each (images, units, y, x)."""


def to_larger(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both at the size of the one with more positions (of as many: the higher one)."""
    size = max((tuple(each.shape[2:]) for each in (a, b)), key=lambda s: (s[0] * s[1], s[0]))
    resize = lambda m: (
        m if tuple(m.shape[2:]) == size else F.interpolate(m, size=size, mode="bilinear", align_corners=False)
    )
    return resize(a), resize(b)


def plain_pearson(a: Tensor, b: Tensor) -> np.ndarray:
    """(ca, cb) over all images and positions; 0 where a unit is constant: varies by less than float32 tells."""
    a, b = to_larger(a.double(), b.double())
    rows = [m.transpose(0, 1).flatten(1).numpy() for m in (a, b)]
    table = np.zeros([len(each) for each in rows])
    for i, x in enumerate(rows[0]):
        for j, y in enumerate(rows[1]):
            if all(each.std() > 1e-6 * abs(each.mean()) for each in (x, y)):
                dx, dy = x - x.mean(), y - y.mean()
                table[i, j] = (dx * dy).sum() / np.sqrt((dx**2).sum() * (dy**2).sum())
    return table


def plain_shuffled(a: Tensor, b: Tensor, block: int) -> np.ndarray:
    """The same, image i of a with the next image of its block of b; a last image alone in its block is left out."""
    left, right = [], []
    for first in range(0, len(a), block):
        images = list(range(first, min(first + block, len(a))))
        if len(images) > 1:
            left += images
            right += images[1:] + images[:1]
    return plain_pearson(a[left], b[right])


def plain_table(a: Maps, b: Maps) -> np.ndarray:
    """All units of two models, layers one after the other."""
    return np.block([[plain_pearson(x, y) for y in b] for x in a])


def plain_nearest(row: np.ndarray, k: int) -> list[int]:
    """Places of the k largest entries, as float32, of equal ones the first; an entry of 0 is no neighbour."""
    row = np.asarray(row, np.float32)
    return sorted((j for j in range(len(row)) if row[j] != 0), key=lambda j: (-row[j], j))[:k]


def plain_mutual(table: np.ndarray, k: int) -> list[tuple[int, int]]:
    """Eq. 4.3."""
    rows, columns = ([plain_nearest(row, k) for row in t] for t in (table, table.T))
    return [(i, j) for i in range(len(rows)) for j in sorted(rows[i]) if i in columns[j]]


def plain_tuples(pairs: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, ...]]:
    """Eq. 4.4: of every hub unit every combination of its partners."""
    out: list[tuple[int, ...]] = []
    for i in sorted({i for i, _ in pairs[0]}):
        out += [(i, *found) for found in product(*(sorted(j for n, j in each if n == i) for each in pairs))]
    return out


def plain_clusters(units: Sequence[int], self_pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Labels by first appearance: each unit with whatever a walk over pairs of units reaches."""
    label: dict[int, int] = {}
    for unit in units:
        if unit in label:
            continue
        number, reached = len(set(label.values())), [unit]
        while reached:
            at = reached.pop()
            label[at] = number
            reached += [o for p in self_pairs if at in p for o in p if o in units and o not in label]
    return [label[unit] for unit in units]


def batches(maps: Tensor, size: int) -> list[Tensor]:
    return [maps[i : i + size] for i in range(0, len(maps), size)]


def released_mean(maps: Tensor, size: int) -> Tensor:
    """Mean of batch means (c,)."""
    return torch.stack([batch.mean((0, 2, 3)) for batch in batches(maps, size)]).mean(0)


def released_std(maps: Tensor, size: int) -> Tensor:
    """Root of the mean of batch variances (c,): what varies between batches is left out."""
    return torch.stack([batch.var((0, 2, 3)) for batch in batches(maps, size)]).mean(0).sqrt()


def released_table(a: Maps, b: Maps, size: int) -> np.ndarray:
    """Cosines of normalised, enlarged maps a batch, averaged over batches; 0 where a unit is dead."""
    normal = lambda m: (m - released_mean(m, size)[:, None, None]) / (released_std(m, size)[:, None, None] + 1e-5)
    rows = []
    for x in map(normal, a):
        row = []
        for y in map(normal, b):
            cosines = []
            for one, other in zip(batches(x, size), batches(y, size), strict=True):
                left, right = (m.transpose(0, 1).flatten(1) for m in to_larger(one, other))
                cosines.append((left @ right.T) / (left.norm(dim=1)[:, None] * right.norm(dim=1)))
            row.append(torch.stack(cosines).mean(0).nan_to_num(0))
        rows.append(torch.cat(row, 1))
    return torch.cat(rows).numpy()


def released_buddies(table: np.ndarray, k: int) -> list[tuple[int, int]]:
    """(i, j): j has the largest entry of row i, and i is among the k largest of column j."""
    best = [int(row.argmax()) for row in table]
    return [(i, j) for i, j in enumerate(best) if i in np.argsort(-table[:, j], kind="stable")[:k]]


def released_tuples(pairs: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, ...]]:
    """Hub units with a partner in every model, with these partners."""
    partner = [dict(each) for each in pairs]
    return [(i, *(each[i] for each in partner)) for i in sorted(partner[0]) if all(i in each for each in partner)]


def plain_label(like_wi: np.ndarray, number_i: np.ndarray) -> tuple[int, float]:
    """The text that a concept's activation follows most closely over the images 0, 2, 4, …, and its correlation over
    the others; -1 where it follows none."""
    best, best_r = -1, 0.0
    for w, text_i in enumerate(like_wi.astype(np.float64)):
        if text_i[::2].std() > 0 and number_i[::2].std() > 0:
            r = float(np.corrcoef(text_i[::2], number_i[::2])[0, 1])
            if r > best_r:
                best, best_r = w, r
    if best < 0:
        return -1, float("nan")
    return best, float(np.corrcoef(like_wi[best, 1::2].astype(np.float64), number_i[1::2])[0, 1])
