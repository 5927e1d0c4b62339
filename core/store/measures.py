"""How strongly a head follows a column of the manifest, as a fraction of its variance; no direction has to be chosen.

Correlation ratio η (Pearson 1905) for vectors: η² = trace of the between-group scatter of r / trace of its total
scatter, corrected for the number of groups (ε², Kelley 1935), so that a column of many values doesn't look followed by
chance. For numbers, the share of the variance that a linear function of the column explains.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_VALUES = 1_000
"""A column with more values than this, or with less than two images a value, names images rather than groups them."""
_MOST_CODES = 32  # integers of so few values are names of groups, such as a count of objects


@dataclass(frozen=True)
class Groups:
    """A column as groups: `code_n` of each image (-1: none) and their names."""

    code_n: np.ndarray
    names: tuple[str, ...]


def as_groups(values: pa.Array) -> Groups | np.ndarray | None:
    """Groups, or numbers (NaN where missing), or None for a column that can't be followed."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (number or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)):
        return None
    encoded = pc.dictionary_encode(values)
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    present = len(values) - values.null_count
    if number and len(names) > (_MOST_CODES if pa.types.is_integer(kind) else 0):
        number_n = np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        return number_n if np.nanstd(number_n) > 0 else None
    if not 2 <= len(names) <= min(MAX_VALUES, present // 2):
        return None
    order = np.argsort(names, kind="stable")
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    code_n = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Groups(np.where(code_n < 0, -1, rank[code_n]), tuple(names[i] for i in order))


def follows(r_nc: np.ndarray, column: Groups | np.ndarray) -> tuple[float, str]:
    """(η in [0, 1], the value of the column that the head sets apart most; "" for numbers)."""
    if isinstance(column, Groups):
        return _ratio(r_nc, column)
    known_n = np.isfinite(column)
    x_n, r_nc = column[known_n], r_nc[known_n].astype(np.float64)
    x_n, r_nc = x_n - x_n.mean(), r_nc - r_nc.mean(0)
    total = (r_nc**2).sum()
    if not total > 0 or not (x_n @ x_n) > 0:
        return 0.0, ""
    return float(np.sqrt(((x_n @ r_nc) ** 2).sum() / (x_n @ x_n) / total)), ""


def _ratio(r_nc: np.ndarray, column: Groups) -> tuple[float, str]:
    known_n = column.code_n >= 0
    code_n, r_nc = column.code_n[known_n], r_nc[known_n].astype(np.float64)
    r_nc = r_nc - r_nc.mean(0)
    total, n = (r_nc**2).sum(), len(r_nc)
    size_v = np.bincount(code_n, minlength=len(column.names))
    groups = int((size_v > 0).sum())
    if not total > 0 or n <= groups:
        return 0.0, ""
    sum_vc = np.zeros((len(size_v), r_nc.shape[1]))
    np.add.at(sum_vc, code_n, r_nc)
    square_v = (sum_vc**2).sum(1)
    between = (square_v / np.maximum(size_v, 1)).sum()
    corrected = 1 - (total - between) / total * (n - 1) / (n - groups)
    # the variance that "this value or not" explains: its mean's offset against that of all others
    alone_v = square_v / np.maximum(size_v, 1) * n / np.maximum(n - size_v, 1)
    return float(np.sqrt(max(0.0, corrected))), column.names[int(np.argmax(alone_v))]
