"""Connections to a database of labels, and what it says when something is wrong, as sentences that say what to do."""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from core.errors import LabelsUnavailable

WAIT_S = 30
_URL = "DATABASE_URL must be like sqlite:////folder/labels.sqlite or postgresql://user:password@host/database"


def connect(url: str) -> sa.Engine:
    """An engine for SQLite or PostgreSQL. LabelsUnavailable for any other URL, or a file that cannot be opened."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "postgresql":
        # whatever the server's default: under the others a transaction that waited for the lock sees what was before
        options = {"connect_timeout": WAIT_S, "options": f"-c lock_timeout={WAIT_S * 1000}"}
        return sa.create_engine(parsed, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=options)
    engine = sa.create_engine(parsed, connect_args={"timeout": WAIT_S})
    _prepare_sqlite(engine)
    return engine


def told(url: sa.URL) -> str:
    """A database's name for sentences: without user and password."""
    name = str(url.database)
    return name if url.get_backend_name() == "sqlite" else f"{url.host or 'this host'}/{name}"


@contextmanager
def translated(where: str) -> Iterator[None]:
    """What a database says, as LabelsUnavailable with advice."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise LabelsUnavailable(_advice(where, error)) from error


def _parsed(url: str) -> sa.URL:
    """The URL with the driver that is installed: `postgres://` and `postgresql://` alone mean psycopg 3."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise LabelsUnavailable(f"{_URL}; what it is cannot be read as a URL.") from None  # it may hold a password
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise LabelsUnavailable(f"{_URL}; it begins with {parsed.drivername[:20]!r}.")
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise LabelsUnavailable(f"{_URL}; labels are kept in a file, and this names none.")
    return parsed


@contextmanager
def connection(engine: sa.Engine, place: tuple[int, int] | None) -> Iterator[sa.Connection]:
    """A connection of the pool. LabelsUnavailable where the file is no longer the one at `place` (see `file_place`):
    who writes to a file that was deleted is told that all is well, and nothing is kept. The connection stays open: the
    file may come back, and what is in its log with it."""
    with engine.connect() as made:
        if place is not None and file_place(engine) != place:
            raise LabelsUnavailable(
                f"{engine.url.database} was deleted, moved or replaced while this program had it open. Put the file "
                "back, or start the program again with the one that is there now. Nothing more is saved until then."
            )
        yield made


def file_place(engine: sa.Engine) -> tuple[int, int] | None:
    """Device and number of an SQLite file, (0, 0) where there is none now; None for a server."""
    if engine.dialect.name != "sqlite":
        return None
    try:
        found = os.stat(str(engine.url.database))
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def begin_immediate(opened: sa.Connection) -> None:
    """Begin an SQLite transaction with its write lock, waiting WAIT_S at most. SQLite's own waiting asks ten times a
    second; beside processes that write one event after the other it can starve for many seconds."""
    until = time.monotonic() + WAIT_S
    opened.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                opened.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > until:
                    raise
            time.sleep(random.uniform(0.002, 0.02))  # chance, so that who waits does not always come second
    finally:
        opened.exec_driver_sql(f"PRAGMA busy_timeout = {int(WAIT_S * 1000)}")


def _prepare_sqlite(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def set_up(made: Any, _record: Any) -> None:
        made.isolation_level = None  # sqlite3 would begin a deferred transaction, which fails when it is upgraded
        made.execute("PRAGMA synchronous=FULL")
        made.execute("PRAGMA journal_mode=WAL")


def _advice(where: str, error: Exception) -> str:
    text = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).lower()
    for signs, advice in _ADVICE:
        if any(sign in text for sign in signs):
            return f"{where}: {advice}"
    return f"{where} does not answer as it should ({' '.join(text.split())[:200]}). {_KEPT}"


_KEPT = "What was said to be saved is saved; this was not."
_ADVICE = (
    (("is locked", "lock timeout"), f"another program has held the database for too long. Try again soon. {_KEPT}"),
    (("readonly", "read-only", "permission denied"),
     f"it may not be written. Ask for write access to it and to its folder. {_KEPT}"),
    (("unable to open",), "it cannot be opened. Check that its folder exists and may be written."),
    (("is full", "no space"), f"the disk is full. Free some space and save again. {_KEPT}"),
    (("not a database", "malformed", "disk i/o"),
     "this file is damaged, or no database of labels. Put a copy of it in its place, or give another with "
     "DATABASE_URL; an export (CSV, JSONL, Parquet) can be imported into an empty one."),
    (("password", "authentication", "role "), "the database server refused this user. Check DATABASE_URL."),
    (("database \"",), "the server has no such database. Create it (createdb), or check DATABASE_URL."),
    (("refused", "could not translate", "failed to resolve", "connection failed", "closed the connection", "timeout",
      "server closed", "terminating connection", "is lost"),
     f"the database server does not answer. Check that it runs, and DATABASE_URL. {_KEPT}"),
)  # fmt: skip
