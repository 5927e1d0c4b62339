"""A column of the manifest as groups of images, and as the truth about a concept.

Text and truth values group as they are, whole numbers too where they are few; other numbers by bins of as many images
each; dates by year, or by month where there is one year.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import InputError
from core.methods.drift import Grouping, Kind, Truth
from core.text.mentions import word_forms

MOST_GROUPS = 1_000
BINS = 12
_MOST_VALUES = 2_000  # a column of more describes or names images one by one
_KEPT = 256
_MOST_NUMBERS = 60  # whole numbers of so few values are years or counts and stay as they are


def groups(column: str, values: pa.Array) -> Grouping:
    """Group images by a column. InputError for one that groups nothing, with the reason."""
    values = _plain(values)
    kind = values.type
    present = len(values) - values.null_count
    shown = f"The column {column[:60]!r}"
    if not present:
        raise InputError(
            f"{shown} has no value for any measured image, so there is nothing to group by. Choose another."
        )
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind) and not pa.types.is_duration(kind):
        return _dates(column, values)
    if pa.types.is_boolean(kind):
        return _named(column, "names", pc.if_else(values, "true", "false"))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(column, values)
    if not _is_text(kind):
        raise InputError(f"{shown} holds {kind}, which groups nothing. Choose a column of text, numbers or dates.")
    found = _named(column, "names", values)
    if len(found.names) > min(MOST_GROUPS, max(2, present // 2)):
        raise InputError(
            f"{shown} has {len(found.names):,} values for {present:,} images: it names images rather than groups them. "
            "Choose a column with fewer values."
        )
    return found


def truth(column: str, values: pa.Array, value: str) -> Truth:
    """Where a column has `value` (as text, case ignored), or, if it never has, where it contains its words. InputError
    where neither is so for any image, or for a column of lists and the like."""
    values = _plain(values)
    if not (_is_text(values.type) or pa.types.is_boolean(values.type) or _is_number(values.type)):
        raise InputError(f"The column {column[:60]!r} holds {values.type}, which says nothing of a concept.")
    encoded = pc.dictionary_encode(pa.array(as_text(values), pa.string()))  # each value is looked at once
    given = [text.casefold() for text in encoded.dictionary.to_pylist()]
    code_i = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    wanted = " ".join(value.casefold().split())
    for contains in (False, True):
        is_so = (lambda text: f" {wanted} " in f" {_words(text)} ") if contains else (lambda text: text == wanted)
        true_v = np.array([*(float(is_so(text)) for text in given), np.nan])  # the last is that of no value
        if (true_v == 1).any():
            return Truth(column, value, contains, true_v[code_i])
    raise InputError(
        f"No measured image has {value[:60]!r} in the column {column[:60]!r}, nor a text that contains it. Choose "
        "one of the column's values."
    )


class NamedImages:
    """Which images a text names, of a table's `columns` with their types: those whose value, or whose class, it says.

    `read` gives a column's values; `readable` the classes by the names that prompts use. Thread-safe.
    """

    def __init__(
        self,
        columns: Mapping[str, pa.DataType],
        read: Callable[[str], pa.Array],
        readable: Mapping[str, str] | None = None,
    ) -> None:
        self._columns, self._read, self._readable = columns, read, readable or {}
        self.find = lru_cache(_KEPT)(self._find)

    def _find(self, text: str) -> Truth | None:
        """The images that a text names, by the first column, those of few values first, one of whose values it is, or
        else names: "two dogs on a beach" names the place beach. The longest value that it names; None without one."""
        words = _spelled(text).split()
        for exactly in (True, False):
            for column, known in self._forms.items():
                spans = [words] if exactly else [words[i:j] for i in range(len(words)) for j in range(i + 1, i + 9)]
                hits = [" ".join(span) for span in spans if " ".join(span) in known]
                if hits:
                    try:
                        return truth(column, self._read(column), known[max(hits, key=len)])
                    except InputError:  # the class has no image among these
                        continue
        return None

    @cached_property
    def _forms(self) -> dict[str, dict[str, str]]:
        """Of every column the values, by how they may be spelled: as they are, and in the plural."""
        made = {}
        for name, kind in self._columns.items():
            if says(kind):
                values = {v for v in as_text(self._read(name)) if v is not None and v.strip()}
                called = {value: value for value in values} | (dict(self._readable) if name == "class" else {})
                if 2 <= len(values) <= _MOST_VALUES:
                    pairs = ((form, value) for spoken, value in called.items() for form in word_forms(_spelled(spoken)))
                    made[name] = {_spelled(form): value for form, value in pairs}
        return dict(sorted(made.items(), key=lambda one: len(one[1])))


def as_text(values: pa.Array) -> Sequence[str | None]:
    """Values as they are shown: whole numbers without a fraction, "true" and "false"."""
    values = _plain(values)
    if pa.types.is_boolean(values.type):
        values = pc.if_else(values, "true", "false")
    return [None if value is None else str(value) for value in values.to_pylist()]


def says(kind: pa.DataType) -> bool:
    """Whether a column of this type can say what an image shows by itself: text, and true or false."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(_is_text(kind) or pa.types.is_boolean(kind))


def _plain(values: pa.Array) -> pa.Array:
    """Without dictionary encoding, and NaN as no value."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))
    return values


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _spelled(text: str) -> str:
    return _words(text.casefold())


def _words(text: str) -> str:
    """Words alone, one space between."""
    return " ".join("".join(c if c.isalnum() else " " for c in text).split())


def _named(column: str, kind: Kind, values: pa.Array) -> Grouping:
    """A group a value, in the order of the values."""
    encoded = pc.dictionary_encode(values)
    found = encoded.dictionary
    order = np.asarray(pc.sort_indices(found))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    code_i = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    names = [str(found[int(at)].as_py()) for at in order]
    return Grouping(column, kind, tuple(names), np.where(code_i < 0, -1, rank[code_i] if len(rank) else -1))


def _numbers(column: str, values: pa.Array) -> Grouping:
    whole = pa.types.is_integer(values.type)
    if len(pc.unique(values.drop_null())) <= (_MOST_NUMBERS if whole else BINS):
        return _named(column, "numbers", values)
    x_i = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    edges = np.unique(np.quantile(x_i[np.isfinite(x_i)], np.linspace(0, 1, BINS + 1)))
    code_i = np.clip(np.searchsorted(edges, x_i, side="right") - 1, 0, len(edges) - 2)
    names = tuple(f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges))
    return Grouping(column, "bins", names, np.where(np.isfinite(x_i), code_i, -1))


def _dates(column: str, values: pa.Array) -> Grouping:
    text = lambda form: pc.strftime(values.cast(pa.timestamp("s"), safe=False), format=form)
    years = _named(column, "dates", text("%Y"))
    return years if len(years.names) > 1 else _named(column, "dates", text("%Y-%m"))
