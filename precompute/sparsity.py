"""How few pairs, neurons or heads a representation needs, and how simple they are (paper P, figures 1 and 2, table 1).

Zero-shot accuracy when all but the best x % of the neuron-head pairs are replaced by their means, or all but that share
of neurons, or of heads; when neurons are rebuilt from their first components, and pairs from theirs. All of it comes
from the kept scalars s, without a pass of the model: what is taken away is Σ (s - s̄) D over what is not kept, and the
rest of the representation stays as it is. In a ResNet that rest is a constant. In a ViT it is all that does not go from
these neurons through later heads: so numbers of the two families are not alike.

Letters as in `core.methods.pair_ablation`; i measured images, c classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from core.bundle import schema
from core.text.zeroshot import binomial_error
from precompute.sparsity_fit import ENTRIES, NONE, Block, Change, LayerFit, Scalars, Seen, layer_number


@dataclass(frozen=True)
class Judged:
    """The measured images: unit representations (any float type), class numbers (-1: not judged, but counted in means
    and scores), class text embeddings."""

    unit_io: np.ndarray
    label_i: np.ndarray
    classes_co: np.ndarray


@dataclass(frozen=True)
class Row:
    """Zero-shot top-1 accuracy over `images` under a change; `layer` of the neurons, None for all together and for a
    ResNet's only one."""

    change: Change
    layer: int | None
    top1: float
    images: int

    @property
    def standard_error(self) -> float:
        return binomial_error(self.top1, self.images)


class Tally:
    """How often a changed representation is nearest to its class. Of equal scores the earlier class wins."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        self._weights_oc = torch.from_numpy(np.array(judged.classes_co, np.float32)).T
        self._right: dict[tuple[Change, int | None], int] = {}
        self.images = int((judged.label_i >= 0).sum())

    def add(self, images: slice, changes: Iterable[tuple[Change, int | None, Tensor | float]]) -> None:
        """Of some images, every change, the layer that it is of, and what it adds to them (b, o). A change that comes
        again counts once: what a bundle describes may be just one of the shares that are kept."""
        unit_bo = torch.from_numpy(np.asarray(self._judged.unit_io[images], np.float32))
        label_b = torch.from_numpy(self._judged.label_i[images])
        done = set()
        for change, layer, change_bo in changes:
            if (change, layer) in done:
                continue
            done.add((change, layer))
            moved_bo = change_bo.cpu() if isinstance(change_bo, Tensor) else change_bo
            nearest_b = ((unit_bo + moved_bo) @ self._weights_oc).argmax(1)
            right = int(((nearest_b == label_b) & (label_b >= 0)).sum())
            self._right[change, layer] = self._right.get((change, layer), 0) + right

    def rows(self) -> list[Row]:
        return [Row(change, layer, right / self.images, self.images) for (change, layer), right in self._right.items()]


#: Further changes of one layer.
More = Callable[[LayerFit, Block], Iterator[tuple[Change, Tensor]]]


def sparsity(
    fits: Sequence[LayerFit], kept: Scalars, judged: Judged, seen: Seen = lambda n: None, more: Sequence[More] = ()
) -> list[Row]:
    """Every change of the grid and of `more`, by layer and then of all layers together. `seen` is told of images done.
    ValueError where no measured image has a class."""
    tally, step = Tally(judged), max(1, ENTRIES // max(fit.mean_nm.size for fit in fits))
    if not tally.images:
        raise ValueError("no measured image has a class, so there is no accuracy")
    for blocks in zip(*(fit.blocks(kept, step) for fit in fits), strict=True):
        tally.add(blocks[0].images, _changes(fits, blocks, more))
        seen(blocks[0].images.stop - blocks[0].images.start)
    return tally.rows()


def _changes(
    fits: Sequence[LayerFit], blocks: Sequence[Block], more: Sequence[More]
) -> Iterator[tuple[Change, int | None, Tensor | float]]:
    """Of the same images: nothing changed, every change by layer, and of all layers together."""
    yield NONE, None, 0.0
    every = lambda fit, block: chain(fit.changes(block), *(each(fit, block) for each in more))
    for same in zip(*(every(fit, block) for fit, block in zip(fits, blocks, strict=True)), strict=True):
        for fit, (change, change_bo) in zip(fits, same, strict=True):
            yield change, layer_number(fit), change_bo
        if len(fits) > 1:
            yield _together(fits, [change for change, _ in same]), None, torch.stack([each for _, each in same]).sum(0)


def _together(fits: Sequence[LayerFit], changes: Sequence[Change]) -> Change:
    """What the same change of every layer is in all of them; shares of pairs that differ become that of them all."""
    if changes[0].units is None:
        return changes[0]
    units = sum(change.units or 0 for change in changes)
    same = len({change.amount for change in changes}) == 1
    amount = changes[0].amount if same else 100 * units / sum(fit.mean_nm.size for fit in fits)
    return changes[0]._replace(amount=amount, units=units)


def as_table(rows: Sequence[Row]) -> pa.Table:
    """The columns of schema.TABLE["sparsity"]."""
    columns = {c.name: pa.type_for_alias(c.dtype) for c in schema.TABLE["sparsity"].columns}
    plain = [{**row.change._asdict(), **row.__dict__} for row in rows]
    return pa.table({name: pa.array([row[name] for row in plain], kind) for name, kind in columns.items()})
