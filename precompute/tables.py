"""CSV, TSV and Parquet manifests: checked paths and every other column as it stands."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from core.errors import ManifestError
from precompute.paths import normalise, to_text

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")
_OURS = ("image_id", "bytes", "width", "height", "sha256", "status", "message")  # columns of a bundle's image table


@dataclass(frozen=True)
class Listing:
    """A manifest's rows in their order: normalised paths as text, all other columns by name, notes for the user."""

    paths: list[str]
    columns: dict[str, pa.ChunkedArray]
    notes: tuple[str, ...]


def read_listing(file: Path) -> Listing:
    """Read and check a manifest. A `class` column comes back as strings, "" as null. Raises ManifestError."""
    table = _read(file)
    names = table.column_names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ManifestError(f"{file} has several columns named {doubled[0]!r}: rename all but one.")
    if "path" not in names:
        raise ManifestError(f"{file} has no column 'path' (it has: {', '.join(names) or 'none'}): add or rename one.")
    if table.num_rows == 0:
        raise ManifestError(f"{file} lists no image: it has columns but no rows.")
    paths = _paths(file, table["path"])
    columns, notes = {}, []
    for name in names:
        if name == "class":
            text = _as_text(file, table[name], name)
            columns[name] = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
        elif name in _OURS:
            columns[f"given_{name}"] = table[name]
            notes.append(
                f"The column {name!r} is kept as 'given_{name}', since {name!r} has a meaning of its own here."
            )
        elif name != "path":
            columns[name] = table[name]
    if len(columns) + 1 < len(names):
        raise ManifestError(f"{file} has columns both with and without the prefix 'given_': rename one of them.")
    return Listing(paths, columns, tuple(notes))


def _read(file: Path) -> pa.Table:
    suffix = file.suffix.lower()
    if suffix not in _DELIMITERS and suffix not in _PARQUET:
        raise ManifestError(f"{file} is neither a folder nor a manifest: expected .csv, .tsv or .parquet.")
    try:
        if suffix in _PARQUET:
            table = pq.read_table(file, partitioning=None)
            table.validate(full=True)  # Parquet may hold text that is no UTF-8
            return table
        table = pcsv.read_csv(
            file,
            parse_options=pcsv.ParseOptions(delimiter=_DELIMITERS[suffix], newlines_in_values=True),
            # Folder names such as 007 are text.
            convert_options=pcsv.ConvertOptions(column_types={"path": pa.string(), "class": pa.string()}),
        )
        odd = [column.name for column in table.schema if pa.types.is_binary(column.type)]
        if odd:  # text that is no UTF-8 is read as bytes
            raise pa.ArrowInvalid(f"column {odd[0]!r} is not UTF-8")
        return table
    except PermissionError as error:
        raise ManifestError(f"{file} cannot be read: permission is denied. Ask for access, or copy it.") from error
    except (pa.ArrowException, OSError) as error:  # ArrowInvalid is a ValueError, damaged Parquet an OSError
        reason = " ".join(str(error).split())[:200]
        raise ManifestError(f"{file} cannot be read as a table ({reason}): save it anew, in UTF-8 if CSV.") from error


def _as_text(file: Path, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise ManifestError(f"The column {name!r} of {file} is {column.type}, not text: convert it.") from error


def _paths(file: Path, column: pa.ChunkedArray) -> list[str]:
    """Normalised paths; refuses what is no relative path inside, and what stands twice."""
    paths: list[str] = []
    seen: dict[str, int] = {}
    for row, raw in enumerate(_as_text(file, column, "path").to_pylist(), 1):
        try:
            path = to_text(normalise(raw or ""))
        except ValueError as reason:
            raise ManifestError(
                f"Row {row:,} of {file} has the path {raw!r}, but {reason}: "
                "paths are relative to the manifest's folder, or to --root, and stay inside."
            ) from reason
        if path in seen:
            raise ManifestError(f"Rows {seen[path]:,} and {row:,} of {file} both name {path}: keep one of them.")
        seen[path] = row
        paths.append(path)
    return paths
