"""The image table and the thumbnails, read a row group or a column at a time: a million images are never in memory."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.bundle import schema
from core.bundle.read import Bundle
from core.bundle.thumbs import ThumbPack
from core.columns import NamedImages
from core.errors import AddressError, BundleDamaged, BundleMissing, InputError
from core.store.answers import ImageInfo, ImagePage

_OURS = tuple(column.name for column in schema.TABLE["images"].columns)
_SHOWN = tuple(name for name in _OURS if name != "sha256")  # a digest is half of the table's bytes
_GROUPS_KEPT = 16  # row groups held decoded


class ImageTable:
    """images.parquet and the thumbnails of one bundle. Thread-safe."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.n: int = bundle.facts["manifest"]["images"]
        path = bundle.path(schema.TABLE["images"].path)
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise BundleDamaged(f"{path} cannot be read ({error}). Run precompute again.") from error
        meta = self._file.metadata
        self._starts = np.cumsum([0, *(meta.row_group(i).num_rows for i in range(meta.num_row_groups))])
        if self._starts[-1] != self.n:
            raise BundleDamaged(f"{path} has {self._starts[-1]} rows, not {self.n}. Run precompute again.")
        self._lock = threading.Lock()  # a ParquetFile is one reader
        self._group = lru_cache(_GROUPS_KEPT)(self._read_group)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The manifest's own columns and `class`, with their types."""
        return {f.name: f.type for f in self._file.schema_arrow if f.name not in _OURS or f.name == "class"}

    @cached_property
    def ok_n(self) -> np.ndarray:
        """(images,) whether each was decoded and measured; a memory map."""
        return self.bundle.array("ok")

    @cached_property
    def bad_ids(self) -> np.ndarray:
        """Ids of the images in quarantine."""
        return np.flatnonzero(~np.asarray(self.ok_n))

    def check(self, image_id: int) -> int:
        """The id as int. AddressError unless there is such an image."""
        whole = isinstance(image_id, int | np.integer) and not isinstance(image_id, bool)
        if not whole or not 0 <= image_id < self.n:
            shown = str(image_id)[:40]
            raise AddressError(f"There is no image {shown}: this bundle has images 0 to {self.n - 1:,}.")
        return int(image_id)

    def check_ok(self, image_id: int) -> int:
        """As `check`; AddressError too for an image in quarantine, which has no numbers."""
        image_id = self.check(image_id)
        if not self.ok_n[image_id]:
            info = self.info(image_id)
            raise AddressError(f"Image {image_id} ({info.path}) could not be used ({info.status}): it has no numbers.")
        return image_id

    def info(self, image_id: int) -> ImageInfo:
        """One row. AddressError for an id that is not there."""
        image_id = self.check(image_id)
        group = int(np.searchsorted(self._starts, image_id, "right")) - 1
        row = self._group(group).slice(image_id - int(self._starts[group]), 1).to_pylist()[0]
        return ImageInfo(
            image_id=image_id,
            path=row["path"],
            label=row["class"],
            width=row["width"],
            height=row["height"],
            status=row["status"],
            columns={name: value for name, value in row.items() if name not in _OURS},
        )

    def values(self, name: str, ids: np.ndarray) -> pa.Array:
        """A column's values at ascending ids, read a row group at a time. InputError for no such column."""
        self._known(name)
        parts = []
        for start, chunk in self._column(name):
            inside = ids[np.searchsorted(ids, start) : np.searchsorted(ids, start + len(chunk))] - start
            parts.append(chunk.take(pa.array(inside)))
        return pa.concat_arrays([part for chunk in parts for part in chunk.chunks])

    def named(self, ids: np.ndarray) -> NamedImages:
        """Which of the images with these ascending ids a text names."""
        readable: dict[str, str] = {}
        if self.bundle.has("classes"):
            table = self.bundle.table("classes")
            readable = dict(zip(table["name"].to_pylist(), table["class"].to_pylist(), strict=True))
        return NamedImages(self.columns, lambda name: self.values(name, ids), readable)

    def search(self, filters: Mapping[str, Any], limit: int, offset: int) -> ImagePage:
        """See Store.search_images."""
        for name in filters:
            if name != "path":
                self._known(name)
        kept: list[np.ndarray] = []
        groups = range(len(self._starts) - 1)
        for group in groups if filters else []:
            with self._lock:
                table = self._file.read_row_group(group, columns=list(filters))
            mask: Any = pa.scalar(True)
            for name, wanted in filters.items():
                mask = pc.and_(mask, _matches(name, table[name], wanted))
            found = np.flatnonzero(pc.fill_null(mask, False).to_numpy())
            kept.append(found + int(self._starts[group]))
        if not filters:
            start = min(offset, self.n)
            return ImagePage(tuple(range(start, min(start + limit, self.n))), offset, self.n, self.n)
        ids = np.concatenate(kept) if kept else np.empty(0, int)
        return ImagePage(tuple(int(i) for i in ids[offset : offset + limit]), offset, len(ids), self.n)

    @cached_property
    def _thumbs(self) -> ThumbPack:
        try:
            return ThumbPack(self.bundle.path("thumbs/thumbs.bin").parent)
        except BundleMissing:
            raise BundleMissing(
                f"Bundle {self.bundle.id} has no thumbnails. Run precompute again to make them."
            ) from None

    def thumbnail(self, image_id: int) -> bytes:
        """The JPEG file, b"" for an image in quarantine."""
        return self._thumbs.get(self.check(image_id))

    def _known(self, name: str) -> None:
        if name not in self.columns:
            known = ", ".join(self.columns) or "none"
            raise InputError(f"The images have no column {name[:40]!r}; there are: {known}.")

    def _column(self, name: str) -> Iterator[tuple[int, pa.ChunkedArray]]:
        for group in range(len(self._starts) - 1):
            with self._lock:
                chunk = self._file.read_row_group(group, columns=[name])[name]
            yield int(self._starts[group]), chunk

    def _read_group(self, group: int) -> pa.Table:
        names = [name for name in self._file.schema_arrow.names if name in _SHOWN or name in self.columns]
        with self._lock:
            return self._file.read_row_group(group, columns=names)


def _matches(name: str, column: pa.ChunkedArray, wanted: Any) -> pa.ChunkedArray:
    """A mask. Text: contains, case ignored, for `path`; else equals, or one of a list; (low, high) for numbers."""
    try:
        if isinstance(wanted, tuple):
            low, high = wanted
            return pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))
        if isinstance(wanted, Sequence) and not isinstance(wanted, str):
            return pc.is_in(column, value_set=pa.array(wanted, column.type))
        if name == "path":
            return pc.match_substring(column, str(wanted), ignore_case=True)
        return pc.equal(column, pa.scalar(wanted).cast(column.type))
    except (pa.ArrowException, ValueError, TypeError) as error:
        kind = column.type
        raise InputError(
            f"The column {name!r} holds {kind}, so it can't be compared with {str(wanted)[:40]!r}."
        ) from error
