"""What Rosetta matching costs beside the paper's way: see `tests.bench`. Two CNNs of ResNet50's shape, made-up maps.

The paper's code enlarges, in every batch and for every pair of layers, the smaller of the two maps and multiplies at
the larger size. It is given fewer images and its time scaled, since it takes the same time for every batch.
"""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from core.methods.rosetta import BLOCK, Correlator, Key, tile_bytes
from tests.bench_tools import say, seconds

LAYERS = ((256, 56), (512, 28), (1024, 14), (2048, 7))
IMAGES, SCALED = 64, 16
CHECKED = 32  # units of each layer that float64 is asked about
MEMORY_LAYER = (2048, 7)


def bench_rosetta() -> None:
    """All 16 tiles of two CNNs over 64 images, and how far the correlations are from float64's."""
    with torch.no_grad():
        maps = {key: made for name, seed in (("a", 0), ("b", 1)) for key, made in _network(name, seed, IMAGES)}
        tiles = [(a, b) for a in maps if a[0] == "a" for b in maps if b[0] == "b"]
        made: list[Correlator] = []

        def ours() -> None:
            made[:] = [Correlator(tiles)]
            made[0].update(maps)

        few = {key: each[:SCALED] for key, each in maps.items()}
        # turns, so that a slow minute of the machine hits both
        pairs = [(seconds(ours), seconds(lambda: _paper(few, tiles)) * IMAGES / SCALED) for _ in range(3)]
        took, theirs = min(pairs, key=lambda pair: pair[1] / pair[0])
        say(
            f"matching two ResNet50s, {IMAGES} images",
            f"{theirs / took:.1f} x faster (worst of 3)",
            ">= 5",
            f"{took:.1f} s; pair by pair {theirs:.0f} s, from {SCALED} images",
        )
        worst = max(_error(made[0], maps, tile) for tile in tiles)
        detail = f"{CHECKED} x {CHECKED} units of each of {len(tiles)} tiles, all images"
        say("their largest error against float64", f"{worst:.1e}", "<= 1e-5", detail)


def bench_rosetta_memory() -> None:
    """The most that the largest tile adds to a process, its null included, beside what `tile_bytes` says."""
    words = [sys.executable, "-m", "tests.bench_rosetta"]
    took = subprocess.run(words, cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True).stdout
    units, side = MEMORY_LAYER
    said = tile_bytes(units, units, null=True)
    # beside the tile: a block's maps of both layers, centred, and the null's turned copy of one
    blocks = 3 * units * BLOCK * side**2 * 4
    say(
        f"memory of one tile, {units:,} x {units:,}, null",
        f"{int(took) / 2**20:.0f} MB",
        f"<= {(said + blocks) / 2**20:.0f} MB + 32",
        f"tile_bytes {said / 2**20:.0f} MB, one block's maps {blocks / 2**20:.0f} MB",
    )


def _network(name: str, seed: int, images: int) -> list[tuple[Key, Tensor]]:
    """Maps as a CNN has them: rectified, smooth, and alike between networks by what an image shows."""
    rng, scene = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(99)
    shown = torch.randn(images, 64, 7, 7, generator=scene)
    out = []
    for i, (units, side) in enumerate(LAYERS):
        mixed = torch.einsum("ck,bkyx->bcyx", torch.randn(units, 64, generator=rng) / 8, shown)
        coarse = F.interpolate(mixed, size=(side, side), mode="bilinear", align_corners=False)
        noise = torch.randn(images, units, side, side, generator=rng)
        out.append(((name, f"layer{i + 1}"), (coarse + noise).relu_()))
    return out


def _paper(maps: dict[Key, Tensor], tiles: list[tuple[Key, Key]]) -> None:
    """Resize pair by pair, multiply at the larger size, a batch of BLOCK images at a time (standardised before)."""
    for first in range(0, len(next(iter(maps.values()))), BLOCK):
        for a, b in tiles:
            one, other = (maps[key][first : first + BLOCK] for key in (a, b))
            size = max(one.shape[2], other.shape[2])
            flat = [
                (m if m.shape[2] == size else F.interpolate(m, size=(size, size), mode="bilinear", align_corners=False))
                .transpose(0, 1)
                .flatten(1)
                for m in (one, other)
            ]
            torch.mm(flat[0], flat[1].T)


def _error(made: Correlator, maps: dict[Key, Tensor], tile: tuple[Key, Key]) -> float:
    """Against float64 of enlarged maps, some units of a tile."""
    size = max(maps[key].shape[2] for key in tile)
    rows = []
    for key in tile:
        enlarged = F.interpolate(maps[key][:, :CHECKED].double(), size=(size, size), mode="bilinear")
        flat = enlarged.transpose(0, 1).flatten(1)
        flat -= flat.mean(1, keepdim=True)
        rows.append(flat / flat.norm(dim=1, keepdim=True))
    return float((made.correlation(*tile)[:CHECKED, :CHECKED] - rows[0] @ rows[1].T).abs().max())


def _memory() -> None:
    """One tile in a process of its own; prints what its largest size grew by."""
    units, side = MEMORY_LAYER
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    maps = {(name, "layer"): torch.rand(2 * BLOCK, units, side, side) for name in "ab"}
    warm = Correlator([(("a", "layer"), ("b", "layer"))])
    warm.update({key: each[:, :64] for key, each in maps.items()})  # libraries open their own buffers
    before = peak()
    (tile,) = tiles = [(("a", "layer"), ("b", "layer"))]
    Correlator(tiles, null=[tile]).update(maps)
    print(peak() - before)


BENCHES: dict[str, Callable[[], object]] = {"rosetta": bench_rosetta, "rosetta-memory": bench_rosetta_memory}

if __name__ == "__main__":
    _memory()
