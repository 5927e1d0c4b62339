"""Full text over labels: automatic ones and those by hand, in SQLite's FTS5, in memory.

A query is words, each of which must be in the label or begin a word of it, and phrases in "quotes". It is taken apart
here and put together again as quoted phrases, so that no syntax of FTS5 can come through from a visitor.
"""

import re
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MOST_WORDS = 40
"""Words of a query that are looked for; a label has fewer."""
_PARTS = re.compile(r'"([^"]*)"|([^\s"]+)')
_TOKENS = "unicode61 remove_diacritics 2"


@dataclass(frozen=True)
class Said:
    """A label: of which unit, of which kind; `by` the annotator, "" for the automatic one; `end` "+", "-" or ""."""

    address: str
    kind: str
    text: str
    by: str = ""
    end: str = ""


class LabelIndex:
    """An index that is made of `said` and can be added to. Thread-safe."""

    def __init__(self, said: Iterable[Said]) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, sqlite3.Connection] = {}
        self._rows: dict[str, list[Said]] = defaultdict(list)
        self._of: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        by_kind: dict[str, list[Said]] = defaultdict(list)
        for each in said:
            by_kind[each.kind].append(each)
        with self._lock:
            for kind, group in by_kind.items():
                self._add(kind, group)

    def search(self, query: str, k: int) -> dict[str, list[Said]]:
        """Of each kind the k labels that fit best (BM25 within the kind, equal ones in the order they were given in),
        those by hand before automatic ones. Never raises, whatever the query; nothing for one without a word."""
        asked = as_match(query)
        if asked is None:
            return {}
        found = {}
        with self._lock:
            for kind, rows in self._rows.items():
                wanted = f'SELECT rowid FROM "{_name(kind)}" WHERE text MATCH ? ORDER BY rank, rowid LIMIT ?'
                hits = [rows[row - 1] for (row,) in self._db.execute(wanted, (asked, max(0, k)))]
                if hits:
                    found[kind] = hits
        return found

    def replace(self, address: str, end: str, kind: str, said: Sequence[Said]) -> None:
        """What was said by hand of this end of this unit, in place of what was known of it."""
        with self._lock:
            for name, row in self._of.pop((address, end), []):
                self._db.execute(f'DELETE FROM "{name}" WHERE rowid = ?', (row,))
            if said:
                self._add(f"{kind}{HAND}", said)

    def _add(self, kind: str, said: Sequence[Said]) -> None:
        name = _name(kind)
        if kind not in self._rows:
            # not the words themselves, which are in `_rows`; the short prefixes have an index of their own
            self._db.execute(
                f"CREATE VIRTUAL TABLE \"{name}\" USING fts5(text, tokenize = '{_TOKENS}', prefix = '1 2')"
            )
        first = len(self._rows[kind]) + 1
        self._rows[kind].extend(said)
        rows = [(first + at, clean(each.text)) for at, each in enumerate(said)]
        self._db.executemany(f'INSERT INTO "{name}" (rowid, text) VALUES (?, ?)', rows)
        for at, each in enumerate(said):
            if each.by:
                self._of[each.address, each.end].append((name, first + at))


HAND = " by hand"
"""After a kind: its labels by hand, which are ranked among themselves."""


def as_match(query: str) -> str | None:
    """A query as FTS5 reads it: words as prefixes, phrases whole, all needed. None without a letter or digit."""
    parts = []
    for phrase, word in _PARTS.findall(clean(query)):
        part = phrase or word
        if any(letter.isalnum() for letter in part):
            parts.append(f'"{part}"' + ("" if phrase else " *"))
    return " ".join(parts[:MOST_WORDS]) or None


def clean(text: str) -> str:
    """Text that SQLite takes as it is."""
    return text.replace("\0", " ").encode("utf-8", "ignore").decode()


def merged(found: Mapping[str, Sequence[Said]]) -> dict[str, list[Said]]:
    """Those by hand and the automatic ones of each kind in one list, those by hand first."""
    made: dict[str, list[Said]] = defaultdict(list)
    for kind in sorted(found, key=lambda kind: not kind.endswith(HAND)):
        made[kind.removesuffix(HAND)] += found[kind]
    return dict(made)


def _name(kind: str) -> str:
    return "labels " + "".join(letter for letter in kind if letter.isalpha() or letter == " ")
