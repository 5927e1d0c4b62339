"""What Rosetta matching costs beside the paper's way: see `tests.bench`. Two CNNs of ResNet50's shape, made-up maps.

The paper's code enlarges, in every batch and for every pair of layers, the smaller of the two maps and multiplies at
the larger size. It is given fewer images and its time scaled, since it takes the same time for every batch.
"""

import os
import statistics
import subprocess
import sys
import time
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
        # turns, so that a slow minute hits both; CPU time beside it, which other work on the machine changes little
        pairs = [(_times(ours), _times(lambda: _paper(few, tiles))) for _ in range(3)]
        wall, cpu = (statistics.median(b[i] / a[i] for a, b in pairs) * IMAGES / SCALED for i in (0, 1))
        took = statistics.median(a[0] for a, _ in pairs)
        say(
            f"matching two ResNet50s, {IMAGES} images",
            f"{wall:.1f} x faster ({cpu:.1f} x in CPU time)",
            ">= 5",
            f"{took:.1f} s; pair by pair {took * wall:.0f} s, from {SCALED} images; load {os.getloadavg()[0]:.1f}",
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


def _times(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the CPU."""
    before = time.process_time()
    return seconds(call), time.process_time() - before


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
    """One tile in a process of its own; prints what the process grew by at most."""
    units, side = MEMORY_LAYER
    maps = {(name, "layer"): torch.rand(2 * BLOCK, units, side, side) for name in "ab"}
    tiles = [(("a", "layer"), ("b", "layer"))]
    Correlator(tiles).update({key: each[:, :64] for key, each in maps.items()})  # libraries open their own buffers
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = _status("VmRSS")
    Correlator(tiles, null=tiles).update(maps)
    print(_status("VmHWM") - before)


def _status(name: str) -> int:
    """Bytes, of /proc/self/status."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


BENCHES: dict[str, Callable[[], object]] = {"rosetta": bench_rosetta, "rosetta-memory": bench_rosetta_memory}

if __name__ == "__main__":
    _memory()
