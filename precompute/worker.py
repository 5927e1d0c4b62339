"""One shard, from files to a partial: decode, one forward pass, parts, statistics.

A pure function of plan and shard.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from core.bundle.atomic import atomic_table, save_arrays
from core.bundle.thumbs import ThumbWriter, encode_thumb
from core.errors import ClosingError, ModelError
from core.methods.first_order import FirstOrder, Parts
from core.models.load import LoadedModel
from core.models.tower import Trace
from precompute.ablation import KeptParts
from precompute.config import Resources
from precompute.neurons import KeptNeurons, lenses
from precompute.plan import Plan
from precompute.reader import Read, read_images
from precompute.statistics import HeadStatistics

# Largest |sum of parts - unit representation| that counts as closed. fp32: the product's promise. In half precision
# the model itself rounds the residual stream after every block, which no decomposition can undo (docs/decisions.md).
CLOSING = {"fp32": 1e-5, "fp16": 5e-3, "bf16": 5e-2}


class Prepared(NamedTuple):
    """What the reading threads make of an image: the model's input and the thumbnail."""

    pixels: torch.Tensor
    thumbnail: bytes


class ShardWorker:
    """A model and its lens, ready to compute shards of one plan."""

    def __init__(self, plan: Plan, model: LoadedModel, resources: Resources) -> None:
        self.plan = plan
        self.model = model
        self.resources = resources
        self.lens = FirstOrder(model.tower, plan.layers, plan.settings.layernorm)
        self.neuron_lenses = lenses(plan, model)

    def run(self, shard: int, seen: Callable[[int], None] = lambda n: None) -> None:
        """Compute a shard and write its partial. `seen(n)` is told of every n images done.

        Raises ClosingError (naming an image) rather than write a wrong number, and StorageError.
        """
        rows, plan = self.plan.rows(shard), self.plan
        layers, heads, out, coords = self.lens.basis_lhoc.shape
        r_nlhc = np.zeros((len(rows), layers, heads, coords), np.float16)
        unit_no = np.zeros((len(rows), out), np.float16)
        norm_n = np.zeros(len(rows), np.float32)
        ok_n = np.zeros(len(rows), bool)
        statistics = HeadStatistics.empty_like(self.lens)
        kept = KeptParts(plan, shard, self.lens.names, out)
        tokens = 1 + math.prod(self.model.tower.grid)
        neurons = KeptNeurons(plan, shard, self.neuron_lenses, tokens)
        records: list[Read] = []
        with ThumbWriter(plan.partial(shard).with_suffix(".thumbs"), size=plan.settings.thumb) as thumbs:
            for batch in self._batches(shard, records, seen):
                at = np.array([read.image_id for read in batch]) - rows.start
                for read in batch:
                    thumbs.add_bytes(read.image_id - rows.start, read.prepared.thumbnail)
                ids = [read.image_id for read in batch]
                trace, parts = self._decompose(batch, neurons.layers(ids))
                statistics.update(self.lens, parts)
                kept.update(ids, parts)
                neurons.update(ids, trace)
                r_nlhc[at] = parts.coords_blhc.cpu().numpy()
                unit_no[at] = parts.unit_bo.cpu().numpy()
                norm_n[at] = trace.norm_b.cpu().numpy()
                ok_n[at] = True
            thumbs.finish(len(rows))
        atomic_table(plan.partial(shard).with_suffix(".parquet"), _image_table(records))
        arrays = {"r": r_nlhc, "unit": unit_no, "norm": norm_n, "ok": ok_n, **statistics.state(), **kept.state()}
        arrays |= neurons.save()
        save_arrays(plan.partial(shard), arrays)  # last: its existence means that the shard is done

    def _batches(self, shard: int, records: list[Read], seen: Callable[[int], None]) -> Iterator[list[Read]]:
        """Decoded images in batches; every image read, usable or not, is noted in `records`."""
        settings = self.plan.settings
        batch: list[Read] = []
        for read in read_images(
            self.plan.root,
            self.plan.manifest_rows(shard),
            settings.policy,
            threads=self.resources.threads,
            prepare=self._prepare,
        ):
            records.append(read.without_pixels())
            if read.code is None:
                batch.append(read)
            if len(batch) == settings.batch:
                yield batch
                batch = []
            seen(1)
        if batch:
            yield batch

    def _prepare(self, image: Image.Image) -> Prepared:
        return Prepared(self.model.transform(image), encode_thumb(image, self.plan.settings.thumb))

    def _decompose(self, batch: list[Read], neurons: tuple[int, ...]) -> tuple[Trace, Parts]:
        """The batch's pass, with the neurons of these layers, and its parts, checked to close."""
        pixels = torch.stack([read.prepared.pixels for read in batch]).to(self.model.device)
        try:
            with torch.inference_mode():
                trace = self.model.tower.trace(pixels, self.lens.layers, neurons=neurons)
                parts = self.lens.parts(trace)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"The {self.model.device.type} device ran out of memory with {len(batch)} images a batch; "
                "add a smaller --batch, such as 8."
            ) from error
        self._check(batch, parts)
        return trace, parts

    def _check(self, batch: list[Read], parts: Parts) -> None:
        bound = CLOSING[self.model.precision]
        open_b = ~(parts.residual_b <= bound)  # also true for NaN
        if open_b.any():
            i = int(open_b.nonzero()[0])
            raise ClosingError(
                f"The parts of image {batch[i].image_id} do not sum to its representation: the largest difference is "
                f"{float(parts.residual_b[i]):.2g}, at most {bound:g} was expected in {self.model.precision}. "
                "Use --precision fp32; if it happens there, the model is of a kind that this version cannot decompose."
            )


def _image_table(records: list[Read]) -> pa.Table:
    """What reading found, one row an image (see images.parquet and quarantine.parquet in the bundle's description)."""
    return pa.table(
        {
            "image_id": pa.array([read.image_id for read in records], pa.int64()),
            "width": pa.array([read.width for read in records], pa.int32()),
            "height": pa.array([read.height for read in records], pa.int32()),
            "sha256": pa.array([read.sha256 for read in records], pa.string()),
            "status": pa.array([read.code or "ok" for read in records], pa.string()),
            "message": pa.array([read.message for read in records], pa.string()),
        }
    )
