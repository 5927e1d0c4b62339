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


def choose_images(number_ci: np.ndarray) -> np.ndarray:
    """(concept, RANKS) int32: images of a concept's largest activations; ties by image, -1 where there are fewer."""
    shown = np.full((len(number_ci), RANKS), -1, np.int32)
    order_ci = np.argsort(-number_ci, axis=1, kind="stable")[:, :RANKS]
    shown[:, : order_ci.shape[1]] = order_ci
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
