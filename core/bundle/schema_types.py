"""What the tables of `core.bundle.schema` are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class ArraySpec:
    """One .npy file: its dtype, the name of each axis, and what the numbers mean."""

    name: str
    path: str
    dtype: str
    axes: tuple[str, ...]
    meaning: str
    optional: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table; `dtype` is an Arrow type name."""

    name: str
    dtype: str
    meaning: str


@dataclass(frozen=True)
class TableSpec:
    """One Parquet file. `axis` names the axis its rows are; `extra` allows further columns of any type."""

    name: str
    path: str
    columns: tuple[Column, ...]
    meaning: str
    axis: str | None = None
    extra: bool = False
    optional: bool = False


@dataclass(frozen=True)
class IndexSpec:
    """A family of FAISS files over the rows of `source`; ids are row numbers there."""

    name: str
    path: str
    metric: tuple[str, ...]
    normalised: bool
    source: str
    what: str
    optional: bool = False


@dataclass(frozen=True)
class FileSpec:
    """Files of another kind, listed and checksummed as they are. `path` is a glob pattern."""

    name: str
    path: str
    meaning: str
    optional: bool = False


@dataclass(frozen=True)
class FieldSpec:
    """One field of bundle.json. `kind`: str, int, float, bool, list, or object (free form); "?" allows null."""

    name: str
    kind: str
    meaning: str
    optional: bool = False
    written: bool = field(default=False, kw_only=True)  # by the writer itself, not among the caller's facts


@dataclass(frozen=True)
class Format:
    """One kind of finished folder: a bundle, or a dictionary of Rosetta concepts; the same code writes and reads both.

    `kind` and `kinds` what messages call it, `manifest` the file that is written last, `make` the command for one.
    """

    kind: str
    kinds: str
    manifest: str
    version: int
    make: str
    axes: Mapping[str, str]
    arrays: tuple[ArraySpec, ...]
    tables: tuple[TableSpec, ...]
    files: tuple[FileSpec, ...]
    fields: tuple[FieldSpec, ...]
    indexes: tuple[IndexSpec, ...] = ()

    @cached_property
    def array(self) -> dict[str, ArraySpec]:
        """Arrays by name."""
        return {spec.name: spec for spec in self.arrays}

    @cached_property
    def table(self) -> dict[str, TableSpec]:
        """Tables by name."""
        return {spec.name: spec for spec in self.tables}
