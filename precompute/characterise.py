"""What second-order effects of neurons are worth (paper N, §4: figures 3 and 4, table 1), from the arrays of a bundle.

The same code for a bundle that is being made, which describes itself with its own pool, and for a finished one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from core.bundle import schema
from core.bundle.write import BundleWriter
from core.methods.characterise import Accuracy, Effects, Labelled, characterise, characterise_texts
from core.methods.sparse_text import text_atoms

Seen = Callable[[int], None]


class Source(Protocol):
    """Where arrays and tables come from; a `Bundle` is one."""

    def array(self, name: str) -> np.ndarray: ...

    def table(self, name: str) -> pa.Table: ...


@dataclass(frozen=True)
class Unfinished:
    """A bundle's folder before bundle.json is there."""

    folder: Path

    def array(self, name: str) -> np.ndarray:
        array: np.ndarray = np.load(self.folder / schema.ARRAY[name].path, mmap_mode="r", allow_pickle=False)
        return array

    def table(self, name: str) -> pa.Table:
        return pq.read_table(self.folder / schema.TABLE[name].path)


def labels(source: Source) -> np.ndarray:
    """(i,) class numbers of the measured images, -1 where an image has none."""
    position = {name: at for at, name in enumerate(source.table("classes")["class"].to_pylist())}
    names = source.table("images")["class"].take(np.asarray(source.array("neuron_image_ids"))).to_pylist()
    return np.array([position.get(name, -1) for name in names], np.int64)


class Neurons:
    """The neurons of `layers` (their numbers in the model, as in the source: [None] in a ResNet) over the measured
    images with a class.

    `labelled` is None where no such image is.
    """

    def __init__(self, source: Source, layers: Sequence[int | None]) -> None:
        self.source, self.layers = source, tuple(layers)
        ids, label_i = np.asarray(source.array("neuron_image_ids")), labels(source)
        self._rows = np.flatnonzero(label_i >= 0)
        unit_io = np.asarray(source.array("representations")[ids[self._rows]], np.float32)
        classes_co = np.asarray(source.array("class_embeddings"))
        self.labelled = Labelled(unit_io, label_i[self._rows], classes_co) if len(self._rows) else None
        self.picks = source.array("neuron_text_index").shape[-1]
        """Texts that are stored for a neuron."""

    def effects(self, at: int) -> Effects:
        """Of a layer by its position."""
        rows = slice(None) if len(self._rows) == self.source.array("neuron_image_ids").shape[0] else self._rows
        total_io, active_io = (self.source.array(f"neuron_total{tail}")[at][rows] for tail in ("", "_active"))
        x_ni, scale_n = self.source.array("neuron_coef")[at][:, rows], self.source.array("neuron_scale")[at]
        return Effects(total_io, active_io, x_ni, scale_n, self.source.array("neuron_direction")[at])

    def directions(self) -> Tensor:
        """(l·n, o), layer by layer."""
        return torch.from_numpy(np.concatenate(list(self.source.array("neuron_direction"))))

    def stored_index(self) -> Tensor:
        """(l·n, m) the texts that the bundle describes its neurons by."""
        return torch.from_numpy(np.concatenate(list(self.source.array("neuron_text_index"))).astype(np.int64))

    def own_texts(self) -> np.ndarray:
        """(w, o) embeddings of the bundle's pool."""
        return np.array(self.source.array("text_embeddings"), np.float32)

    def without_texts(self, seen: Seen = lambda n: None) -> list[Accuracy]:
        """Base accuracy, ablations, first components."""
        assert self.labelled is not None
        return characterise(self.labelled, self._by_layer(seen))

    def with_texts(
        self, atoms_wo: Tensor, index_nm: Tensor, counts: Sequence[int], pool: str, seen: Seen = lambda n: None
    ) -> list[Accuracy]:
        """Rebuilt from texts: `index_nm` for all neurons, layer by layer, as `directions` has them."""
        assert self.labelled is not None
        parts = index_nm.chunk(len(self.layers))
        layers = ((*pair, part) for pair, part in zip(self._by_layer(seen), parts, strict=True))
        return characterise_texts(self.labelled, layers, atoms_wo, counts, pool)

    def _by_layer(self, seen: Seen) -> Iterator[tuple[int | None, Effects]]:
        for at, layer in enumerate(self.layers):
            yield layer, self.effects(at)
            seen(1)


def doublings(most: int) -> list[int]:
    """1, 2, 4, … up to `most`, which is always the last."""
    return sorted({min(1 << step, most) for step in range(most.bit_length() + 1)})


def write_characterisation(
    source: Source, writer: BundleWriter, pool: str, layers: Sequence[int | None], seen: Seen = lambda n: None
) -> None:
    """The table of a bundle that is being made, by its own pool and the texts just found; none where no measured image
    has a class. `seen` is told of every layer done."""
    neurons = Neurons(source, layers)
    if neurons.labelled is None:
        return
    rows = neurons.without_texts(seen)
    atoms_wo = text_atoms(torch.from_numpy(neurons.own_texts()))
    rows += neurons.with_texts(atoms_wo, neurons.stored_index(), doublings(neurons.picks), pool)
    writer.table("characterisation", as_table(rows))


def as_table(rows: Sequence[Accuracy]) -> pa.Table:
    """The columns of schema.TABLE["characterisation"]."""
    columns = {c.name: pa.type_for_alias(c.dtype) for c in schema.TABLE["characterisation"].columns}
    return pa.table({name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in columns.items()})
