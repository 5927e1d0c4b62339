"""What stands where in the demo images, on a grid, and how maps of units follow it.

Shape letters: i image, v value of the ground truth, u row (unit or concept), p position (images × grid), g grid side.
"""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from core.errors import InputError
from demo.vocabulary import CATEGORIES, CATEGORY_OF, OBJECT_NAMES, PLACES

GRID = 8  # the side to which masks and maps are brought; it divides the sides of the shipped images
NAMES: tuple[tuple[str, str], ...] = (
    *(("object", name) for name in OBJECT_NAMES),
    *(("category", name) for name in CATEGORIES),
    *(("place", name) for name in PLACES),
    ("any", "object"),
)
"""What each column of a mask is: where the objects of a kind, of a category, or any stand; where a place shows."""
_COLUMN = {name: column for column, name in enumerate(NAMES)}


def place_shares(mask: np.ndarray, objects: list[str], place: str) -> np.ndarray:
    """(v, g, g) float32: the share of each cell that each of NAMES covers.

    `mask`: uint8 (side, side), 0 the place, j + 1 the j-th of `objects`; the side a multiple of GRID.
    """
    cell = len(mask) // GRID
    shares = np.zeros((len(NAMES), GRID, GRID), np.float32)
    for instance in range(len(objects) + 1):
        share = (mask == instance).reshape(GRID, cell, GRID, cell).mean((1, 3))
        if instance == 0:
            shares[_COLUMN["place", place]] = share
        else:
            name = objects[instance - 1]
            for column in (("object", name), ("category", CATEGORY_OF[name]), ("any", "object")):
                shares[_COLUMN[column]] += share
    return shares


def read_masks(images: dict[str, list], folder: Path) -> np.ndarray:
    """(i, v, g, g) float32 of `place_shares`, for rows of the manifest of demo/images, from `folder`'s masks.parquet.

    Raises InputError where the rows are not of that data set.
    """
    path = folder / "masks.parquet"
    if "objects" not in images or not path.exists():
        raise InputError(f"Masks are needed: {path}, and a dictionary over the demo images, whose manifest says them.")
    table = pq.read_table(path).to_pydict()
    png = dict(zip(table["path"], table["mask"], strict=True))
    found = []
    for name, objects, place in zip(images["path"], images["objects"], images["place"], strict=True):
        mask = np.asarray(Image.open(io.BytesIO(png[name])))
        found.append(place_shares(mask, [each["name"] for each in json.loads(objects)], place))
    return np.stack(found)


def on_grid(maps: Tensor) -> Tensor:
    """Maps (b, c, h, w) at GRID × GRID: averaged over areas where they are finer, interpolated where coarser."""
    if min(maps.shape[2:]) >= GRID:
        return F.adaptive_avg_pool2d(maps, GRID)
    return F.interpolate(maps, size=(GRID, GRID), mode="bilinear", align_corners=False)


class Sums:
    """Pearson correlations of rows with values over all positions seen, streamed; products float32, sums float64."""

    def __init__(self, rows: int, values: int) -> None:
        self.count = 0
        self.x_u, self.xx_u = torch.zeros(rows, dtype=torch.float64), torch.zeros(rows, dtype=torch.float64)
        self.t_v, self.tt_v = torch.zeros(values, dtype=torch.float64), torch.zeros(values, dtype=torch.float64)
        self.xt_uv = torch.zeros(rows, values, dtype=torch.float64)

    def update(self, x_up: Tensor, t_vp: Tensor) -> None:
        """Add positions; x of about unit variance and no large mean, so that float32 products lose nothing."""
        self.count += x_up.shape[1]
        self.x_u += x_up.sum(1, dtype=torch.float64)
        self.xx_u += x_up.square().sum(1, dtype=torch.float64)
        self.t_v += t_vp.sum(1, dtype=torch.float64)
        self.tt_v += t_vp.square().sum(1, dtype=torch.float64)
        self.xt_uv += (x_up @ t_vp.T).double()

    def correlation(self) -> np.ndarray:
        """(u, v) float64; 0 where a row or a value does not vary."""
        x_u, t_v = self.x_u / self.count, self.t_v / self.count
        spread_u = (self.xx_u / self.count - x_u.square()).clamp(min=0).sqrt()
        spread_v = (self.tt_v / self.count - t_v.square()).clamp(min=0).sqrt()
        product = spread_u[:, None] * spread_v
        covariance = self.xt_uv / self.count - x_u[:, None] * t_v
        return torch.where(product > 1e-9, covariance / product.clamp(min=1e-9), 0.0).numpy()
