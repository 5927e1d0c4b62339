"""Rows of units, and which layers are compared in which pass; matches merged from any division into passes."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import BundleDamaged
from core.methods.rosetta import BLOCK, Correlator
from core.models.zoo import MapLayer
from precompute.rosetta_match import Matches
from precompute.rosetta_units import Units, all_tiles, has_null, layers_of, members_of, passes, tile_size


@dataclass(frozen=True)
class Made:
    """A member as far as rows go."""

    name: str
    layers: tuple[MapLayer, ...]


UNITS = Units(
    (
        Made("b", (MapLayer("L0", 5, (4, 4), 0.5), MapLayer("L1", 7, (4, 4), 1.0))),
        Made("a", (MapLayer("layer1", 3, (8, 8), 0.5), MapLayer("layer2", 4, (2, 2), 1.0))),
        Made("c", (MapLayer("L0", 6, (4, 4), 1.0),)),
    )  # type: ignore[arg-type]
)
SIZES = {key: layer.units for key, layer in UNITS.layers.items()}


def test_rows_count_members_and_layers_in_order() -> None:
    assert UNITS.count == 25
    assert [UNITS.first[key] for key in UNITS.keys] == [0, 5, 12, 15, 19]
    assert [UNITS.member(m) for m in range(3)] == [slice(0, 12), slice(12, 19), slice(19, 25)]
    for row in range(25):
        key = UNITS.key_of(row)
        assert UNITS.of(key).start <= row < UNITS.of(key).stop
        assert UNITS.members[UNITS.owner_u[row]].name == key[0]
    found = UNITS.by_layer(np.array([0, 4, 13, 24]))
    assert {key: numbers.tolist() for key, numbers in found.items()} == {
        ("b", "L0"): [0, 4],
        ("a", "layer1"): [1],
        ("c", "L0"): [5],
    }


def test_every_two_layers_are_compared_once() -> None:
    tiles = all_tiles(UNITS)
    keys = UNITS.keys
    assert len(tiles) == len(set(tiles)) == 15
    assert {frozenset(tile) for tile in tiles} == {frozenset(p) for p in combinations(keys, 2)} | {
        frozenset([key]) for key in keys
    }
    assert sum(map(has_null, tiles)) == 15 - (3 + 3 + 1)


@pytest.mark.parametrize("room", [0, 500, 2_000, 10**9])
def test_passes_hold_every_tile_and_fit(room: int) -> None:
    tiles = all_tiles(UNITS)
    made = passes(tiles, SIZES, room)
    assert [tile for each in made for tile in each] == tiles and all(made)
    assert all(len(each) == 1 or sum(tile_size(tile, SIZES) for tile in each) <= room for each in made)
    assert len(made) == (15 if room == 0 else 1 if room > 10**6 else len(made))
    for each in made:
        needed = {key for tile in each for key in tile}
        assert {(m.name, layer) for m in members_of(each, UNITS) for layer in layers_of(each, m)} == needed


def summed(tiles: list, count: int = 48) -> Correlator:
    """Of random maps, among them a dead unit: row 2."""
    rng = torch.Generator().manual_seed(0)
    shared = torch.randn(count, 1, 8, 8, generator=rng)
    maps = {}
    for key, layer in UNITS.layers.items():
        own = torch.randn(count, layer.units, *layer.grid, generator=rng)
        maps[key] = own + torch.nn.functional.adaptive_avg_pool2d(shared, layer.grid)
    maps["b", "L0"][:, 2] = 0
    made = Correlator(tiles, [tile for tile in tiles if has_null(tile)])
    for first in range(0, count, BLOCK):
        made.update({key: maps[key][first : first + BLOCK] for key in made.keys})
    return made


def test_matches_are_those_of_the_whole_tables() -> None:
    whole, matches = summed(all_tiles(UNITS)), Matches(UNITS, 3)
    matches.add(whole)
    table, chance = np.zeros((25, 25)), np.full((25, 25), np.nan)
    for a in UNITS.keys:
        for b in UNITS.keys:
            table[UNITS.of(a), UNITS.of(b)] = whole.correlation(a, b)
            if a[0] != b[0]:
                chance[UNITS.of(a), UNITS.of(b)] = whole.shuffled(a, b)
    np.fill_diagonal(table, 0)
    for row in range(25):
        for m in range(3):
            here = np.arange(25)[UNITS.member(m)]
            r = table[row, here].astype(np.float32)
            order = [j for j in np.lexsort((here, -r)) if r[j] != 0][:3]
            count = len(order)
            assert matches.near_umk[row, m].tolist() == here[order].tolist() + [-1] * (3 - count)
            assert np.array_equal(matches.r_umk[row, m, :count], r[order])
            expected = chance[row, here[order]].astype(np.float32)
            assert np.array_equal(matches.shuffled_umk[row, m, :count], expected, equal_nan=True)
            assert np.isnan(matches.r_umk[row, m, count:]).all()
            if UNITS.owner_u[row] != m and row != 2:
                known = chance[row, here]
                assert matches.best_um[row, m] == np.float32(known[known != 0].max())
    assert matches.std_u[2] == 0 and (np.delete(matches.std_u, 2) > 0.5).all()
    assert np.isnan(matches.best_um[2]).all() and np.array_equal(matches.levels_mm, matches.levels_mm.T, equal_nan=True)


def test_any_division_into_passes_gives_the_same(tmp_path: Path) -> None:
    whole, parts = Matches(UNITS, 3), Matches(UNITS, 3)
    whole.add(summed(all_tiles(UNITS)))
    tiles = all_tiles(UNITS)
    for number in (2, 0, 1):  # in another order, and kept on disk between
        again = Matches(UNITS, 3)
        again.load(tmp_path / "matches")
        assert again.missing() == parts.missing()
        again.add(summed(tiles[number::3]))
        again.save(tmp_path / "matches")
        parts = again
    assert not parts.missing() and not whole.missing()
    for name in ("near_umk", "r_umk", "shuffled_umk", "best_um", "mean_u", "std_u"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name), equal_nan=True), name
    with pytest.raises(BundleDamaged, match="other models"):
        Matches(UNITS, 2).load(tmp_path / "matches")
