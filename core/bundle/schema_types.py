"""What the tables of `core.bundle.schema` are made of."""

from dataclasses import dataclass, field


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
