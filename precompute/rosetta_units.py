"""The rows of a dictionary's units, and which pairs of layers are compared in which pass over the images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np

from core.methods.rosetta import Key, Tile, tile_bytes, tile_of
from core.models.zoo import MapLayer, Member


@dataclass(frozen=True, eq=False)
class Units:
    """All units of all members: rows count members and their layers in order."""

    members: tuple[Member, ...]

    @cached_property
    def layers(self) -> dict[Key, MapLayer]:
        """Every compared layer, in the order of rows."""
        return {(member.name, layer.name): layer for member in self.members for layer in member.layers}

    @cached_property
    def first(self) -> dict[Key, int]:
        """Row of each layer's first unit."""
        ends = np.cumsum([0, *(layer.units for layer in self.layers.values())]).tolist()
        return dict(zip(self.layers, ends, strict=False))

    @cached_property
    def count(self) -> int:
        return sum(layer.units for layer in self.layers.values())

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The layers by their position."""
        return tuple(self.layers)

    @cached_property
    def owner_u(self) -> np.ndarray:
        """Position of each unit's member."""
        position = {member.name: m for m, member in enumerate(self.members)}
        return np.repeat([position[name] for name, _ in self.layers], [layer.units for layer in self.layers.values()])

    def of(self, key: Key) -> slice:
        """The rows of a layer."""
        return slice(self.first[key], self.first[key] + self.layers[key].units)

    def member(self, m: int) -> slice:
        """The rows of a member."""
        here = [self.of(key) for key in self.keys if key[0] == self.members[m].name]
        return slice(here[0].start, here[-1].stop)

    def key_of(self, row: int) -> Key:
        """The layer of a unit."""
        return self.keys[int(np.searchsorted(list(self.first.values()), row, "right")) - 1]

    def by_layer(self, rows: np.ndarray) -> dict[Key, np.ndarray]:
        """Units' numbers in their layers, of ascending rows, by layer; layers without any are left out."""
        found = {key: rows[(rows >= self.of(key).start) & (rows < self.of(key).stop)] for key in self.keys}
        return {key: here - self.first[key] for key, here in found.items() if len(here)}


def all_tiles(units: Units) -> list[Tile]:
    """Every two layers, of two members or of one, pair of members by pair of members: so that a pass needs few."""
    by_member = [[key for key in units.keys if key[0] == member.name] for member in units.members]
    tiles: list[Tile] = []
    for a, b in combinations_with_replacement(range(len(by_member)), 2):
        pairs = combinations_with_replacement(by_member[a], 2) if a == b else _product(by_member[a], by_member[b])
        tiles += [tile_of(*pair) for pair in pairs]
    return tiles


def has_null(tile: Tile) -> bool:
    """Whether chance is measured for a tile: for two different members."""
    return tile[0][0] != tile[1][0]


def passes(tiles: Sequence[Tile], sizes: Mapping[Key, int], room: float) -> list[list[Tile]]:
    """The tiles in order, as many a pass as fit in `room` bytes; at least one."""
    made: list[list[Tile]] = []
    used = 0
    for tile in tiles:
        size = tile_size(tile, sizes)
        if not made or used + size > room:
            made.append([])
            used = 0
        made[-1].append(tile)
        used += size
    return made


def tile_size(tile: Tile, sizes: Mapping[Key, int]) -> int:
    """Bytes that a tile takes while it is summed."""
    return tile_bytes(sizes[tile[0]], sizes[tile[1]], has_null(tile))


def members_of(tiles: Sequence[Tile], units: Units) -> list[Member]:
    """The members that a pass must run."""
    names = {key[0] for tile in tiles for key in tile}
    return [member for member in units.members if member.name in names]


def layers_of(tiles: Sequence[Tile], member: Member) -> list[str]:
    """The layers of a member that are in any of the tiles."""
    wanted = {key[1] for tile in tiles for key in tile if key[0] == member.name}
    return [layer.name for layer in member.layers if layer.name in wanted]


def _product(a: Sequence[Key], b: Sequence[Key]) -> Iterator[Tile]:
    return ((one, other) for one in a for other in b)
