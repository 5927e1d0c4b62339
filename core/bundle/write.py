"""Writes a bundle: every item is checked against the schema and appears whole; bundle.json comes last."""

import fnmatch
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.bundle import schema
from core.bundle.atomic import (
    atomic_file,
    atomic_json,
    atomic_npy,
    atomic_table,
    commit,
    digest_file,
    discard,
    storage_error,
    sweep,
    sync_folder,
    temporary_for,
)
from core.bundle.faiss_store import METRICS, read_index, write_index
from core.bundle.fields import Axis, field_problems
from core.errors import BundleError, BundleMissing

_PAGE = 4096


class BundleWriter:
    """Fills one bundle folder, made if need be. Names are those of its format, such as core/bundle/schema.py.

    Items of an earlier, interrupted run count: `finish` looks at the files, not at what this object wrote. Names that
    begin with a dot are working state (the lock, partial results) and never part of the bundle. Used as a context
    manager, it removes memory maps left open. Raises BundleError if the bundle is finished already: it never changes.
    """

    def __init__(self, folder: Path | str, form: schema.Format = schema.BUNDLE) -> None:
        self.folder, self.form = Path(folder), form
        self._sizes: dict[str, tuple[int, str]] = {}
        self._maps: dict[str, tuple[np.memmap, Path]] = {}
        self._recall: dict[str, float] = {}
        if (self.folder / form.manifest).exists():
            raise BundleError(
                f"{self.folder} is finished, and a finished {form.kind} is never changed. Open it instead."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._maps):
            discard(self._maps.pop(name)[1])

    def array(self, name: str, array: np.ndarray) -> None:
        """Write one array. Raises StorageError; ValueError if its dtype or axes are not what the schema says."""
        spec = self._spec(name, array.dtype, array.shape)
        atomic_npy(self.folder / spec.path, array)

    def memmap(self, name: str, shape: tuple[int, ...]) -> np.memmap:
        """A zeroed array of that shape on disk, to be filled in place and then given to `close_memmap`.

        Its blocks are reserved now: on a disk that fills later, writing through the map would kill the process.
        """
        spec = self._spec(name, np.dtype(self.form.array[name].dtype), shape)
        path = self.folder / spec.path
        temporary = temporary_for(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            array = np.lib.format.open_memmap(temporary, "w+", spec.dtype, shape)
            _reserve(temporary)
        except OSError as error:
            discard(temporary)
            raise storage_error(error, path, int(np.prod(shape)) * np.dtype(spec.dtype).itemsize) from error
        self._maps[name] = array, temporary
        return array

    def close_memmap(self, name: str) -> None:
        """Flush a memory map to disk and give it its name. Don't write to the map any more. Raises StorageError."""
        array, temporary = self._maps.pop(name)
        path = self.folder / self.form.array[name].path
        try:
            array.flush()
            commit(temporary, path)
        except OSError as error:
            discard(temporary)
            raise storage_error(error, path) from error

    def table(self, name: str, table: pa.Table) -> None:
        """Write one table, its columns cast to the schema's types. Raises StorageError; ValueError if one is missing,
        cannot be cast, or is unknown where the table takes no further columns."""
        spec = self.form.table[name]
        extra = [column for column in table.column_names if column not in {c.name for c in spec.columns}]
        missing = [c.name for c in spec.columns if c.name not in table.column_names]
        if missing or (extra and not spec.extra) or len(set(table.column_names)) < table.num_columns:
            raise ValueError(f"table {name}: missing {missing}, unknown {extra}, or a column name used twice")
        known = [(c.name, table[c.name].cast(pa.type_for_alias(c.dtype))) for c in spec.columns]
        if spec.axis:
            self._agree(spec.axis, table.num_rows, spec.path)
        atomic_table(self.folder / spec.path, pa.table(dict(known + [(column, table[column]) for column in extra])))

    def index(self, key: str, index: faiss.Index, recall_at_10: float | None = None) -> None:
        """Write a FAISS index under "images", "text" or a `schema.head_key`. A lossy one needs its measured recall."""
        path = self.folder / schema.index_path(key)
        if index.metric_type != METRICS["ip"]:
            raise ValueError(f"index {key}: build it for inner product; readers open the same file for l2 too")
        write_index(path, index)
        if recall_at_10 is not None:
            self._recall[key] = float(recall_at_10)

    @contextmanager
    def file(self, relative: str) -> Iterator[Path]:
        """Yield a temporary path for a file of another kind (schema.FILES), renamed to `relative` on success."""
        if not any(fnmatch.fnmatch(relative, spec.path) for spec in self.form.files) or ".." in relative:
            raise ValueError(f"{relative} is no file that the schema lists")
        with atomic_file(self.folder / relative) as temporary:
            yield temporary

    def finish(self, facts: Mapping[str, Any], axes: Mapping[str, int | Sequence[Any]]) -> Path:
        """Check that all is there and agrees, hash every file, write bundle.json last; returns its path.

        `facts`: the fields of schema.FIELDS that are not `written`, nested. `axes`: for each axis its labels, or its
        size. Raises ValueError for wrong facts or sizes, BundleMissing for an item that is not there, BundleError for a
        file that no bundle has, StorageError.
        """
        problems = field_problems(facts, tuple(spec for spec in self.form.fields if not spec.written))
        if problems:
            raise ValueError(f"these facts are no {self.form.manifest}: " + "; ".join(problems))
        sizes = {name: Axis(a) if isinstance(a, int) else Axis(len(a), list(a)) for name, a in axes.items()}
        sweep(self.folder)
        arrays, tables = self._arrays(sizes), self._tables(sizes)
        indexes = self._indexes(sizes, arrays) if self.form.indexes else {}
        written = {
            "format_version": self.form.version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "axes": {name: axis.as_json() for name, axis in sizes.items()},
            "arrays": arrays,
            "tables": tables,
            "indexes": indexes,
            "files": self._files({entry["path"] for group in (arrays, tables, indexes) for entry in group.values()}),
        }
        order = dict.fromkeys(spec.name.split(".")[0] for spec in self.form.fields)
        document = {**facts, **written}
        path = self.folder / self.form.manifest
        atomic_json(path, {key: document[key] for key in order if key in document})
        return path

    def _spec(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> schema.ArraySpec:
        spec = self.form.array[name]
        if dtype != np.dtype(spec.dtype) or len(shape) != len(spec.axes):
            raise ValueError(f"array {name} is {spec.dtype} over {spec.axes}, not {dtype} of shape {shape}")
        for axis, size in zip(spec.axes, shape, strict=True):
            self._agree(axis, size, spec.path)
        return spec

    def _agree(self, axis: str, size: int, path: str) -> None:
        known, where = self._sizes.setdefault(axis, (size, path))
        if known != size:
            raise ValueError(f"axis {axis} has size {size} in {path}, but {known} in {where}")

    def _arrays(self, sizes: Mapping[str, Axis]) -> dict[str, Any]:
        entries = {}
        for spec in self.form.arrays:
            if not self._present(spec.path, spec.optional):
                continue
            array = np.load(self.folder / spec.path, mmap_mode="r", allow_pickle=False)
            for axis, size in zip(spec.axes, array.shape, strict=True):
                _declared(sizes, axis, size, spec.path)
            if array.dtype != np.dtype(spec.dtype):
                raise ValueError(f"{spec.path} is {array.dtype}, not {spec.dtype}")
            shape, names = list(array.shape), list(spec.axes)
            entries[spec.name] = {"path": spec.path, "dtype": spec.dtype, "shape": shape, "axes": names}
        return entries

    def _tables(self, sizes: Mapping[str, Axis]) -> dict[str, Any]:
        entries = {}
        for spec in self.form.tables:
            if not self._present(spec.path, spec.optional):
                continue
            rows = pq.read_metadata(self.folder / spec.path).num_rows
            if spec.axis:
                _declared(sizes, spec.axis, rows, spec.path)
            entries[spec.name] = {"path": spec.path, "rows": rows}
        return entries

    def _indexes(self, sizes: Mapping[str, Axis], arrays: Mapping[str, Any]) -> dict[str, Any]:
        if sizes["layer"].labels is None:
            raise ValueError("axis layer needs labels: the layers' numbers in the model, or [None]")
        later = sizes["later_head"].labels or () if "later_head" in sizes else ()
        keys = schema.index_keys(sizes["layer"].labels, sizes["head"].size, arrays, later)
        return {key: self._index_entry(key, arrays) for key in keys}

    def _index_entry(self, key: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
        spec, path = schema.index_spec(key)[0], schema.index_path(key)
        self._present(path, optional=False)
        opened = read_index(self.folder / path)
        *leading, d = arrays[spec.source]["shape"]
        # one index a head: the axis of heads is not counted
        n = {"heads": leading[-1], "pairs": math.prod(leading[:-1])}.get(spec.name, math.prod(leading))
        if (opened.n, opened.d) != (n, d):
            raise ValueError(f"{path} holds {opened.n} × {opened.d} numbers, but its source {spec.source} {n} × {d}")
        recall = self._recall.get(key)
        if (recall is None) != (opened.kind == "fp16"):
            raise ValueError(f"{path} is of kind {opened.kind}: a lossy index needs its recall, an exact one has none")
        facts = {"metric": list(spec.metric), "normalised": spec.normalised, "source": spec.source}
        return {"path": path, "kind": opened.kind, **facts, "n": n, "d": d, "recall_at_10": recall}

    def _present(self, relative: str, optional: bool) -> bool:
        there = (self.folder / relative).is_file()
        if not there and not optional:
            raise BundleMissing(
                f"{self.folder} cannot be finished: {relative} is not there. Run the same command again."
            )
        return there

    def _files(self, expected: set[str]) -> dict[str, Any]:
        paths = list_files(self.folder, self.form.manifest)
        for spec in self.form.files:
            expected |= set(fnmatch.filter(paths, spec.path))
        foreign = sorted(set(paths) - expected)
        if foreign:
            raise BundleError(
                f"{self.folder} holds {foreign[0]}, which is no part of a {self.form.kind}. Move it away, run again."
            )
        for folder in {self.folder.parent, *(p.parent for p in map(self.folder.joinpath, paths))}:
            sync_folder(folder)
        with ThreadPoolExecutor(4) as pool:  # hashing releases the interpreter's lock
            digests = list(pool.map(lambda p: digest_file(self.folder / p), paths))
        sizes = [(self.folder / p).stat().st_size for p in paths]
        return {p: {"bytes": n, "sha256": d} for p, n, d in zip(paths, sizes, digests, strict=True)}


def list_files(folder: Path, manifest: str = schema.MANIFEST) -> list[str]:
    """Relative paths, sorted, of all files that are part of a bundle: not its manifest, no names with a dot first."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = Path(root).relative_to(folder)
        found += [(relative / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(path for path in found if path != manifest)


def _declared(sizes: Mapping[str, Axis], axis: str, size: int, path: str) -> None:
    if axis not in sizes:
        raise ValueError(f"axis {axis} of {path} is not among the axes given")
    if sizes[axis].size != size:
        raise ValueError(f"axis {axis} has size {size} in {path}, but {sizes[axis].size} was declared")


def _reserve(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        # macOS cannot reserve blocks; writing zeros does the same. The header's page is there already.
        file.seek(_PAGE)
        for offset in range(_PAGE, size, _PAGE):
            file.write(bytes(min(_PAGE, size - offset)))
