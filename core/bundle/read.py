"""Opens a finished bundle. A bundle may come from anyone: nothing in it is trusted, unpickled or found outside it."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.bundle import schema
from core.bundle.faiss_store import OpenIndex, read_index
from core.bundle.fields import Axis, field_problems, parse_axes
from core.bundle.npy import map_npy
from core.bundle.schema_rosetta import DICTIONARY, DICTIONARY_PREFIX
from core.errors import BundleDamaged, BundleError, BundleMissing, BundleVersion

_REBUILD = "Restore it from a copy, or delete the folder and run precompute again"


class Bundle:
    """A finished bundle, read-only. Safe to share between threads; made by `open_bundle`."""

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], axes: Mapping[str, Axis], form: schema.Format = schema.BUNDLE
    ) -> None:
        self.folder, self.form = folder, form
        self.facts = facts
        """bundle.json as parsed; its fields are described in schema.FIELDS."""
        self.axes = axes
        self._opened: dict[str, OpenIndex] = {}
        self._opening = threading.Lock()

    @property
    def id(self) -> str:
        """The hash that names this bundle."""
        return str(self.facts["id"])

    def has(self, name: str) -> bool:
        """Whether the optional array or table `name` was written."""
        return name in self.facts["arrays"] or name in self.facts["tables"]

    def path(self, relative: str) -> Path:
        """Path of a listed file. Raises BundleMissing for a name that bundle.json does not list."""
        if relative not in self.facts["files"]:
            raise BundleMissing(f"{self.form.kind} {self.id} has no file {relative}.")
        return confined(self.folder, relative, self.form.manifest)

    def array(self, name: str) -> np.memmap:
        """One array, memory-mapped read-only, with the dtype and axes of the schema. Raises BundleDamaged;
        BundleMissing if it is optional and was not made; KeyError for a name that the schema does not know."""
        spec = self.form.array[name]
        path = self.path(spec.path)
        try:
            array = map_npy(path)
        except (ValueError, OSError) as error:
            raise BundleDamaged(f"{path} is no .npy file that can be read ({error}). {_REBUILD}.") from error
        shape = tuple(self.axes[axis].size for axis in spec.axes)
        if array.dtype != np.dtype(spec.dtype) or array.shape != shape or not array.flags.c_contiguous:
            raise BundleDamaged(f"{path} is {array.dtype} {array.shape}, not {spec.dtype} {shape}. {_REBUILD}.")
        return array

    def table(self, name: str) -> pa.Table:
        """One table with the schema's columns. Raises as `array` does."""
        spec = self.form.table[name]
        path = self.path(spec.path)
        try:
            with path.open("rb") as stream:
                file = pq.ParquetFile(stream)
                rows, columns = file.metadata.num_rows, file.schema_arrow
                expected = self.axes[spec.axis].size if spec.axis else self.facts["tables"][name]["rows"]
                if rows != expected:
                    raise BundleDamaged(f"{path} has {rows} rows, not {expected}. {_REBUILD}.")
                for column in spec.columns:
                    if columns.field(column.name).type != pa.type_for_alias(column.dtype):
                        raise BundleDamaged(f"column {column.name} of {path} is not {column.dtype}. {_REBUILD}.")
                return file.read()
        except (pa.ArrowException, KeyError, OSError) as error:
            raise BundleDamaged(f"{path} is no Parquet table that can be read ({error}). {_REBUILD}.") from error

    def index(self, key: str) -> OpenIndex:
        """One FAISS index ("images", "text" or a `schema.head_key`), its sha256 checked the first time it is opened.

        Raises BundleDamaged; BundleMissing for a head that was not analysed; KeyError for no such key.
        """
        path = self.path(schema.index_path(key))
        with self._opening:
            if key not in self._opened:
                entry = self.facts["indexes"].get(key)
                if entry is None:
                    raise BundleDamaged(f"{self.folder / schema.MANIFEST} does not describe index {key}. {_REBUILD}.")
                opened = read_index(path, self.facts["files"][entry["path"]]["sha256"])
                if (opened.n, opened.d) != (entry["n"], entry["d"]):
                    raise BundleDamaged(f"{path} is {opened.n} × {opened.d}, bundle.json says otherwise. {_REBUILD}.")
                self._opened[key] = opened
            return self._opened[key]


@dataclass(frozen=True)
class Listing:
    """A folder that is a bundle or looks like one. `problem` says why it cannot be opened, and then facts is None."""

    path: Path
    facts: Mapping[str, Any] | None
    problem: str | None


def list_bundles(out_folder: Path | str) -> list[Listing]:
    """The bundles in a folder of bundles, by name; unfinished and damaged ones with the reason. [] if there is none.
    Dictionaries in it are left out (see `core.bundle.dictionary.list_dictionaries`)."""
    return listing(out_folder, schema.BUNDLE, lambda folder: not is_dictionary(folder))


def listing(out_folder: Path | str, form: schema.Format, wanted: Callable[[Path], bool]) -> list[Listing]:
    """The folders that are wanted, by name, each opened as `form`."""
    listings = []
    out = Path(out_folder)
    for folder in sorted(out.iterdir()) if out.is_dir() else []:
        if folder.is_dir() and not folder.name.startswith(".") and wanted(folder):
            try:
                listings.append(Listing(folder, open_bundle(folder, form).facts, None))
            except BundleError as error:
                listings.append(Listing(folder, None, str(error)))
    return listings


def is_dictionary(folder: Path) -> bool:
    """Whether a folder holds a dictionary of Rosetta concepts, finished or begun, rather than a bundle."""
    begun = folder.name.startswith(DICTIONARY_PREFIX) and not (folder / schema.MANIFEST).exists()
    return begun or (folder / DICTIONARY.manifest).exists()


def open_bundle(path: Path | str, form: schema.Format = schema.BUNDLE) -> Bundle:
    """Open a finished bundle (or another `form`) after cheap checks: its fields, presence and size of every file.

    Raises BundleMissing (none there, or unfinished), BundleVersion, BundleDamaged (naming the file). Checksums are
    left to `verify`.
    """
    folder = Path(path)
    facts = read_manifest(folder, form)
    axes = parse_axes(facts["axes"], form.axes)
    for relative, entry in facts["files"].items():
        file = confined(folder, relative, form.manifest)
        if not file.is_file():
            raise BundleDamaged(f"{file} is missing. {_REBUILD}.")
        if file.stat().st_size != entry["bytes"]:
            raise BundleDamaged(f"{file} has {file.stat().st_size} bytes instead of {entry['bytes']}. {_REBUILD}.")
    return Bundle(folder, facts, axes, form)


def read_manifest(folder: Path, form: schema.Format = schema.BUNDLE) -> dict[str, Any]:
    """bundle.json (or what `form` calls it), checked in itself but not against the files. Raises as `open_bundle`."""
    path = folder / form.manifest
    if not path.is_file():
        raise BundleMissing(_nothing_at(folder, form))
    try:
        with path.open("rb") as file:
            text = file.read(schema.MAX_MANIFEST_BYTES + 1)
        if len(text) > schema.MAX_MANIFEST_BYTES:
            raise BundleDamaged(f"{path} is larger than any {form.kind}'s. It was not read. {_REBUILD}.")
        facts = json.loads(text)
    except (ValueError, OSError, RecursionError) as error:
        raise BundleDamaged(f"{path} is not readable JSON ({type(error).__name__}). {_REBUILD}.") from error
    if not isinstance(facts, dict) or "format_version" not in facts:
        raise BundleDamaged(f"{path} describes no {form.kind}: it has no format_version. {_REBUILD}.")
    if facts["format_version"] != form.version:
        raise BundleVersion(
            f"{path} is of format version {str(facts['format_version'])[:20]}, and this program reads version "
            f"{form.version}. Run precompute again, or use the program's release that wrote it."
        )
    problems = field_problems(facts, form.fields) or _entry_problems(folder, facts, form)
    if problems:
        raise BundleDamaged(f"{path} is not as described in docs/bundle.md: {problems[0]}. {_REBUILD}.")
    return facts


def _nothing_at(folder: Path, form: schema.Format) -> str:
    if not folder.is_dir():
        return f"There is no {form.kind} at {folder}. This makes one: {form.make}"
    inside = sorted(child.parent.name for child in folder.glob(f"*/{form.manifest}"))
    if inside:
        return f"{folder} is a folder of {form.kinds}. Choose one of them: {', '.join(inside[:5])}"
    if any(folder.iterdir()):
        advice = "Run the same command again to resume; what is finished is kept."
        return f"The {form.kind} at {folder} is unfinished. {advice}"
    return f"{folder} is empty. This makes a {form.kind}: {form.make}"


def _entry_problems(folder: Path, facts: Mapping[str, Any], form: schema.Format) -> list[str]:
    """Problems in axes, files, arrays, tables and indexes of a bundle.json whose fields have the right kinds."""
    try:
        axes = parse_axes(facts["axes"], form.axes)
    except ValueError as error:
        return [str(error)]
    problems = [f"axis {name} is missing" for name in _axes_needed(facts, form) if name not in axes]
    for relative, entry in facts["files"].items():
        try:
            confined(folder, relative, form.manifest)
        except BundleDamaged as error:
            return [str(error)]
        if not _has(entry, bytes=int, sha256=str):
            problems.append(f"the entry of file {relative[:80]} lacks its bytes or sha256")
    for kind, specs in (("arrays", form.array), ("tables", form.table)):
        for name, spec in specs.items():
            entry = facts[kind].get(name)
            listed = isinstance(entry, Mapping) and entry.get("path") == spec.path and spec.path in facts["files"]
            if not listed and not (spec.optional and entry is None):
                problems.append(f"{kind} does not list {spec.path}")
    problems += [f"{name[:40]} is no table with rows" for name, e in facts["tables"].items() if not _has(e, rows=int)]
    indexes = facts["indexes"].items() if form.indexes else ()
    problems += [text for key, entry in indexes if (text := _index_problem(key, entry, facts))]
    return problems


def _axes_needed(facts: Mapping[str, Any], form: schema.Format) -> list[str]:
    arrays = [axis for spec in form.arrays if spec.name in facts["arrays"] for axis in spec.axes]
    return [*arrays, *(spec.axis for spec in form.tables if spec.axis and spec.name in facts["tables"])]


def _index_problem(key: str, entry: object, facts: Mapping[str, Any]) -> str | None:
    try:
        path = schema.index_path(key)
    except KeyError:
        return f"index {key[:40]!r} is unknown"
    well = isinstance(entry, Mapping) and entry.get("path") == path and path in facts["files"]
    return None if well and _has(entry, n=int, d=int, kind=str) else f"the entry of index {key} is malformed"


def _has(entry: object, **kinds: type) -> bool:
    return isinstance(entry, Mapping) and all(isinstance(entry.get(name), kind) for name, kind in kinds.items())


def confined(folder: Path, relative: str, manifest: str = schema.MANIFEST) -> Path:
    """The path of a file inside `folder`. Raises BundleDamaged for one that leads out of it, links included."""
    pure = PurePosixPath(relative)
    # relative_to and resolve alone would let "a/../b" and names with a null byte through to the system
    plain = relative and not pure.is_absolute() and ".." not in pure.parts and not set("\0\\") & set(relative)
    if not plain or not (folder / relative).resolve().is_relative_to(folder.resolve()):
        raise BundleDamaged(f"{relative[:80]!r} in {folder / manifest} leads out of the bundle. Don't use it.")
    return folder / relative
