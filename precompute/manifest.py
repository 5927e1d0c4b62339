"""What a run reads: one row a file, in the order of their paths, numbered; and a digest that names this very data.

    folder of folders      the class is the first folder below the root
    flat folder            no classes
    CSV, TSV or Parquet    a `path` column; `class` (else the first folder) and any other columns are kept

A folder with a `manifest.parquet` or `manifest.csv` at its top is read through it. `precompute/scan.py` walks folders,
`precompute/tables.py` reads manifests. Nothing here opens an image: whether a file can be decoded shows when it is
read, and one that cannot keeps its row and number.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import ManifestError
from precompute import scan, tables

#: The columns of every manifest; the user's own follow.
COLUMNS = ("image_id", "path", "bytes", "class")
_DIGEST_ROWS = 65_536

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Manifest:
    """The images of a run.

    `table` has image_id (int64, the row number), path (string, relative to `root`, posix, as `paths.to_text` writes
    it), bytes (int64, -1 where the file was missing or out of bounds), class (string or null) and the user's columns.
    `classes` are the distinct classes, sorted. `digest` is a sha256 over everything in the table but not over the
    root or any time, so that the same data elsewhere is the same data. `notes` are sentences for the user.
    """

    root: Path
    table: pa.Table
    classes: tuple[str, ...]
    digest: str
    source_name: str
    notes: tuple[str, ...] = ()


def build_manifest(source: Path, *, root: Path | None = None, progress: Progress | None = None) -> Manifest:
    """The manifest of a folder, or of a CSV, TSV or Parquet file whose paths are relative to `root` or its folder.

    `progress` is called now and then with the number of files found so far. Raises ManifestError.
    """
    source = Path(source)
    listing = _listing(source)
    if listing is None:
        if root is not None:
            raise ManifestError(f"--root is for manifest files, but {source} is a folder: leave --root away.")
        found = scan.scan_folder(source, progress)
        columns: dict[str, Any] = {"path": found.paths, "bytes": found.sizes}
        base, user, notes = source, {}, found.notes
    else:
        base = root or listing.parent
        if not base.is_dir():
            raise ManifestError(f"The root folder {base} of the manifest's paths does not exist: check --root.")
        read = tables.read_listing(listing)
        sizes, outside = scan.stat_files(base, read.paths, progress)
        columns = {"path": read.paths, "bytes": sizes}
        user, notes = read.columns, (*read.notes, *scan.describe_missing(sizes, outside))
    table = _assemble(columns, user)
    classes = tuple(sorted(pc.unique(table["class"].drop_null()).to_pylist()))
    return Manifest(base.absolute(), table, classes, digest_of(table), source.absolute().name, tuple(notes))


def digest_of(table: pa.Table) -> str:
    """sha256, as hexadecimal digits, over the names and values of all columns but image_id, which follows from them."""
    digest = hashlib.sha256()
    names = [name for name in table.column_names if name != "image_id"]
    digest.update(json.dumps(names).encode())
    for batch in table.select(names).to_batches(max_chunksize=_DIGEST_ROWS):
        # Batches may be cut anywhere upstream, so rows are hashed, a line each, not chunks.
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        digest.update("".join(json.dumps(row, default=str) + "\n" for row in rows).encode())
    return digest.hexdigest()


def _listing(source: Path) -> Path | None:
    """The manifest file to read, or None for a plain folder."""
    try:
        if source.is_dir():
            inside = (source / name for name in ("manifest.parquet", "manifest.csv"))
            return next((path for path in inside if path.is_file()), None)
        if source.is_file():
            return source
    except PermissionError as error:
        raise ManifestError(f"{source} cannot be read: permission is denied. Ask for access, or copy it.") from error
    raise ManifestError(f"{source} does not exist: give a folder of images, or a CSV or Parquet manifest.")


def _assemble(columns: dict[str, Any], user: dict[str, pa.ChunkedArray]) -> pa.Table:
    """Sort by path, number the rows, fill in classes, put the user's columns last in their own order."""
    paths = pa.array(columns["path"], pa.string())
    order = pc.sort_indices(paths)  # by UTF-8 bytes, which is by code point: the same on every machine
    paths = paths.take(order)
    classes = user.pop("class").take(order) if "class" in user else _first_folders(paths)
    table = pa.table(
        {
            "image_id": pa.array(range(len(paths)), pa.int64()),
            "path": paths,
            "bytes": pa.array(columns["bytes"], pa.int64()).take(order),
            "class": classes,
        }
    )
    for name, column in user.items():
        table = table.append_column(name, column.take(order))
    return table.combine_chunks()


def _first_folders(paths: pa.Array) -> pa.Array:
    folder = pc.replace_substring_regex(paths, "(?s)/.*", "")  # from the first slash on, line breaks included
    return pc.if_else(pc.match_substring(paths, "/"), folder, pa.scalar(None, pa.string()))
