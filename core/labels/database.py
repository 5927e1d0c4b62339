"""The events on disk: SQLite in WAL mode beside the bundles, or PostgreSQL by DATABASE_URL.

Events are only added, all of one call in one transaction that holds the one write lock from its start: on SQLite BEGIN
IMMEDIATE, on PostgreSQL an advisory lock. So the numbers of events become visible in their order, and who has read up
to number n has missed nothing below it. "Saved" is said after the commit, which reaches the disk (synchronous FULL).
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.errors import LabelRejected
from core.labels.connect import begin_immediate, connect, connection, file_place, told, translated
from core.labels.events import Event, checked, evidence_json, said
from core.labels.fold import Fold, order
from core.labels.migrate import bring_up_to_date
from core.labels.tables import EVENTS

URL_VARIABLE = "DATABASE_URL"
_WRITE_LOCK = 0x756E6974  # any number of our own: PostgreSQL's advisory locks are known by numbers
_COLUMNS = tuple(column.name for column in EVENTS.c)


def default_url(bundles: Path) -> str:
    """DATABASE_URL where it is set, else a file beside the folder of bundles, so that deleting bundles keeps labels."""
    return os.environ.get(URL_VARIABLE) or f"sqlite:///{bundles.resolve().parent / 'labels.sqlite'}"


class Labels:
    """The events of one database. Safe to share between threads; one instance a process and database."""

    def __init__(self, url: str) -> None:
        """Opens or creates the database and brings its tables up to date. LabelsUnavailable, with advice."""
        self._engine = connect(url)
        self.where = told(self._engine.url)
        self._writing = threading.Lock()  # one writer of this process at a time: the others need not wait in the file
        self._place: tuple[int, int] | None = None
        with translated(self.where):
            bring_up_to_date(self._engine, self._write, self.where)
        self._place = file_place(self._engine)

    def add(self, events: Sequence[Event], keep_times: bool = False) -> list[Event]:
        """Store events, all or none, in their order, and return them as stored. An event whose key is stored already is
        returned as it is there: sending twice is safe. `keep_times` for events of another desk, which say when they
        were made; else it is now, and later than all that the annotator said before, whatever the clock says.

        LabelRejected, also for a key that is stored with other words; LabelsUnavailable.
        """
        wanted = [checked(event) for event in events]
        first: dict[str, Event] = {}
        for event in wanted:
            _check_same(first.setdefault(event.key, event), event)
        rows = {key: _row(event) for key, event in first.items()}  # before the lock: nobody waits for it
        with self._writing, self._write() as opened:
            known = self._by_key(opened, list(rows))
            new = [rows[key] for key in rows if key not in known]
            for stored in known.values():
                _check_same(stored, first[stored.key])
            if not keep_times:
                self._tell_time(opened, new)
            if new:
                opened.execute(sa.insert(EVENTS), new)
        known |= self.by_key([row["key"] for row in new])
        return [known[event.key] for event in wanted]

    def since(self, seq: int, bundle: str | None = None) -> list[Event]:
        """The events after number `seq`, in order; of one bundle, if given."""
        query = sa.select(EVENTS).where(EVENTS.c.seq > seq).order_by(EVENTS.c.seq)
        return self._read(query if bundle is None else query.where(EVENTS.c.bundle == bundle))

    def history(self, bundle: str, address: str) -> list[Event]:
        """All that was ever said of a unit, in order, undone or not."""
        query = sa.select(EVENTS).where(EVENTS.c.bundle == bundle, EVENTS.c.address == address)
        return self._read(query.order_by(EVENTS.c.seq))

    def elsewhere(self, model: str, bundle: str, address: str) -> list[Event]:
        """The labels and adjudications that stand of the same unit of the same model (its weights' digest) in other
        bundles, as they were said: a bundle made anew finds what was said of its units. Nothing for model ""."""
        if not model:
            return []
        query = sa.select(EVENTS).where(EVENTS.c.address == address, EVENTS.c.bundle != bundle)
        folds: dict[str, Fold] = {}
        for event in self._read(query.order_by(EVENTS.c.seq)):
            if event.model == model or event.kind == "undo":
                folds.setdefault(event.bundle, Fold()).take([event])
        words = (
            word for fold in folds.values() for standing in fold.all().values()
            for word in (*standing.by.values(), standing.adjudication)
        )  # fmt: skip
        return sorted((word for word in words if word and word.kind in ("label", "adjudicate")), key=order)

    def by_key(self, keys: Sequence[str]) -> dict[str, Event]:
        """Those of these events that are stored, by their keys."""
        with self._open() as opened:
            return self._by_key(opened, keys)

    def bundles(self) -> dict[str, int]:
        """Ids of the bundles that anything was said of, with their numbers of events."""
        return self._counted(EVENTS.c.bundle)

    def annotators(self) -> dict[str, int]:
        """Names, in the order of first use, with their numbers of events."""
        return self._counted(EVENTS.c.annotator)

    def count(self) -> int:
        """How many events there are."""
        with self._open() as opened:
            return opened.execute(sa.select(sa.func.count()).select_from(EVENTS)).scalar_one()

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def _counted(self, column: sa.Column) -> dict[str, int]:
        query = sa.select(column, sa.func.count()).group_by(column).order_by(sa.func.min(EVENTS.c.seq))
        with self._open() as opened:
            return {row[0]: row[1] for row in opened.execute(query)}

    def _read(self, query: sa.Select) -> list[Event]:
        with self._open() as opened:
            return _events(opened.execute(query))

    def _by_key(self, opened: sa.Connection, keys: Sequence[str]) -> dict[str, Event]:
        found: dict[str, Event] = {}
        for start in range(0, len(keys), 500):  # SQLite bounds the variables of a statement
            query = sa.select(EVENTS).where(EVENTS.c.key.in_(keys[start : start + 500]))
            found |= {event.key: event for event in _events(opened.execute(query))}
        return found

    def _tell_time(self, opened: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Each row's `at`: now, but after all that its annotator said before."""
        latest: dict[str, int] = {}
        for row in rows:
            name = row["annotator"]
            if name not in latest:
                query = sa.select(sa.func.max(EVENTS.c.at)).where(EVENTS.c.annotator == name)
                latest[name] = opened.execute(query).scalar() or 0
            row["at"] = latest[name] = max(time.time_ns() // 1000, latest[name] + 1)

    @contextmanager
    def _open(self) -> Iterator[sa.Connection]:
        with translated(self.where), connection(self._engine, self._place) as opened:
            yield opened

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._open() as opened, opened.begin():
            if opened.dialect.name == "postgresql":
                opened.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITE_LOCK)))
            else:
                begin_immediate(opened)
            yield opened


class _Record(Mapping[str, Any]):
    """A JSON object, read when somebody looks at it: few look at what was shown, and every event has it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __getitem__(self, name: str) -> Any:
        return json.loads(self._text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._text))

    def __len__(self) -> int:
        return len(json.loads(self._text))

    def __repr__(self) -> str:
        return self._text


def _row(event: Event) -> dict[str, Any]:
    row = {name: getattr(event, name) for name in _COLUMNS if name != "seq"}
    return row | {"tags": json.dumps(event.tags, ensure_ascii=False), "evidence": evidence_json(event.evidence)}


def _events(rows: Iterable[sa.Row]) -> list[Event]:
    """Rows of all columns as events; words that many of them have are kept once."""
    kept: dict[Any, Any] = {}
    once: Callable[[Any], Any] = lambda word: kept.setdefault(word, word)
    return [
        Event(
            key, once(annotator), once(bundle), once(address), once(end), once(kind), text,
            () if tags == "[]" else tuple(json.loads(tags)), confidence,
            {} if evidence == "{}" else _Record(evidence),
            once(automatic), reason, undoes, once(model), once(queue), blind, seq, at,
        )
        for (
            seq, key, at, annotator, bundle, model, address, end, kind, text, tags, confidence, evidence, automatic,
            reason, undoes, queue, blind,
        ) in rows
    ]  # fmt: skip


def _check_same(stored: Event, sent: Event) -> None:
    if said(stored) != said(sent):
        raise LabelRejected(
            f"This was saved already with other words: {stored.annotator} said {(stored.text or stored.kind)[:80]!r} "
            f"of {stored.address}. What is saved stays as it is; send the new words with a key of their own."
        )
