"""The images of a dictionary in batches: decoded once for all members, a little ahead of whoever uses them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.bundle.thumbs import encode_thumb
from core.errors import InputError, ModelError
from core.models.zoo import Member
from precompute.reader import Read, read_images
from precompute.rosetta_plan import RosettaPlan


class Prepared(NamedTuple):
    """What the reading threads make of a picture: every member's input, and a thumbnail."""

    inputs: dict[str, Tensor]
    thumbnail: bytes


@dataclass(frozen=True)
class Batch:
    """Images at the positions `ids` on the axis image: `inputs` (b, …) of each member, thumbnails if asked for."""

    ids: list[int]
    inputs: dict[str, Tensor]
    thumbnails: list[bytes]


def batches(
    plan: RosettaPlan,
    members: Sequence[Member],
    threads: int,
    *,
    start: int = 0,
    ids: np.ndarray | None = None,
    thumbnails: bool = False,
) -> Iterator[Batch]:
    """The images from `start` on, or those of `ids`, in order. Raises InputError for one that is no longer what it was
    when it was chosen."""

    def prepare(picture: Image.Image) -> Prepared:
        thumbnail = encode_thumb(picture, plan.settings.thumb) if thumbnails else b""
        return Prepared({member.name: member.prepare(picture) for member in members}, thumbnail)

    wanted = np.arange(start, plan.images.rows.num_rows) if ids is None else ids
    rows = plan.images.rows.take(wanted)
    reads = read_images(plan.root, rows, plan.settings.policy, threads=threads, prepare=prepare)
    group: list[Read] = []
    for read in reads:
        if read.sha256 != plan.images.reads[read.image_id].sha256 or read.code is not None:
            path = plan.images.rows["path"][read.image_id]
            raise InputError(f"{path} has changed since this run began: restore it, or run the command again.")
        group.append(read)
        if len(group) == plan.settings.batch:
            yield _batch(group, members)
            group = []
    if group:
        yield _batch(group, members)


def _batch(group: list[Read], members: Sequence[Member]) -> Batch:
    inputs = {member.name: torch.stack([read.prepared.inputs[member.name] for read in group]) for member in members}
    return Batch([read.image_id for read in group], inputs, [read.prepared.thumbnail for read in group])


def maps_of(plan: RosettaPlan, member: Member, batch: Batch, layers: Sequence[str]) -> dict[str, Tensor]:
    """The member's maps of a batch. ModelError, naming an image, where they are not finite or do not fit in memory."""
    try:
        found = member.maps(batch.inputs[member.name], layers)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"The {member.device.type} device ran out of memory with {len(batch.ids)} images a batch; add a smaller "
            "--batch, such as 16."
        ) from error
    for layer, maps_bcyx in found.items():
        finite_b = torch.isfinite(maps_bcyx.sum((1, 2, 3), dtype=torch.float64))
        if not finite_b.all():
            path = plan.images.rows["path"][batch.ids[int((~finite_b).nonzero()[0])]]
            raise ModelError(
                f"{member.name} gives numbers that are not finite for {path} at {layer}. Check its weights, or leave "
                "the image out."
            )
    return found
