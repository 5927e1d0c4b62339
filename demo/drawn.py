"""Training scenes drawn once to a file and read many times: for models that go over the same scenes more than once.

Drawing a scene as the shipped images are drawn takes longer than a small model's step on it.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demo.stream import SIDES, shipped_view, targets, train_scene

FIRST = 20_000  # of the stream: from here on at most two scenes in five are easy, from EASY on none
NUMBER = 40_000
PIXELS = 64


def scenes_file(folder: Path, seed: int, number: int = NUMBER, pixels: int = PIXELS) -> np.ndarray:
    """Pictures of training scenes FIRST .. FIRST + number, uint8 [number, pixels, pixels, 3], read from the disk.

    The file is drawn on first use, whole or not at all (about 4 ms a scene).
    """
    path = folder / f"scenes-{seed}-{number}-{pixels}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        shape = (number, pixels, pixels, 3)
        pictures = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for row in range(number):
            scene, _ = train_scene(seed, FIRST + row)
            pictures[row] = shipped_view(scene, SIDES[row % len(SIDES)], pixels)
        pictures.flush()
        partial.replace(path)
        print(f"drew {number} scenes into {path}", flush=True)
    return np.load(path, mmap_mode="r")


def object_shares(seed: int, number: int = NUMBER) -> Tensor:
    """The share of each object in the same scenes, float32 [number, objects], rows summing to 1."""
    return targets([train_scene(seed, FIRST + row)[0] for row in range(number)])["object"]


def rows_of(seed: int, start: int, size: int, number: int = NUMBER) -> np.ndarray:
    """Which scenes training samples start .. start + size are: each once in order, then any, by chance."""
    order = np.arange(start, start + size)
    chance = np.random.default_rng((seed, start)).integers(number, size=size)
    return np.where(order < number, order, chance)


def varied(pictures: np.ndarray, rng: np.random.Generator, shift: int = 4) -> Tensor:
    """uint8 pictures [b, p, p, 3], each mirrored or not and moved by at most `shift` pixels, edges reflected."""
    pixels = pictures.shape[1]
    padded = np.pad(pictures, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    moves = rng.integers(2 * shift + 1, size=(len(pictures), 2))
    moved = np.stack([picture[y : y + pixels, x : x + pixels] for picture, (y, x) in zip(padded, moves, strict=True)])
    mirrored = rng.uniform(size=len(pictures)) < 0.5
    moved[mirrored] = moved[mirrored, :, ::-1]
    return torch.from_numpy(moved)
