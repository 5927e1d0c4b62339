"""Mean and covariance of vectors, cell by cell, in one pass.

Chan, Golub & LeVeque 1983, eq. 2.1: two sets A and B with means m, sizes n and central second moments M merge as
    n = n_A + n_B,   δ = m_B − m_A,   m = m_A + δ n_B / n,   M = M_A + M_B + δδᵀ n_A n_B / n.
Everything is centred before it is squared, so a large common offset costs no digits.

Everything is computed and kept in float64, in which fp32 input is exact. With u = 2⁻⁵³, n images and standard deviation
s, the error of a covariance is at most about n u (s² + |mean| s) + (n u |mean|)² (the sums, and the rounded means that
merging compares); textbook E[x²] − mean² would lose u |mean|². tests/property/test_stats_laws.py holds us to it.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from core.stats.batch import Shape, State, as_batch, check_same, check_shapes, fields


class Moments:
    """Count, mean and full second moment over the last axis of `shape`.

    For shape (*cells, k) there is one k-vector a cell and image: `mean` is (*cells, k), `cov` (*cells, k, k).
    """

    def __init__(self, shape: Shape) -> None:
        if not shape:
            raise ValueError("Moments needs a shape of at least one axis; for scalars use shape (1,) or (..., 1)")
        self.shape = tuple(int(n) for n in shape)
        self._count = 0
        self._mean = np.zeros(self.shape)
        self._central = np.zeros((*self.shape, self.shape[-1]))

    def update(self, batch: ArrayLike) -> None:
        """Add images: batch (b, *shape). ValueError on another shape or on NaN or infinity."""
        x = as_batch(batch, self.shape, np.float64)
        b = len(x)
        if b == 0:
            return
        mean = x.mean(axis=0)
        if not np.isfinite(mean).all():  # a sum with a NaN or an infinity in it is never finite: one cheap look
            raise ValueError("the batch holds NaN or infinity: leave these images out before adding them")
        rows = np.empty((b + 1, *self.shape))
        np.subtract(x, mean, out=rows[:b])
        self._absorb(b, mean, rows)

    def _absorb(self, b: int, mean: np.ndarray, rows: np.ndarray) -> None:
        """Add b images given as centred rows and one spare row, which takes Chan's δ √(n_A n_B / n).

        Written so, the correction is part of the one matrix product and costs no pass over the (k, k) moments.
        """
        total = self._count + b
        delta = mean - self._mean
        rows[-1] = delta * np.sqrt(self._count * b / total)
        by_cell = np.moveaxis(rows, 0, -2)  # (*cells, b + 1, k), a view that BLAS takes as it is
        self._central += np.swapaxes(by_cell, -1, -2) @ by_cell
        self._mean += delta * (b / total)
        self._count = total

    def merge(self, other: "Moments") -> None:
        """Add all images of `other`, which is left as it is. ValueError if its shape differs."""
        check_same("Moments", self.shape, other.shape)
        if other._count:
            self._absorb(other._count, other._mean, np.empty((1, *self.shape)))
            self._central += other._central

    @property
    def count(self) -> int:
        """Images seen."""
        return self._count

    @property
    def mean(self) -> np.ndarray:
        """Mean vector (*cells, k); zeros before the first image."""
        return self._mean.copy()

    @property
    def cov(self) -> np.ndarray:
        """Population covariance (*cells, k, k), ddof = 0, symmetric; zeros before the first image."""
        central = self._central / max(self._count, 1)
        return (central + np.swapaxes(central, -1, -2)) / 2  # BLAS may round (i, j) and (j, i) differently

    @property
    def second(self) -> np.ndarray:
        """Uncentred second moment E[x xᵀ] (*cells, k, k)."""
        return self.cov + self._mean[..., :, None] * self._mean[..., None, :]

    def state(self) -> State:
        """Arrays: count (), mean (*cells, k), central (*cells, k, k), the sum of centred outer products."""
        return {"count": np.array(self._count, np.int64), "mean": self.mean, "central": self._central.copy()}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """The object that `state` was taken from. ValueError if it is not one."""
        count, mean, central = fields(state, "Moments", "count", "mean", "central")
        made = cls(mean.shape)
        check_shapes("Moments", central=(central, made._central.shape), count=(count, ()))
        made._count, made._mean, made._central = int(count), mean.astype(np.float64), central.astype(np.float64)
        return made
