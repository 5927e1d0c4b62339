"""Correlations of the units of many layers from one pass over images, tile by tile.

A *tile* is a pair of layers. Its correlations (paper R, eq. 4.2) are Pearson's over all images and positions, the
smaller map resized bilinearly to the larger; divided once, at the end, not averaged over batches as the released code
does. By the adjoint (core.methods.rosetta_resize) every product is taken at the smaller size: C_a C_b min(s)²
multiply-adds an image instead of C_a C_b max(s)², and no map is resized twice.

Products are float32 of maps from which each unit's mean over the first BLOCK images is taken, sums are float64. Images
are taken in blocks of BLOCK however they come, so batching changes nothing, bit for bit; their order changes rounding.

The *null* of a tile is the same number with image i of the one layer against image π(i) of the other, π the next image
within the block (the block's last: its first). What then correlates is chance, and what all images share: a photo's
centre, a border.

A unit that is constant correlates with nothing: 0. A layer without a grid has one position, 1 × 1: its resized map is
the same everywhere, and what correlates is how images differ, which is well defined; such layers are allowed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from core.errors import InputError
from core.methods.rosetta_resize import Grid, Resize, smaller_first

Key = tuple[str, str]
"""A layer: its member's name and its own."""
Tile = tuple[Key, Key]
State = dict[str, np.ndarray]

BLOCK = 16
"""Images within which the null exchanges them."""
MIN_IMAGES = 32
"""Fewest images for a null. Two units whose maps only tell images apart correlate by chance with a standard deviation
of 1/√(n − 1), and the best of some thousand units is four of them off: 0.73 at 32 images and beyond 1 at 16, so that
with fewer nothing could be told from chance."""
CONSTANT = 1e-6
"""A unit whose standard deviation is below this share of its mean varies by what float32 rounds, if at all."""

_PIECE = 2048  # terms summed in float32 before float64 takes over: where BLAS sums plainly, thousands cost 5e-6 of r
_STRIP = 512  # units multiplied at a time
_ALL, _LONE = 0, 1  # sums over all images; over those that have no other in their block, which the null leaves out


def tile_bytes(units_a: int, units_b: int, null: bool = False) -> int:
    """Memory that a tile takes: its float64 sums (twice with a null), and while it is worked on a strip of products,
    float32 and as float64. The maps of a block come to that."""
    entries = units_a * units_b
    return 8 * entries * (1 + null) + 12 * min(entries, _STRIP * max(units_a, units_b))


def tile_of(a: Key, b: Key) -> Tile:
    """The one tile of two layers, whichever is named first."""
    return (a, b) if a <= b else (b, a)


class Correlator:
    """Streamed sums of many tiles. `tiles` and `null` (those of them that have a null) name layers in any order."""

    def __init__(self, tiles: Sequence[Tile], null: Collection[Tile] = (), device: torch.device | str = "cpu") -> None:
        self.tiles = tuple(dict.fromkeys(tile_of(*tile) for tile in tiles))
        self.null = frozenset(tile_of(*tile) for tile in null)
        if stray := self.null - set(self.tiles):
            raise ValueError(f"a null is asked for of {sorted(stray)}, which are no tiles")
        self.keys = tuple(dict.fromkeys(key for tile in self.tiles for key in tile))
        self.device = torch.device(device)
        self._count = np.zeros(2, np.int64)  # images: all, lone
        self._grid: dict[Key, Grid] = {}
        self._shift: dict[Key, Tensor] = {}  # (c,) float32: what is taken from a unit before multiplying
        self._moments: dict[tuple[Key, Grid], Tensor] = {}  # ([all, lone], [Σ, Σ²], c) at a size
        self._sums: dict[tuple[Tile, bool], Tensor] = {}  # Σ of products (ca, cb); True: of the null

    @property
    def count(self) -> int:
        """Images seen."""
        return int(self._count[_ALL])

    def update(self, maps: Mapping[Key, Tensor]) -> None:
        """Add the same b images in every layer: maps (b, c, h, w), h and w any. Only the last b need not be a multiple
        of BLOCK. ValueError, and nothing added, on another shape than before, NaN or infinity."""
        # inside a caller's inference mode the sums would become tensors that nobody may add to outside of it
        with torch.inference_mode(False), torch.no_grad():
            b = self._check(maps)
            for first in range(0, b, BLOCK):
                self._add({key: maps[key][first : first + BLOCK] for key in self.keys})

    def _check(self, maps: Mapping[Key, Tensor]) -> int:
        if missing := [key for key in self.keys if key not in maps]:
            raise ValueError(f"no maps of {missing}: every layer of the tiles is needed")
        images = {len(maps[key]) for key in self.keys}
        if len(images) > 1:
            raise ValueError(f"layers have {sorted(images)} images: they must be the same images")
        if self.count % BLOCK and any(images):
            raise ValueError(f"{self.count} images so far, no multiple of {BLOCK}: only the last batch may be odd")
        for key in self.keys:
            shape = tuple(maps[key].shape[1:])
            expected = (len(self._shift[key]), *self._grid[key]) if key in self._grid else shape
            if len(shape) != 3 or 0 in shape or shape != expected:
                raise ValueError(f"maps of {key} are {shape} an image; expected units, height, width: {expected}")
            if not torch.isfinite(maps[key].sum(dtype=torch.float32)):
                raise ValueError(f"maps of {key} hold NaN or infinity: leave these images out before adding them")
        return max(images, default=0)

    def _begin(self, maps: Mapping[Key, Tensor]) -> None:
        """Sizes, provisional means and empty sums from the first block."""
        self._grid = {key: (maps[key].shape[2], maps[key].shape[3]) for key in self.keys}
        self._shift = {key: maps[key].to(self.device).mean((0, 2, 3), dtype=torch.float64).float() for key in self.keys}
        zeros = lambda *shape: torch.zeros(shape, dtype=torch.float64, device=self.device)
        self._moments = {(key, grid): zeros(2, 2, len(self._shift[key])) for key, grid in self._sizes()}
        self._sums = {(tile, null): zeros(*(len(self._shift[key]) for key in tile)) for tile, null in self._products()}

    def _products(self) -> Iterator[tuple[Tile, bool]]:
        for tile in self.tiles:
            yield from ((tile, null) for null in ((False, True) if tile in self.null else (False,)))

    def _sizes(self) -> list[tuple[Key, Grid]]:
        """Every layer with every size at which its moments are needed: its own, and the larger ones of its tiles."""
        own = [(key, self._grid[key]) for key in self.keys]
        return list(dict.fromkeys(own + [(key, self._larger(tile)) for tile in self.tiles for key in tile]))

    def _larger(self, tile: Tile) -> Grid:
        return smaller_first(*(self._grid[key] for key in tile))[1]

    def _add(self, maps: Mapping[Key, Tensor]) -> None:
        """Add one block (b, c, h, w) of at most BLOCK images."""
        if not self._grid:
            self._begin(maps)
        centred = {
            key: (maps[key].to(self.device, torch.float32) - shift_c[:, None, None]).transpose(0, 1).contiguous()
            for key, shift_c in self._shift.items()
        }
        b = len(maps[self.keys[0]])
        kinds = [_ALL, _LONE] if b == 1 else [_ALL]
        self._count[kinds] += b
        for (key, grid), moments in self._moments.items():
            moments[kinds] += torch.stack(Resize.of(self._grid[key], grid).moments(centred[key]))
        down: dict[tuple[Key, Grid], Tensor] = {}
        for tile in self.tiles:
            small, _ = smaller_first(*(self._grid[key] for key in tile))
            for key in tile:
                if (key, small) not in down:
                    same = self._grid[key] == small
                    reduced = centred[key] if same else Resize.of(small, self._grid[key]).adjoint(centred[key])
                    down[key, small] = reduced.flatten(2)
            left_cbp, right_cbp = (down[key, small] for key in tile)
            _add_product(self._sums[tile, False], left_cbp, right_cbp)
            if tile in self.null and b > 1:
                _add_product(self._sums[tile, True], left_cbp, right_cbp.roll(-1, 1))

    def correlation(self, a: Key, b: Key) -> Tensor:
        """Pearson correlations (ca, cb) float64 over images and positions at the larger size; constant units 0.

        Of a layer with itself, symmetric. InputError before the first image, KeyError if it is no tile.
        """
        return self._finish(a, b, null=False)

    def shuffled(self, a: Key, b: Key) -> Tensor:
        """The null (ca, cb) float64; `shuffled(b, a)` is its transpose. A last block of one image has no other to
        exchange with and is left out. InputError with fewer than MIN_IMAGES images, KeyError if it has no null."""
        if self.count < MIN_IMAGES:
            raise InputError(
                f"{self.count} images are too few to tell a match from chance: at least {MIN_IMAGES} are needed, "
                "and some hundred make a good dictionary."
            )
        return self._finish(a, b, null=True)

    def _finish(self, a: Key, b: Key, null: bool) -> Tensor:
        self._seen()
        tile = tile_of(a, b)
        sum_ac = self._sums[tile, null]
        larger = self._larger(tile)
        mean_a, mean_b = (self._share(key, larger, null) for key in tile)
        terms = self._terms(larger, null)
        r = torch.addr(sum_ac, mean_a[0], mean_b[0], alpha=-1 / terms) if terms else torch.zeros_like(sum_ac)
        for (total, square), key, axis in ((mean_a, tile[0], 1), (mean_b, tile[1], 0)):
            r.mul_(self._inverse_spread(key, total, square, terms).unsqueeze(axis))
        if tile[0] == tile[1] and not null:
            r = (r + r.T) / 2  # BLAS may round (i, j) and (j, i) differently
        return (r if tile == (a, b) else r.T).clamp_(-1, 1)

    def _terms(self, grid: Grid, null: bool) -> int:
        """Images times positions that a sum is over."""
        return int(self._count[_ALL] - null * self._count[_LONE]) * grid[0] * grid[1]

    def _share(self, key: Key, grid: Grid, null: bool) -> Tensor:
        """([Σ, Σ²], c) of the images that a sum is over."""
        moments = self._moments[key, grid]
        return moments[_ALL] - null * moments[_LONE]

    def _inverse_spread(self, key: Key, total_c: Tensor, square_c: Tensor, terms: int) -> Tensor:
        """1 / √Σ(x − mean)², (c,); 0 for constant units."""
        n = max(terms, 1)
        centred_c = (square_c - total_c**2 / n).clamp_min(0)
        mean_c = self._shift[key].double() + total_c / n
        varies_c = centred_c > n * (CONSTANT * mean_c) ** 2
        return torch.where(varies_c, centred_c, 1.0).rsqrt() * varies_c

    def mean_std(self, key: Key) -> tuple[Tensor, Tensor]:
        """Of each unit over images and its own positions (eq. 4.1): mean and unbiased standard deviation, (c,) float64.

        InputError before the first image.
        """
        self._seen()
        grid = self._grid[key]
        (total_c, square_c), n = self._share(key, grid, False), self._terms(grid, False)
        variance_c = (square_c - total_c**2 / n).clamp_min(0) / max(n - 1, 1)
        return self._shift[key].double() + total_c / n, variance_c.sqrt()

    def alive(self, key: Key) -> Tensor:
        """(c,) bool: units that are not constant over all images and positions. InputError before the first image."""
        self._seen()
        grid = self._grid[key]
        total_c, square_c = self._share(key, grid, False)
        return self._inverse_spread(key, total_c, square_c, self._terms(grid, False)) > 0

    def _seen(self) -> None:
        if not self.count:
            raise InputError("No image has been compared yet: give at least one that can be read.")

    def state(self, copy: bool = True) -> State:
        """Everything, as arrays for .npz: to go on from here, or to add elsewhere. Without `copy`, on a CPU, the arrays
        are the sums themselves, to be written before the next update: no second table of them is held."""
        out = {"names": self._names(), "count": self._count.copy()}
        if self._grid:
            out["grids"] = np.array([self._grid[key] for key in self.keys], np.int64)
            arrays = {name: tensor.cpu().numpy() for name, tensor in self._tensors().items()}
            out |= {name: array.copy() for name, array in arrays.items()} if copy else arrays
        return out

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the images of a state. Into an empty correlator this is exactly where the other one was.

        ValueError if the state is of other tiles, sizes, or damaged.
        """
        names, ours = state.get("names"), self._names()
        if names is None or "count" not in state or not np.array_equal(names, ours):
            raise ValueError("this state is of other layers: a pass goes on with the tiles that it began with")
        if not state["count"].any():
            return
        with torch.inference_mode(False), torch.no_grad():
            theirs = self._opened(state)
            if not self.count:
                self.__dict__.update(theirs.__dict__)
            elif theirs._shapes() != self._shapes():
                raise ValueError("this state is of maps of another size, so its sums are not of the same units")
            else:
                self._absorb(theirs)

    def _opened(self, state: Mapping[str, np.ndarray]) -> "Correlator":
        """A correlator of its own with what the state holds."""
        made = Correlator(self.tiles, self.null, self.device)
        made._count = state["count"].copy()
        try:
            made._grid = {key: (int(h), int(w)) for key, (h, w) in zip(self.keys, state["grids"], strict=True)}
            arrays = lambda name: torch.from_numpy(state[name].copy()).to(self.device)
            made._shift = {key: arrays(f"shift.{i}") for i, key in enumerate(self.keys)}
            made._moments = {size: arrays(f"moments.{i}") for i, size in enumerate(made._sizes())}
            made._sums = {product: arrays(f"sums.{i}") for i, product in enumerate(made._products())}
        except (KeyError, ValueError) as error:
            raise ValueError(f"damaged state of a Correlator: {error}") from error
        units = {key: len(made._shift[key]) for key in self.keys}
        right = all(m.shape == (2, 2, units[key]) for (key, _), m in made._moments.items()) and all(
            s.shape == (units[a], units[b]) for ((a, b), _), s in made._sums.items()
        )
        if not right:
            raise ValueError("damaged state of a Correlator: its sums have other sizes than its layers")
        return made

    def _absorb(self, other: "Correlator") -> None:
        """Sums about the other's provisional means, moved to ours."""
        by_c = {key: (other._shift[key].double() - self._shift[key].double()) for key in self.keys}
        for (tile, null), sums in self._sums.items():
            larger = self._larger(tile)
            (a, b), n = tile, other._terms(larger, null)
            (total_a, _), (total_b, _) = (other._share(key, larger, null) for key in tile)
            sums += other._sums[tile, null]
            sums.addr_(by_c[a], total_b).addr_(total_a, by_c[b]).addr_(by_c[a], by_c[b], alpha=n)
        for (key, grid), moments in self._moments.items():
            theirs, d_c = other._moments[key, grid], by_c[key]
            n_k = torch.as_tensor(other._count * (grid[0] * grid[1]), dtype=torch.float64, device=self.device)[:, None]
            moments[:, 1] += theirs[:, 1] + 2 * d_c * theirs[:, 0] + n_k * d_c**2
            moments[:, 0] += theirs[:, 0] + n_k * d_c
        self._count += other._count

    def _names(self) -> np.ndarray:
        """The tiles and whether each has a null."""
        return np.array([[*a, *b, "null" if (a, b) in self.null else ""] for a, b in self.tiles], str)

    def _shapes(self) -> dict[Key, tuple[int, Grid]]:
        return {key: (len(self._shift[key]), self._grid[key]) for key in self.keys}

    def _tensors(self) -> dict[str, Tensor]:
        groups = {"shift": self._shift.values(), "moments": self._moments.values(), "sums": self._sums.values()}
        return {f"{name}.{i}": tensor for name, group in groups.items() for i, tensor in enumerate(group)}


def _add_product(sums_ac: Tensor, left_abp: Tensor, right_cbp: Tensor) -> None:
    """Add Σ over images and positions of the products of every two units."""
    left_at, right_ct = left_abp.flatten(1), right_cbp.flatten(1)
    for sums_sc, strip_st in zip(sums_ac.split(_STRIP), left_at.split(_STRIP), strict=True):
        for left_sp, right_cp in zip(strip_st.split(_PIECE, 1), right_ct.split(_PIECE, 1), strict=True):
            sums_sc += left_sp @ right_cp.T
