"""Covariance of pairs of scalars (x, y), cell by cell, in one pass: Pearson correlations and covariance shares.

The merging of core.stats.moments (Chan, Golub & LeVeque 1983) for the 2 × 2 moments of a pair, without the pass
through (k, k) matrices. A Pearson correlation is divided once, at the end, over all images, never averaged by batch.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from core.stats.batch import Shape, State, as_batch, check_same, check_shapes, fields


class CrossMoments:
    """Variances and covariance of x and y, both of `shape` for each image, element by element, in float64."""

    def __init__(self, shape: Shape) -> None:
        self.shape = tuple(int(n) for n in shape)
        self._count = 0
        self._mean = np.zeros((2, *self.shape))  # of x, of y
        self._central = np.zeros((3, *self.shape))  # sums of centred xx, yy, xy

    def update(self, x: ArrayLike, y: ArrayLike) -> None:
        """Add images: x and y (b, *shape). ValueError on other shapes, unequal b, NaN or infinity."""
        xs = as_batch(x, self.shape, np.float64, "x")
        ys = as_batch(y, self.shape, np.float64, "y")
        if len(xs) != len(ys):
            raise ValueError(f"x has {len(xs)} images and y {len(ys)}: they must be the same images")
        if len(xs) == 0:
            return
        mean = np.stack([xs.mean(axis=0), ys.mean(axis=0)])
        if not np.isfinite(mean).all():
            raise ValueError("the batch holds NaN or infinity: leave these images out before adding them")
        dx, dy = xs - mean[0], ys - mean[1]
        sums = [np.einsum("b...,b...->...", left, right) for left, right in ((dx, dx), (dy, dy), (dx, dy))]
        self._absorb(len(xs), mean, np.stack(sums))

    def _absorb(self, b: int, mean: np.ndarray, central: np.ndarray) -> None:
        total = self._count + b
        dx, dy = delta = mean - self._mean
        self._central += central + np.stack([dx * dx, dy * dy, dx * dy]) * (self._count * b / total)
        self._mean += delta * (b / total)
        self._count = total

    def merge(self, other: "CrossMoments") -> None:
        """Add all images of `other`, which is left as it is. ValueError if its shape differs."""
        check_same("CrossMoments", self.shape, other.shape)
        if other._count:
            self._absorb(other._count, other._mean, other._central)

    @property
    def count(self) -> int:
        """Images seen."""
        return self._count

    @property
    def mean_x(self) -> np.ndarray:
        """Mean of x, (*shape)."""
        return self._mean[0].copy()

    @property
    def mean_y(self) -> np.ndarray:
        """Mean of y, (*shape)."""
        return self._mean[1].copy()

    @property
    def var_x(self) -> np.ndarray:
        """Population variance of x, (*shape)."""
        return self._central[0] / max(self._count, 1)

    @property
    def var_y(self) -> np.ndarray:
        """Population variance of y, (*shape)."""
        return self._central[1] / max(self._count, 1)

    @property
    def cov(self) -> np.ndarray:
        """Population covariance of x and y, (*shape)."""
        return self._central[2] / max(self._count, 1)

    @property
    def pearson(self) -> np.ndarray:
        """Pearson correlation in [−1, 1], (*shape); 0 where x or y never varies."""
        xx, yy, xy = self._central
        scale = np.sqrt(xx) * np.sqrt(yy)  # √(xx·yy) would underflow for small variances
        return np.clip(np.divide(xy, scale, out=np.zeros(self.shape), where=scale > 0), -1.0, 1.0)

    def state(self) -> State:
        """Arrays: count (), mean (2, *shape) of x and y, central (3, *shape): sums of centred xx, yy, xy."""
        return {
            "count": np.array(self._count, np.int64),
            "mean": self._mean.copy(),
            "central": self._central.copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """The object that `state` was taken from. ValueError if it is not one."""
        count, mean, central = fields(state, "CrossMoments", "count", "mean", "central")
        made = cls(mean.shape[1:])
        check_shapes(
            "CrossMoments",
            mean=(mean, made._mean.shape),
            central=(central, made._central.shape),
            count=(count, ()),
        )
        made._count, made._mean, made._central = int(count), mean.astype(np.float64), central.astype(np.float64)
        return made
