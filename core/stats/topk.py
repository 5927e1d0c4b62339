"""The k best images of every cell, in an exact total order.

Images are ordered by (score, image id): the better score first, of equal scores the smaller id. Score and id are packed
into one 64-bit integer whose order is that order, so that choosing, merging and sorting are single integer
operations and no batching, split or order of images can change a bit of the result.
"""

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from core.stats.batch import Shape, State, as_batch, check_same, check_shapes, fields

_SIGN = np.uint32(1 << 31)
_ALL = np.uint32(0xFFFFFFFF)
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)  # after every real key: its upper half would be a negative NaN
MAX_ID = 2**32 - 2
"""Largest image id: ids take the lower 32 bits of a key."""


class TopK:
    """The k best of the images seen, for each cell of `shape`.

    Scores are compared as float32. Unfilled slots have id −1 and score −inf (+inf with `largest=False`).
    An image given twice takes two slots: give each once.
    """

    def __init__(self, shape: Shape, k: int, largest: bool = True) -> None:
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        self.shape, self.k, self.largest = tuple(int(n) for n in shape), int(k), bool(largest)
        cells = math.prod(self.shape)
        self._keys = np.full((cells, self.k), _EMPTY)  # unsorted but for the worst, which stands last
        self._entry = np.full(cells, np.inf, np.float32)  # the worst kept −score: what a newcomer must not exceed

    def update(self, scores: ArrayLike, ids: ArrayLike) -> None:
        """Add images: scores (b, *shape), ids (b,) from 0 to MAX_ID. ValueError on NaN, on other shapes or ids."""
        score = as_batch(scores, self.shape, np.float32, "scores")
        number = _checked_ids(ids, len(score))
        cost = score.reshape(len(score), math.prod(self.shape))
        if np.isnan(cost).any():
            raise ValueError("scores hold NaN, which has no place in an order: leave these images out")
        # smaller is better from here on; adding 0 turns −0.0 into 0.0, so that equal scores have equal bits
        cost = (-cost if self.largest else cost) + np.float32(0)
        # most batches of a long stream change few cells: one comparison finds them
        touched = np.flatnonzero((cost <= self._entry).any(axis=0))
        keys = pack(cost[:, touched].T, number)
        better = (keys < self._keys[touched, -1:]).any(axis=1)  # of equal scores only the smaller id enters
        if better.any():
            self._keep(touched[better], np.concatenate([self._keys[touched[better]], keys[better]], axis=1))

    def _keep(self, cells: np.ndarray, keys: np.ndarray) -> None:
        best = np.partition(keys, self.k - 1, axis=1)[:, : self.k]
        self._keys[cells] = best
        worst = best[:, -1]
        self._entry[cells] = np.where(worst == _EMPTY, np.float32(np.inf), unpack(worst)[0])

    def merge(self, other: "TopK") -> None:
        """Add all images of `other`, which is left as it is. ValueError if shape, k or direction differ."""
        check_same("TopK", (self.shape, self.k, self.largest), (other.shape, other.k, other.largest))
        self._keep(np.arange(len(self._keys)), np.concatenate([self._keys, other._keys], axis=1))

    @property
    def scores(self) -> np.ndarray:
        """Scores (*shape, k) float32, best first."""
        keys = np.sort(self._keys, axis=1)
        cost = np.where(keys == _EMPTY, np.float32(np.inf), unpack(keys)[0])
        # 0 − cost, not −cost: a score of zero comes back as 0.0
        return (np.float32(0) - cost if self.largest else cost).reshape(*self.shape, self.k)

    @property
    def ids(self) -> np.ndarray:
        """Image ids (*shape, k) int64, best first; −1 where a slot is unfilled."""
        keys = np.sort(self._keys, axis=1)
        return np.where(keys == _EMPTY, np.int64(-1), unpack(keys)[1]).reshape(*self.shape, self.k)

    def state(self) -> State:
        """Arrays: scores (*shape, k) float32, ids (*shape, k) int64, largest () bool."""
        return {"scores": self.scores, "ids": self.ids, "largest": np.array(self.largest)}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """The object that `state` was taken from. ValueError if it is not one."""
        scores, ids, largest = fields(state, "TopK", "scores", "ids", "largest")
        check_shapes("TopK", ids=(ids, scores.shape), largest=(largest, ()))
        if scores.ndim == 0:
            raise ValueError("damaged state of TopK: scores has no axis of slots")
        if ids.size and (ids.min() < -1 or ids.max() > MAX_ID):
            raise ValueError(f"damaged state of TopK: ids run from {ids.min()} to {ids.max()}")
        made = cls(scores.shape[:-1], scores.shape[-1], bool(largest))
        cost = (-scores if largest else scores).astype(np.float32).reshape(-1, made.k) + np.float32(0)
        flat = ids.reshape(-1, made.k)
        keys = np.where(flat < 0, _EMPTY, pack(cost, np.maximum(flat, 0)))
        made._keep(np.arange(len(keys)), keys)
        return made


def _checked_ids(ids: ArrayLike, count: int) -> np.ndarray:
    number = np.asarray(ids)
    if number.shape != (count,) or (count and number.dtype.kind not in "iu"):
        raise ValueError(f"ids are {number.dtype} of shape {number.shape}; expected {count} integers")
    if count and (number.min() < 0 or number.max() > MAX_ID):
        raise ValueError(f"ids run from {number.min()} to {number.max()}; expected 0 to {MAX_ID}")
    return number.astype(np.int64)


def pack(cost: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """float32 costs and ids -> uint64 keys ordered by (cost, id), both ascending."""
    bits = np.ascontiguousarray(cost).view(np.uint32)
    # IEEE bits order like integers once negatives are flipped and positives lifted above them
    ordered = bits ^ np.where(bits & _SIGN, _ALL, _SIGN)
    return (ordered.astype(np.uint64) << np.uint64(32)) | ids.astype(np.uint64)


def unpack(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The way back: costs float32 and ids int64."""
    ordered = (keys >> np.uint64(32)).astype(np.uint32)
    bits = ordered ^ np.where(ordered & _SIGN, _SIGN, _ALL)
    return bits.view(np.float32), (keys & np.uint64(_ALL)).astype(np.int64)
