"""More passes, for the units in concepts alone: their peaks, exact correlations within a concept, texts of CLIP units.

The first looks at everything that it has room for; where the correlations of a large dictionary need more memory than
is allowed, others follow, which only correlate.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

from core.bundle.thumbs import ThumbWriter
from core.errors import ModelError
from core.methods.rosetta import Correlator, Key, Tile, tile_of
from core.models.zoo import Member
from core.stats.followed import activation, deviations, read_as
from core.text.pools import TextPool
from precompute.config import Resources
from precompute.progress import Seen, bar
from precompute.rosetta_clip import ClipMember, UnitText
from precompute.rosetta_found import Found
from precompute.rosetta_images import Batch, batches, maps_of
from precompute.rosetta_plan import RosettaPlan
from precompute.rosetta_units import Units, layers_of, members_of, passes

_FP16_MAX = 65504.0


class Described:
    """What is found of the described units: `rows` theirs, `peak` (described, image) float16, `corr` one matrix of each
    concept, `texts` of CLIP units."""

    def __init__(self, plan: RosettaPlan, units: Units, found: Sequence[Found], pool: TextPool) -> None:
        self.plan, self.units, self.found = plan, units, found
        self.rows = np.unique(np.concatenate([np.zeros(0, np.int64), *(each.unit_u for each in found)]))
        self.by_layer = units.by_layer(self.rows)
        self.peak = np.zeros((len(self.rows), plan.images.rows.num_rows), np.float16)
        self.corr = [np.full((len(each.unit_u),) * 2, np.nan, np.float32) for each in found]
        self.texts: list[UnitText] = []
        self.clips = [self._clip(member, pool) for member in units.members if member.clip is not None]
        self._at: dict[Tile, list[tuple[int, np.ndarray, np.ndarray]]] = self._wanted()

    def _clip(self, member: Member, pool: TextPool) -> ClipMember:
        own = {key[1]: numbers for key, numbers in self.by_layer.items() if key[0] == member.name}
        first = {name: self.units.first[member.name, name] for name in own}
        return ClipMember(member, own, first, pool, self.plan.work)

    def _wanted(self) -> dict[Tile, list[tuple[int, np.ndarray, np.ndarray]]]:
        """For every two layers: the concepts with units of both, and at which places in them."""
        found: dict[Tile, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for c, each in enumerate(self.found):
            layer_u = np.array([self.units.keys.index(self.units.key_of(row)) for row in each.unit_u.tolist()])
            places = {self.units.keys[at]: np.flatnonzero(layer_u == at) for at in np.unique(layer_u).tolist()}
            for pair in combinations_with_replacement(places, 2):
                tile = tile_of(*pair)
                found.setdefault(tile, []).append((c, places[tile[0]], places[tile[1]]))
        return found

    @property
    def members(self) -> list[Member]:
        """Those with described units."""
        return [member for member in self.units.members if any(key[0] == member.name for key in self.by_layer)]

    def plan_passes(self, room: float) -> list[list[Tile]]:
        """The tiles to correlate, pass by pass; the first pass is made even where there is nothing to correlate."""
        tiles = [*self._at, *(tile for clip in self.clips for tile in clip.tiles)]
        sizes = {key: len(numbers) for key, numbers in self.by_layer.items()}
        sizes |= {clip.key: len(clip.pool) for clip in self.clips}
        return passes(tiles, sizes, room) or [[]]

    def activations(self, mean_d: np.ndarray, std_d: np.ndarray) -> np.ndarray:
        """(concept, image) float64: the mean over members (of each its best unit) of the peak in deviations from its
        mean."""
        z_di = deviations(self.peak.astype(np.float64), mean_d, std_d)
        best = [np.searchsorted(self.rows, each.best(self.units.owner_u)).tolist() for each in self.found]
        return activation(z_di, best)

    def read_as(self) -> np.ndarray:
        """(text, image) float16: how much images are like the texts of the pool, as the CLIP members with a described
        unit read both; without one no text."""
        readers = [clip for clip in self.clips if clip.member in self.members]
        if not readers:
            return np.zeros((0, self.peak.shape[1]), np.float16)
        return read_as(clip.cosines() for clip in readers).astype(np.float16)

    def take(self, summed: Correlator) -> None:
        """Correlations and texts that a pass has summed."""
        for tile in summed.tiles:
            clip = next((clip for clip in self.clips if clip.key in tile), None)
            if clip is not None:
                self.texts += clip.by_map(summed, next(own for own in clip.tiles if tile_of(*own) == tile))
                continue
            r, (a, b) = summed.correlation(*tile).float().cpu().numpy(), tile
            alive_a, alive_b = (summed.alive(key).cpu().numpy() for key in tile)
            r[~alive_a], r[:, ~alive_b] = np.nan, np.nan
            for c, at_a, at_b in self._at[tile]:
                i, j = (self.place(key, self.found[c].unit_u[at]) for key, at in ((a, at_a), (b, at_b)))
                self.corr[c][np.ix_(at_a, at_b)] = r[np.ix_(i, j)]
                self.corr[c][np.ix_(at_b, at_a)] = r[np.ix_(i, j)].T

    def place(self, key: Key, rows: np.ndarray | int) -> np.ndarray:
        """Where units of a layer are among the described ones of that layer."""
        return np.searchsorted(self.by_layer[key], rows - self.units.first[key])


def describe(
    plan: RosettaPlan, units: Units, found: Sequence[Found], pool: TextPool, room: float, resources: Resources
) -> Described:
    """All passes over the images for the described units; writes the thumbnails."""
    made = Described(plan, units, found, pool)
    todo = made.plan_passes(room)
    for number, tiles in enumerate(todo):
        what = f"describing, pass {number + 1} of {len(todo)}"
        with bar(plan.images.rows.num_rows, what, "img", resources) as seen:
            one = _pass if number else _everything
            made.take(one(made, tiles, resources, seen))
    for clip in made.clips:
        made.texts += clip.by_direction()
    made.texts.sort(key=lambda text: (text.unit, text.rank))
    return made


def _everything(made: Described, tiles: list[Tile], resources: Resources, seen: Seen) -> Correlator:
    """The first pass: peaks, scalars and thumbnails too."""
    members, keys = made.members, list(made.by_layer)
    first = made.units.first
    row_of = {key: np.searchsorted(made.rows, first[key] + numbers) for key, numbers in made.by_layer.items()}
    summed = Correlator(tiles, device=made.units.members[0].device)
    with ThumbWriter(made.plan.folder / "thumbs", made.plan.settings.thumb) as thumbs:
        for batch in batches(made.plan, members, resources.threads, thumbnails=True):
            for image, thumbnail in zip(batch.ids, batch.thumbnails, strict=True):
                thumbs.add_bytes(image, thumbnail)
            maps = described_maps(made, members, batch, keys, tiles, keep=True)
            for key in keys:
                peak_bc = maps[key].amax((2, 3)).cpu().numpy()
                if np.abs(peak_bc).max(initial=0) > _FP16_MAX:
                    raise ModelError(
                        f"{key[0]} acts more strongly at {key[1]} than half precision can keep: leave this model out."
                    )
                made.peak[row_of[key][:, None], batch.ids] = peak_bc.T
            if tiles:
                summed.update(maps)
            seen(len(batch.ids))
    return summed


def _pass(made: Described, tiles: list[Tile], resources: Resources, seen: Seen) -> Correlator:
    """A pass that only correlates."""
    members = members_of(tiles, made.units)
    keys = [key for member in members for name in layers_of(tiles, member) for key in [(member.name, name)]]
    summed = Correlator(tiles, device=made.units.members[0].device)
    for batch in batches(made.plan, members, resources.threads):
        summed.update(described_maps(made, members, batch, keys, tiles))
        seen(len(batch.ids))
    return summed


def described_maps(
    made: Described,
    members: Sequence[Member],
    batch: Batch,
    keys: Sequence[Key],
    tiles: Sequence[Tile] = (),
    keep: bool = False,
) -> dict[Key, Tensor]:
    """Maps of the described units, and the texts' heatmaps where they are compared; with `keep`, what CLIP
    members are asked later is kept too."""
    maps: dict[Key, Tensor] = {}
    for member in members:
        wanted = [layer for name, layer in keys if name == member.name]
        for layer, all_bcyx in maps_of(made.plan, member, batch, wanted).items():
            numbers = torch.from_numpy(made.by_layer[member.name, layer]).to(all_bcyx.device)
            maps[member.name, layer] = all_bcyx[:, numbers]
    for clip in made.clips:
        compared = any(clip.key in tile for tile in tiles)
        if clip.member in members and (compared or keep):
            trace = clip.trace(batch.inputs[clip.member.name], compared)
            if compared:
                maps[clip.key] = clip.heatmaps(trace)
            if keep:
                clip.keep(trace)
    return maps
