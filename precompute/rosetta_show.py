"""The images that a concept is shown by, and the maps of its units in them."""

from collections.abc import Mapping

import numpy as np
import torch

from precompute.config import Resources
from precompute.progress import bar
from precompute.rosetta_describe import Described, described_maps
from precompute.rosetta_images import batches

MAX_SIDE = 28
RANKS = 8


def choose_images(made: Described, mean_d: np.ndarray, std_d: np.ndarray) -> np.ndarray:
    """(concept, RANKS) int32: images of largest mean z of the peaks of each member's best unit; ties by image."""
    images = made.peak.shape[1]
    shown = np.full((len(made.found), RANKS), -1, np.int32)
    for c, each in enumerate(made.found):
        at = np.searchsorted(made.rows, each.best(made.units.owner_u))
        spread = np.where(std_d[at] > 0, std_d[at], np.inf)[:, None]
        z_i = ((made.peak[at].astype(np.float64) - mean_d[at, None]) / spread).mean(0)
        order = np.argsort(-z_i, kind="stable")[:RANKS]
        shown[c, : min(RANKS, images)] = order
    return shown


def map_size(grid: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a stored map."""
    return min(grid[0], MAX_SIDE), min(grid[1], MAX_SIDE)


def fill_maps(
    made: Described,
    shown: np.ndarray,
    values: np.ndarray,
    starts: Mapping[tuple[int, int], int],
    resources: Resources,
) -> None:
    """Write the maps of every concept's units in its images into `values`, those of unit u of concept c from
    starts[c, u] on."""
    images = np.unique(shown[shown >= 0])
    wanted: dict[int, list[tuple[int, int]]] = {}
    for c, rank in np.argwhere(shown >= 0).tolist():
        wanted.setdefault(int(shown[c, rank]), []).append((c, rank))
    keys = list(made.by_layer)
    units_of = [[(made.units.key_of(row), row) for row in each.unit_u.tolist()] for each in made.found]
    places = [[(key, made.place(key, row)) for key, row in of] for of in units_of]
    with bar(len(images), "maps", "img", resources) as seen:
        for batch in batches(made.plan, made.members, resources.threads, ids=images):
            maps = {}
            for key, maps_bcyx in described_maps(made, made.members, batch, keys).items():
                size = map_size((maps_bcyx.shape[2], maps_bcyx.shape[3]))
                maps[key] = torch.nn.functional.adaptive_avg_pool2d(maps_bcyx, size).half().cpu().numpy()
            for b, image in enumerate(batch.ids):
                for c, rank in wanted[image]:
                    for u, (key, place) in enumerate(places[c]):
                        map_yx = maps[key][b, place]
                        start = starts[c, u] + rank * map_yx.size
                        values[start : start + map_yx.size] = map_yx.ravel()
            seen(len(batch.ids))
