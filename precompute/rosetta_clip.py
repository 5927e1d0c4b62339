"""Words for the units of CLIP members: what has to be kept of every image, and the texts that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.bundle.atomic import storage_error
from core.methods.first_order import FirstOrder
from core.methods.neuron_head import NeuronHead
from core.methods.neuron_lens import neuron_lens
from core.methods.rosetta import Correlator, Key, Tile
from core.methods.rosetta_labels import MAP, POOL, SECOND_ORDER, TEXTS, directions, nearest_texts, text_maps
from core.methods.sparse_text import text_atoms
from core.models.tower import Trace
from core.models.zoo import Member
from core.text.embed import embed_pool
from core.text.pools import TextPool
from precompute.plan import choose_layers


@dataclass(frozen=True)
class UnitText:
    """One row of unit_texts.parquet."""

    unit: int
    how: str
    rank: int
    text: str
    value: float


def kept_bytes(member: Member) -> int:
    """Most bytes an image that `ClipMember.keep` writes, if all units were in concepts; 0 for other members."""
    if member.clip is None:
        return 0
    tower, last = member.clip.tower, member.layers[-1]
    if tower.kind == "resnet":
        return 4 * last.units * tower.heads
    return sum(4 * layer.units * tower.heads * (tower.layers - 1 - i) for i, layer in enumerate(member.layers))


class ClipMember:
    """A CLIP member among those of a dictionary, and what is kept of its described units: `described` their numbers in
    each layer, `first` the rows of the layers' first units."""

    def __init__(
        self, member: Member, described: Mapping[str, np.ndarray], first: Mapping[str, int], pool: TextPool, work: Path
    ) -> None:
        assert member.clip is not None
        self.member, self.clip, self.pool = member, member.clip, pool
        self.described, self.first, self.work = described, first, work
        self._rows: dict[str, int] = dict.fromkeys(self.lenses, 0)
        self._seen: list[np.ndarray] = []

    @property
    def key(self) -> Key:
        """The texts' heatmaps, as if they were a layer; no layer's name has a space."""
        return (self.member.name, "text heatmaps")

    @cached_property
    def lenses(self) -> dict[str, NeuronHead]:
        """The lens of every layer whose described units are named by a direction."""
        tower = self.clip.tower
        if tower.kind == "resnet":
            last = self.member.layers[-1].name
            return {last: neuron_lens(tower, 0)} if last in self.described else {}
        numbers = {layer.name: i for i, layer in enumerate(self.member.layers)}
        return {
            name: neuron_lens(tower, i)
            for name, i in numbers.items()
            if name in self.described and i + 1 < tower.layers
        }

    @property
    def tiles(self) -> list[Tile]:
        """What is compared with the texts' heatmaps: the layers without a lens."""
        return [((self.member.name, name), self.key) for name in self.described if name not in self.lenses]

    @cached_property
    def first_order(self) -> FirstOrder:
        """The lens behind heatmaps: the last attention layers, as a bundle has them."""
        return FirstOrder(self.clip.tower, choose_layers(self.clip.tower, None))

    @cached_property
    def texts_wo(self) -> np.ndarray:
        """Embeddings of the pool."""
        return embed_pool(self.clip, self.pool)

    @cached_property
    def atoms_wo(self) -> Tensor:
        """The pool, less its mean, scaled to one."""
        return text_atoms(torch.from_numpy(self.texts_wo)).to(self.clip.device)

    def trace(self, inputs: Tensor, with_maps: bool) -> Trace:
        layers = self.first_order.layers if with_maps else ((0,) if self.clip.tower.kind == "resnet" else ())
        neurons = tuple(lens.layer for lens in self.lenses.values())
        with torch.inference_mode():
            return self.clip.tower.trace(inputs.to(self.clip.device), layers, neurons=neurons)

    def heatmaps(self, trace: Trace) -> Tensor:
        """(b, w, y, x) of every text of the pool."""
        with torch.inference_mode():
            return text_maps(self.first_order, trace, self.atoms_wo.float())

    def keep(self, trace: Trace) -> None:
        """Keep the representations of a batch, and write the scalars of its described neurons behind those of the
        batches before. StorageError."""
        unit_bo = torch.nn.functional.normalize(trace.representation_bo, dim=1)
        self._seen.append(unit_bo.float().cpu().numpy())
        for name, lens in self.lenses.items():
            with torch.inference_mode():
                s_bnm = lens.scalars(trace)[:, self.described[name].tolist()].cpu().numpy()
            path = self._path(name)
            try:
                with path.open("ab" if self._rows[name] else "wb") as file:
                    file.write(np.ascontiguousarray(s_bnm, np.float32).tobytes())
            except OSError as error:
                raise storage_error(error, path) from error
            self._rows[name] += len(s_bnm)

    def cosines(self) -> np.ndarray:
        """(w, i) cosine of every text of the pool with every image kept, in their order."""
        return np.asarray(self.texts_wo, np.float32) @ np.concatenate(self._seen).T

    def by_direction(self) -> list[UnitText]:
        """Texts of the units that have a direction, from what was kept; removes it."""
        made = []
        for name, lens in self.lenses.items():
            neurons, path = self.described[name], self._path(name)
            shape = (self._rows[name], len(neurons), len(lens.pairs))
            r_no = directions(lens, neurons.tolist(), np.memmap(path, np.float32, "r", shape=shape))
            index, cosine = nearest_texts(r_no, self.atoms_wo)
            how = POOL if self.clip.tower.kind == "resnet" else SECOND_ORDER
            has = (r_no.norm(dim=1) > 0).cpu().numpy()
            made += self._texts(self.first[name] + neurons[has], how, index[has], cosine[has])
            path.unlink()
        return made

    def by_map(self, summed: Correlator, tile: Tile) -> list[UnitText]:
        """Texts of the units of one layer by their maps."""
        name = tile[0][1]
        r_nw = summed.correlation(*tile)
        value, index = r_nw.topk(min(TEXTS, r_nw.shape[1]), dim=1)
        return self._texts(self.first[name] + self.described[name], MAP, index.cpu().numpy(), value.cpu().numpy())

    def _texts(self, rows: np.ndarray, how: str, index: np.ndarray, value: np.ndarray) -> list[UnitText]:
        return [
            UnitText(int(row), how, rank, self.pool.texts[int(w)], float(v))
            for row, of, values in zip(rows, index, value, strict=True)
            for rank, (w, v) in enumerate(zip(of, values, strict=True))
        ]

    def _path(self, layer: str) -> Path:
        return self.work / f"scalars-{self.member.name}-{layer}.bin"
