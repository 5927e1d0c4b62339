"""Quantiles of a stream by an exact histogram over logarithmic buckets.

DDSketch (Masson, Rim & Lee 2019): if neighbouring bucket edges differ by a factor γ, answering with the bucket's
harmonic midpoint errs by at most α = (γ − 1)/(γ + 1) of the true value. Buckets here are those of the float itself
(its exponent and first p mantissa bits: the "bitwise linearly interpolated" mapping of the authors' libraries), so
γ ≤ 1 + 2⁻ᵖ and α ≤ 1/(2ᵖ⁺¹ + 1). Finding a bucket is a shift of integer bits, with no logarithm whose last bit
could differ between two machines; counts are integers; so merging is exact and independent of order.

Memory is bounded: |x| below `floor` counts as zero, and there are 2ᵖ buckets an octave from there to the largest |x|
seen. The default (0.5 % asked, p = 7, α = 0.39 %) takes 1 kB an octave and cell: 20 kB for values up to 1.
"""

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from core.stats.batch import Shape, State, as_batch, check_same, check_shapes, fields

_MANTISSA_BITS = 23
_FLOOR_EXPONENT = -20
_MAX_COUNT = 2**32 - 1
_BLOCK = 1 << 20  # counts summed at a time, so that asking takes some MB beyond the sketch


class Quantiles:
    """Quantiles, shares above a threshold, and the exact smallest and largest value, for each cell of `shape`.

    A quantile q̂ of true value q has |q̂ − q| ≤ relative_error · |q|; where |q| < `floor` it is 0 (and |q̂ − q| < floor).
    Values are taken as float32.
    """

    floor = 2.0**_FLOOR_EXPONENT
    """Values nearer to zero than this (9.5e-7) are counted as zero."""

    def __init__(self, shape: Shape, relative_error: float = 0.005) -> None:
        if not 2.0**-16 <= relative_error <= 0.3:
            raise ValueError(f"relative_error is {relative_error}; expected 0.000015 to 0.3, such as 0.005")
        self.shape = tuple(int(n) for n in shape)
        # the fewest mantissa bits p with 1/(2^(p+1) + 1) ≤ relative_error
        self._bits = max(math.ceil(math.log2(1 / relative_error - 1)) - 1, 1)
        self._clear()

    def _clear(self) -> None:
        cells = math.prod(self.shape)
        self._count = 0
        # (cells, sign, bucket): sign 0 is negative; bucket 0 of sign 1 holds the zeros, bucket 0 of sign 0 nothing
        self._counts = np.zeros((cells, 2, 1), np.uint32)
        self._min = np.full(cells, np.inf, np.float32)
        self._max = np.full(cells, -np.inf, np.float32)

    @property
    def relative_error(self) -> float:
        """The error that is guaranteed: at most the one asked for."""
        return 1 / (2 ** (self._bits + 1) + 1)

    @property
    def count(self) -> int:
        """Images seen."""
        return self._count

    @property
    def min(self) -> np.ndarray:
        """Smallest value seen, exact, (*shape) float32; +inf before the first image."""
        return self._min.reshape(self.shape).copy()

    @property
    def max(self) -> np.ndarray:
        """Largest value seen, exact, (*shape) float32; −inf before the first image."""
        return self._max.reshape(self.shape).copy()

    def update(self, batch: ArrayLike) -> None:
        """Add images: batch (b, *shape). ValueError on another shape, on NaN or infinity."""
        x = as_batch(batch, self.shape, np.float32)
        x = x.reshape(len(x), math.prod(self.shape)) + np.float32(0)  # −0.0 becomes 0.0: equal values, equal bits
        if x.size == 0:
            self._count += len(x)
            return
        if not np.isfinite(x).all():
            raise ValueError("the batch holds NaN or infinity: leave these images out before adding them")
        self._check_count(len(x))
        bucket = np.maximum((np.abs(x).view(np.int32) >> self._shift) - (self._first - 1), 0)
        self._widen(int(bucket.max()) + 1)
        sign = (x > 0) | (bucket == 0)
        cells, _, width = self._counts.shape
        at = (np.arange(cells) * 2 + sign) * width + bucket
        np.add.at(self._counts.reshape(-1), at.reshape(-1), np.uint32(1))
        self._min = np.minimum(self._min, x.min(axis=0))
        self._max = np.maximum(self._max, x.max(axis=0))
        self._count += len(x)

    @property
    def _shift(self) -> int:
        """Bits of a float32 to drop: what is left, exponent and p mantissa bits, numbers the buckets."""
        return _MANTISSA_BITS - self._bits

    @property
    def _first(self) -> int:
        """That number at the floor."""
        return int(np.float32(self.floor).view(np.int32)) >> self._shift

    def merge(self, other: "Quantiles") -> None:
        """Add all images of `other`, which is left as it is. ValueError if shape or precision differ."""
        check_same("Quantiles", (self.shape, self._bits), (other.shape, other._bits))
        self._check_count(other._count)
        width = other._counts.shape[-1]
        self._widen(width)
        self._counts[..., :width] += other._counts
        self._min = np.minimum(self._min, other._min)
        self._max = np.maximum(self._max, other._max)
        self._count += other._count

    def _check_count(self, more: int) -> None:
        if self._count + more > _MAX_COUNT:
            raise ValueError(f"more than {_MAX_COUNT} images: the 32-bit counts of a sketch would overflow")

    def _widen(self, width: int) -> None:
        """Room for `width` buckets, in whole octaves: so the size depends on the largest |x| alone, not on order."""
        octave = 2**self._bits
        missing = 1 + -(-(width - 1) // octave) * octave - self._counts.shape[-1]
        if missing > 0:
            self._counts = np.pad(self._counts, ((0, 0), (0, 0), (0, missing)))

    def _midpoints(self) -> np.ndarray:
        """What each bucket answers, ascending: negatives, zero, positives, (2 · width − 1,) float64."""
        numbers = np.arange(self._counts.shape[-1], dtype=np.int32) + np.int32(self._first)
        edge = (numbers << self._shift).view(np.float32).astype(np.float64)
        edge[np.isinf(edge)] = 2.0**128  # where the last octave of float32 ends
        positive = 2 * edge[:-1] * (edge[1:] / (edge[:-1] + edge[1:]))
        return np.concatenate([-positive[::-1], [0.0], positive])

    def _running(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of cells, each with its running counts (cells of the block, 2 · width − 1) along `_midpoints`."""
        cells, _, width = self._counts.shape
        step = max(_BLOCK // width, 1)
        for start in range(0, cells, step):
            block = slice(start, min(start + step, cells))
            negative, positive = self._counts[block, 0, :0:-1], self._counts[block, 1]
            yield block, np.concatenate([negative, positive], axis=1).cumsum(axis=1, dtype=np.int64)

    def _check_seen(self) -> None:
        if self._count == 0:
            raise ValueError("no image seen yet: add some before asking for quantiles or shares")

    def quantile(self, q: float) -> np.ndarray:
        """Nearest-rank quantile (*shape) float64: the ⌈q·n⌉-th smallest value, 0 ≤ q ≤ 1 (the smallest for q = 0).

        The smallest and the largest value are exact. ValueError before the first image.
        """
        self._check_seen()
        if not 0 <= q <= 1:
            raise ValueError(f"q is {q}; expected 0 to 1")
        # through the decimal that was typed: 0.07 of 100 images is the 7th, though the float 0.07 · 100 > 7
        rank = max(math.ceil(Fraction(str(float(q))) * self._count), 1)
        if rank == 1:
            return self.min.astype(np.float64)
        if rank == self._count:
            return self.max.astype(np.float64)
        middle = self._midpoints()
        answer = np.empty(len(self._counts))
        for block, running in self._running():
            answer[block] = middle[(running >= rank).argmax(axis=1)]
        # the true value lies within [min, max], so moving the answer there can only bring it nearer
        return np.clip(answer, self._min, self._max).reshape(self.shape)

    def share_above(self, threshold: ArrayLike) -> np.ndarray:
        """Share of images with a value above `threshold` (one for all, or (*shape): one a cell), (*shape) float64.

        The true share for some threshold within 2 · relative_error of the one given (or within ±floor of it, near
        zero): a value is misjudged only if it shares the threshold's bucket. Outside [min, max] it is exact.
        ValueError before the first image.
        """
        self._check_seen()
        limit = np.broadcast_to(np.asarray(threshold, np.float64), self.shape).reshape(-1)
        if np.isnan(limit).any():
            raise ValueError("threshold is NaN; expected a number")
        buckets = np.searchsorted(self._midpoints(), limit, side="right")  # how many answer `limit` or less
        below = np.zeros(len(limit), np.int64)
        for block, running in self._running():
            last = np.maximum(buckets[block] - 1, 0)
            below[block] = np.where(buckets[block] > 0, np.take_along_axis(running, last[:, None], 1)[:, 0], 0)
        share = (self._count - below) / self._count
        return np.where(limit < self._min, 1.0, np.where(limit >= self._max, 0.0, share)).reshape(self.shape)

    def cdf(self, threshold: ArrayLike) -> np.ndarray:
        """Share of images with a value of at most `threshold`: 1 − share_above(threshold)."""
        return 1 - self.share_above(threshold)

    def state(self) -> State:
        """Arrays: count (), bits (), min and max (*shape) float32, counts (*shape, 2 signs, buckets) uint32."""
        return {
            "count": np.array(self._count, np.int64),
            "bits": np.array(self._bits, np.int64),
            "min": self.min,
            "max": self.max,
            "counts": self._counts.reshape(*self.shape, *self._counts.shape[1:]).copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """The object that `state` was taken from. ValueError if it is not one."""
        count, bits, low, high, counts = fields(state, "Quantiles", "count", "bits", "min", "max", "counts")
        check_shapes("Quantiles", count=(count, ()), bits=(bits, ()), max=(high, low.shape))
        if not 1 <= bits <= 16:
            raise ValueError(f"damaged state of Quantiles: bits is {bits}, expected 1 to 16")
        made = cls(low.shape)
        made._bits = int(bits)
        made._clear()
        check_shapes("Quantiles", counts=(counts, (*low.shape, 2, counts.shape[-1] if counts.ndim else 0)))
        made._count, made._min, made._max = int(count), low.astype(np.float32).ravel(), high.astype(np.float32).ravel()
        made._counts = counts.astype(np.uint32).reshape(-1, 2, counts.shape[-1])
        return made
