"""The bilinear resize of maps as a matrix an axis, and what its adjoint spares.

Resizing (align_corners False, no antialias, as `F.interpolate`) is linear and acts on one axis after the other:
U x = U_y x U_xᵀ. So for a small map x and a large one y

    ⟨U x, y⟩ = ⟨x, Uᵀ y⟩,   Σ U x = ⟨x, Uᵀ 1⟩,   Σ (U x)² = ⟨x, UᵀU x⟩,

and everything that a correlation at the large size needs is a product at the small one: the large map is brought
*down* once, and no map is ever enlarged. A row of U sums to one, so a constant stays what it is.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]


def smaller_first(one: Grid, other: Grid) -> tuple[Grid, Grid]:
    """Two grids (height, width) by how many positions they have; of as many, the lower one is the smaller.

    Maps of the smaller grid are resized to the larger one, in both axes where their aspects differ.
    """
    first, second = sorted((one, other), key=lambda grid: (grid[0] * grid[1], grid[0]))
    return first, second


@dataclass(frozen=True)
class Resize:
    """From a small to a large grid: `u_Yy` and `u_Xx` (large, small) float64 on the CPU, of the rows and columns."""

    u_Yy: Tensor
    u_Xx: Tensor

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, small: Grid, large: Grid) -> "Resize":
        """Made once for two grids."""
        return cls(*(_axis(a, b) for a, b in zip(small, large, strict=True)))

    def adjoint(self, map_YX: Tensor) -> Tensor:
        """Uᵀ y: maps (..., Y, X) of the large grid brought down, (..., y, x), in their own precision."""
        return self.u_Yy.T.to(map_YX) @ (map_YX @ self.u_Xx.to(map_YX))

    def moments(self, map_yx: Tensor) -> tuple[Tensor, Tensor]:
        """Σ U x and Σ (U x)² of maps (c, b, y, x) over images and positions of the large grid, (c,) float64.

        In the maps' precision over the positions of an image (torch sums pairwise), in float64 over images.
        """
        total = lambda terms_cbyx: terms_cbyx.sum((2, 3)).sum(1, dtype=torch.float64)
        if self.u_Yy.shape[0] == self.u_Yy.shape[1] and self.u_Xx.shape[0] == self.u_Xx.shape[1]:
            return total(map_yx), total(map_yx * map_yx)
        weight_yx = torch.outer(self.u_Yy.sum(0), self.u_Xx.sum(0)).to(map_yx)
        gram_y, gram_x = (self.u_Yy.T @ self.u_Yy).to(map_yx), (self.u_Xx.T @ self.u_Xx).to(map_yx)
        return total(map_yx * weight_yx), total(map_yx * (gram_y @ (map_yx @ gram_x)))


def _axis(small: int, large: int) -> Tensor:
    """The resize of one axis (large, small): what `F.interpolate` makes of each unit vector."""
    if small == large:
        return torch.eye(small, dtype=torch.float64)
    unit_ssx = torch.eye(small, dtype=torch.float64)[:, None, None]
    return F.interpolate(unit_ssx, size=(1, large), mode="bilinear", align_corners=False)[:, 0, 0].T.contiguous()
