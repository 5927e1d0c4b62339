"""Passes over the images that correlate every two layers, as many tiles a pass as fit in memory, and keep what is near.

What is kept after a pass is small (K neighbours a unit and member) and written at once; sums in the middle of a pass
are written every CHECKPOINT_S seconds. So a run that is killed loses little, and since images are added in the same
order to the same sums, it comes out the same, byte for byte.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import numpy as np
import torch

from core.bundle.atomic import atomic_stream, load_arrays, save_arrays
from core.errors import BundleDamaged
from core.methods.rosetta import Correlator, Key, Tile, best, level, merge_nearest, nearest
from precompute.config import Resources
from precompute.progress import bar
from precompute.rosetta_images import batches, maps_of
from precompute.rosetta_plan import RosettaPlan
from precompute.rosetta_units import Units, all_tiles, has_null, layers_of, members_of, passes

CHECKPOINT_S = 100.0
_MATCHES, _SUMS = "matches.safetensors", "sums.npz"


class Matches:
    """What passes have found so far: u units, m members, k neighbours; see core/bundle/schema_rosetta.py.

    `done_t` tells which of all tiles are in it.
    """

    def __init__(self, units: Units, k: int) -> None:
        u, m = units.count, len(units.members)
        self.units, self.k = units, k
        self.tiles = all_tiles(units)
        self.done_t = np.zeros(len(self.tiles), bool)
        self.near_umk = np.full((u, m, k), -1, np.int32)
        self.r_umk = np.full((u, m, k), np.nan, np.float32)
        self.shuffled_umk = np.full((u, m, k), np.nan, np.float32)
        self.best_um = np.full((u, m), np.nan, np.float32)
        self.mean_u = np.zeros(u, np.float32)
        self.std_u = np.zeros(u, np.float32)
        self._position = {member.name: i for i, member in enumerate(units.members)}

    @property
    def levels_mm(self) -> np.ndarray:
        """Null levels of every two members, float32; NaN on the diagonal."""
        members = range(len(self.units.members))
        best = [self.best_um[self.units.member(m)] for m in members]
        levels = [[level(best[a][:, b], best[b][:, a]) if a != b else np.nan for b in members] for a in members]
        return np.array(levels, np.float32)

    def missing(self) -> list[Tile]:
        """Tiles still to be compared."""
        return [tile for tile, done in zip(self.tiles, self.done_t, strict=True) if not done]

    def add(self, summed: Correlator) -> None:
        """Take what a pass has summed."""
        for a, b in summed.tiles:
            r = summed.correlation(a, b)
            shuffled = summed.shuffled(a, b) if has_null((a, b)) else None
            self._near(a, b, r, shuffled)
            if a != b:
                self._near(b, a, r.T, None if shuffled is None else shuffled.T)
            if shuffled is not None:
                for key, other, found in zip((a, b), (b, a), best(shuffled), strict=True):
                    here = self.best_um[self.units.of(key), self._position[other[0]]]
                    np.fmax(here, found, out=here)
            self.done_t[self.tiles.index((a, b))] = True
        for key in summed.keys:
            mean_c, std_c = summed.mean_std(key)
            self.mean_u[self.units.of(key)] = mean_c.cpu().numpy()
            self.std_u[self.units.of(key)] = (std_c * summed.alive(key)).cpu().numpy()

    def _near(self, a: Key, b: Key, r: torch.Tensor, shuffled: torch.Tensor | None) -> None:
        """Merge the nearest units of layer b into those of layer a's units."""
        at = self.units.of(a), self._position[b[0]]
        first = self.units.first[b]
        index, value = nearest(r, self.k, first=first, own=a == b)
        chance = np.full(index.shape, np.nan, np.float32)
        if shuffled is not None:
            places = torch.from_numpy(np.where(index < 0, 0, index - first).astype(np.int64)).to(shuffled.device)
            taken = shuffled.gather(1, places).float().cpu().numpy()
            chance = np.where(index < 0, np.float32(np.nan), taken)
        before = self.near_umk[at], self.r_umk[at], self.shuffled_umk[at]
        merged, merged_r = merge_nearest((before[0], before[1]), (index, value))
        every, every_chance = np.concatenate([before[0], index], 1), np.concatenate([before[2], chance], 1)
        place = (every[:, None, :] == merged[:, :, None]).argmax(2)
        self.shuffled_umk[at] = np.where(merged < 0, np.float32(np.nan), np.take_along_axis(every_chance, place, 1))
        self.near_umk[at], self.r_umk[at] = merged, merged_r

    def save(self, path: Path) -> None:
        save_arrays(path, {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)})

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote, if it did. BundleDamaged for another zoo's."""
        if not path.exists():
            return
        for name, array in load_arrays(path).items():
            if getattr(self, name).shape != array.shape:
                raise BundleDamaged(f"{path} is of other models than these. Delete it and run the same command again.")
            setattr(self, name, array)


def match(plan: RosettaPlan, units: Units, settings_k: int, room: float, resources: Resources) -> Matches:
    """All passes that are not done yet."""
    matches = Matches(units, settings_k)
    matches.load(plan.work / _MATCHES)
    sizes = {key: layer.units for key, layer in units.layers.items()}
    todo = passes(matches.missing(), sizes, room)
    before = max(0, len(passes(matches.tiles, sizes, room)) - len(todo))
    for number, tiles in enumerate(todo, before + 1):
        summed = _pass(plan, units, tiles, f"pass {number} of {before + len(todo)}", resources)
        matches.add(summed)
        matches.save(plan.work / _MATCHES)
        (plan.work / _SUMS).unlink(missing_ok=True)
    return matches


def _pass(plan: RosettaPlan, units: Units, tiles: list[Tile], what: str, resources: Resources) -> Correlator:
    """One pass, or the rest of one that was interrupted."""
    members = members_of(tiles, units)
    summed = Correlator(tiles, [tile for tile in tiles if has_null(tile)], device=units.members[0].device)
    _resume(summed, plan.work / _SUMS)
    images, saved = plan.images.rows.num_rows, time.monotonic()
    with bar(images, what, "img", resources, summed.count) as seen:
        for batch in batches(plan, members, resources.threads, start=summed.count):
            maps = {
                (member.name, layer): maps_bcyx
                for member in members
                for layer, maps_bcyx in maps_of(plan, member, batch, layers_of(tiles, member)).items()
            }
            summed.update(maps)
            seen(len(batch.ids))
            if time.monotonic() - saved > CHECKPOINT_S and summed.count < images:
                with atomic_stream(plan.work / _SUMS) as stream:
                    np.savez(stream, **cast(Mapping, summed.state(copy=False)))
                saved = time.monotonic()
    return summed


def _resume(summed: Correlator, path: Path) -> None:
    """Load sums, unless they are of other tiles: after an interruption the memory allowed may be another."""
    if not path.exists():
        return
    try:
        with np.load(path, allow_pickle=False) as state:
            summed.load(state)
    except (OSError, ValueError, BadZipFile, EOFError):
        path.unlink(missing_ok=True)
