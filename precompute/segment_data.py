"""Images with masks: which there are, and each mask as the model sees its image."""

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from open_clip.transform import CenterCropOrPad, ResizeKeepRatio
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from core.errors import InputError
from core.methods.segmentation_scores import IGNORE
from precompute.ablation import chosen
from precompute.paths import to_name

_MODES = ("1", "L", "P", "I", "I;16")
_IGNORED = 255  # in a prepared mask, which has 0 and 1 beside it


class Masks:
    """The masks of a folder of PNG files, or of a Parquet file with columns `path` and `mask` (PNG bytes).

    A PNG in a folder is called like its image, with or without the image's own suffix: a/b.png or a/b.jpg.png for
    a/b.jpg. Every pixel above zero is the object; `ignore`, if given, is the value of pixels that count nowhere.
    InputError for a source, and a mask, that cannot be used.
    """

    def __init__(self, source: Path, ignore: int | None = None) -> None:
        self.source, self.ignore = source, ignore
        self._table: dict[str, bytes] | None = None
        if source.is_dir():
            return
        if not source.is_file():
            raise InputError(f"There are no masks at {source}: give a folder of PNG files, or a Parquet file.")
        try:
            table = pq.read_table(source, columns=["path", "mask"])
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0][:200]
            raise InputError(
                f"The masks in {source} cannot be read ({reason}). Expected a Parquet file with columns path (as in "
                "the images' manifest) and mask (PNG bytes)."
            ) from error
        self._table = dict(zip(table["path"].to_pylist(), table["mask"].to_pylist(), strict=True))

    def has(self, path: str) -> bool:
        """Whether there is a mask for the image at `path`, as in a manifest."""
        return self._file(path) is not None if self._table is None else self._table.get(path) is not None

    def read(self, path: str, size: tuple[int, int]) -> Image.Image:
        """The mask of an image of `size` (width, height): 0 around the object, 1 on it, 255 ignored. InputError."""
        where, data = self._bytes(path)
        try:
            mask = Image.open(io.BytesIO(data), formats=["PNG"])
            if mask.size != size:  # seen in the header: nothing too large is decoded
                raise InputError(
                    f"{where} does not match its image {path}: the mask has {mask.width} × {mask.height} pixels, the "
                    f"image {size[0]} × {size[1]}. Give each image a mask of its own size, upright."
                )
            if mask.mode not in _MODES:
                raise InputError(
                    f"{where} has colours (mode {mask.mode}). A mask has one number a pixel: 0 around the object."
                )
            value_yx = np.array(mask, np.int64)
        except InputError:
            raise
        except Exception as error:  # Pillow's parsers raise whatever a damaged file makes them stumble on
            raise InputError(f"{where}, the mask of {path}, is no PNG that can be read: make it anew.") from error
        out_yx = (value_yx > 0).astype(np.uint8)
        if self.ignore is not None:
            out_yx[value_yx == self.ignore] = _IGNORED
        return Image.fromarray(out_yx)

    def _bytes(self, path: str) -> tuple[str, bytes]:
        if self._table is not None:
            return f"The mask of {path} in {self.source.name}", self._table[path]
        file = self._file(path)
        assert file is not None  # whoever reads has asked `has`
        try:
            return str(file), file.read_bytes()
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error.strerror}): check its permissions.") from error

    def _file(self, path: str) -> Path | None:
        name = self.source / to_name(path)
        return next((file for file in (name.with_suffix(".png"), Path(f"{name}.png")) if file.is_file()), None)


def choose(table: pa.Table, masks: Masks, where: Mapping[str, str], limit: int | None) -> pa.Table:
    """The rows of a manifest's table that have a class, a mask, and the values of `where`; at most `limit` of them,
    spread evenly. InputError if none is left, or a column is unknown."""
    for name, wanted in where.items():
        if name not in table.column_names:
            raise InputError(
                f"The images have no column {name[:60]!r}; their manifest has {', '.join(table.column_names)}."
            )
        told = [str(value).lower() == wanted.lower() for value in table[name].to_pylist()]
        table = table.filter(pa.array(told, pa.bool_()))
        if not table.num_rows:
            raise InputError(f"No image has {name} = {wanted[:60]}. Choose another value.")
    table = table.filter(pc.is_valid(table["class"]))
    if not table.num_rows:
        raise InputError(
            "The images have no classes, so there is no text to look for: put each into a folder named as what it "
            "shows, or give a manifest with a column class."
        )
    paths = table["path"].to_pylist()
    there = [masks.has(path) for path in paths]
    if not any(there):
        raise InputError(
            f"None of the {len(paths):,} images has a mask in {masks.source}. The first, {paths[0]}, needs "
            f"{Path(paths[0]).with_suffix('.png')} in a folder, or a row of that path in a Parquet file."
        )
    return limited(table.filter(pa.array(there)), limit)


def limited(table: pa.Table, limit: int | None) -> pa.Table:
    """At most so many rows of a table, spread evenly."""
    return table if limit is None else table.take(chosen(table.num_rows, limit))


def as_seen(transform: Any) -> Callable[[Image.Image], np.ndarray]:
    """From a mask (`Masks.read`) to the truth (rows, columns) that belongs to the image after the model's `transform`:
    resized by nearest neighbours and cropped alike; padding is ignored."""
    steps: list[Any] = []
    for step in transform.transforms:
        if not isinstance(step, Resize | ResizeKeepRatio | CenterCrop | CenterCropOrPad):
            break  # from here on pixels change, not places
        step = copy.copy(step)
        if isinstance(step, CenterCropOrPad):
            step.fill = _IGNORED
        elif not isinstance(step, CenterCrop):
            step.interpolation = InterpolationMode.NEAREST
        steps.append(step)

    def prepare(mask: Image.Image) -> np.ndarray:
        for step in steps:
            mask = step(mask)
        value_yx = np.asarray(mask)
        return np.where(value_yx == _IGNORED, IGNORE, value_yx.astype(np.int64))

    return prepare


def batches(labels: Sequence[str], most: int) -> list[list[int]]:
    """Positions of neighbours with the same label, at most so many together."""
    out: list[list[int]] = []
    for i, label in enumerate(labels):
        if out and labels[out[-1][-1]] == label and len(out[-1]) < most:
            out[-1].append(i)
        else:
            out.append([i])
    return out
