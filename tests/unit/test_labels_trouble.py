"""A database that is locked, read-only, missing, full, damaged, replaced or newer; writers that are killed: each a
clear sentence, and nothing that was acknowledged is lost."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from core.errors import LabelsUnavailable
from core.labels import connect
from core.labels.database import Labels
from core.labels.ledger import Ledger
from tests import postgres
from tests.labels_maker import BUNDLE, event

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def sqlite(file: Path) -> Iterator[Labels]:
    made = Labels(f"sqlite:///{file}")
    made.add([event("before")])
    yield made
    made.close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """As another user: to root every file is writable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# --- SQLite -----------------------------------------------------------------------------------------------------------


def test_locked(sqlite: Labels, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "WAIT_S", 0.2)
    impatient = Labels(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sent = event("mine")
    with pytest.raises(LabelsUnavailable, match="another program has held the database for too long"):
        impatient.add([sent])
    assert len(impatient.since(0)) == 1, "who reads does not wait for who writes"
    other.execute("ROLLBACK")
    assert impatient.add([sent])[0].text == "mine", "the same once it is free"
    impatient.close()


def test_read_only(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="labels-") as folder:  # pytest's own are closed to other users
        os.chmod(folder, 0o755)
        file = Path(folder) / "labels.sqlite"
        made = Labels(f"sqlite:///{file}")
        made.add([event("before")])
        made.close()
        file.chmod(0o444)
        Path(folder).chmod(0o555)
        with unprivileged(), pytest.raises(LabelsUnavailable, match=r"may not be written|cannot be opened") as told:
            Labels(f"sqlite:///{file}").add([event("after")])
        assert str(file) in str(told.value)
        Path(folder).chmod(0o755)
        assert [one.text for one in Labels(f"sqlite:///{file}").since(0)] == ["before"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnavailable, match=r"cannot be opened\. Check that its folder exists"):
        Labels(f"sqlite:///{tmp_path}/nowhere/labels.sqlite")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnavailable, match="cannot be opened"):
        Labels(f"sqlite:///{tmp_path}")


def test_full(sqlite: Labels, file: Path) -> None:
    """A bound on the pages of the file says what a full disk says."""
    with sqlite._engine.connect() as connection:  # the pool's one connection, which `add` takes next
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    kept = 1
    with pytest.raises(LabelsUnavailable, match=r"the disk is full\. Free some space and save again"):
        for _ in range(100):
            sqlite.add([event("x" * 2_000)])
            kept += 1
    assert 1 < kept < 100
    with pytest.raises(LabelsUnavailable):
        sqlite.add([event("x" * 2_000) for _ in range(10)])
    assert sqlite.count() == kept, "half a call is not kept"
    with sqlite._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    sqlite.add([event("there is room again")])
    assert sqlite.count() == kept + 1


@pytest.mark.parametrize("damage", ["text", "header", "pages"])
def test_damaged(sqlite: Labels, file: Path, damage: str) -> None:
    sqlite.add([event(f"{i} " * 300) for i in range(200)])
    sqlite.close()
    data = bytearray(file.read_bytes())
    if damage == "text":
        data = bytearray(b"these are my notes, not a database\n" * 100)
    elif damage == "header":
        data[:16] = bytes(16)
    else:
        data[4096 * 3 :] = os.urandom(len(data) - 4096 * 3)
    file.write_bytes(data)
    with pytest.raises(LabelsUnavailable, match="this file is damaged, or no database of labels"):
        Labels(f"sqlite:///{file}").since(0)
    assert file.read_bytes() == data, "what may be repaired is not written over"


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_deleted_or_replaced_while_open(sqlite: Labels, file: Path, how: str) -> None:
    """Unnoticed, everything would go into a file that has no name any more."""
    moved = file.with_name("moved")
    file.rename(moved)
    if how == "replaced":
        shutil.copyfile(moved, file)
    for ask in (lambda: sqlite.add([event("lost?")]), lambda: sqlite.since(0)):
        with pytest.raises(LabelsUnavailable, match=r"was deleted, moved or replaced .* Put the file back"):
            ask()
    moved.rename(file)
    sqlite.add([event("back")])
    assert [one.text for one in sqlite.since(0)] == ["before", "back"]


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def test_the_server_listens_on_the_loopback_only(postgres_server: str) -> None:
    with psycopg.connect(postgres_server) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)


def test_locked_server(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "WAIT_S", 1)
    url = postgres.fresh(postgres_server)
    labels = Labels(url)
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (0x756E6974,))
        with pytest.raises(LabelsUnavailable, match="another program has held the database for too long"):
            labels.add([event()])
    assert labels.add([event()])
    labels.close()


def test_a_server_that_goes_and_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("going")
    with postgres.server(folder / "server") as url:
        labels = Labels(url)
        labels.add([event("before")])
        with psycopg.connect(url, autocommit=True) as other:  # as a restart does to connections
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert labels.add([event("after")])[0].seq > 1
    with pytest.raises(LabelsUnavailable, match="the database server does not answer"):
        labels.add([event("gone")])
    with pytest.raises(LabelsUnavailable, match="the database server does not answer"):
        Labels(url)
    labels.close()


def test_what_the_server_refuses(postgres_server: str) -> None:
    url = postgres.fresh(postgres_server)
    Labels(url).close()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS reader")
        owner.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
        owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    host = url.split("@")[1]
    labels = Labels(f"postgresql://reader:secret@{host}")
    with pytest.raises(LabelsUnavailable, match="may not be written") as told:
        labels.add([event()])
    assert "secret" not in str(told.value) and labels.count() == 0
    labels.close()
    for wrong, words in ((f"nobody:secret@{host}", "refused this user"), (f"{host.rsplit('/', 1)[0]}/none", "no such")):
        with pytest.raises(LabelsUnavailable, match=words) as told:
            Labels(f"postgresql://{'' if '@' in wrong else 'postgres@'}{wrong}")
        assert "secret" not in str(told.value)


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["rubbish", "mysql://me:secret@h/d", "postgresql://me:secret@h:port/d", "sqlite://", "sqlite:///:memory:",
     "sqlite:///x?mode=ro", "postgresql+asyncpg://me:secret@h/d", ""],
)  # fmt: skip
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(LabelsUnavailable, match="DATABASE_URL must be like") as told:
        Labels(url)
    assert "secret" not in str(told.value)


def test_from_a_newer_version(labels: Labels, labels_url: str) -> None:
    labels.add([event("before")])
    with labels._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LabelsUnavailable, match=r"newer version of this program \(tables 9999\)\. Update the program"):
        Labels(labels_url)
    with labels._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    again = Labels(labels_url)
    assert again.count() == 1
    again.close()


def test_another_program_s_tables_are_left_alone(labels_url: str) -> None:
    made = connect.connect(labels_url)
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE events (what VARCHAR(20))")
        connection.exec_driver_sql("INSERT INTO events VALUES ('theirs')")
    with pytest.raises(LabelsUnavailable, match="events"):
        Labels(labels_url)
    with made.connect() as connection:
        assert connection.exec_driver_sql("SELECT what FROM events").scalars().all() == ["theirs"]
    made.dispose()


def test_kill_9_in_the_middle_of_saves(labels: Labels, labels_url: str) -> None:
    """Every acknowledged event is there, each once; one that was being saved is there whole or not at all."""
    acknowledged: list[str] = []
    for i, delay in enumerate((0.02, 0.1, 0.25)):
        command = [sys.executable, "-m", "tests.labels_writer", labels_url, f"name {i}", "100000"]
        worker = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True)
        assert worker.stdout is not None and worker.stdin is not None
        assert worker.stdout.readline() == "ready\n"
        worker.stdin.write("go\n")
        worker.stdin.flush()
        acknowledged.append(worker.stdout.readline().strip())
        time.sleep(delay)
        worker.send_signal(signal.SIGKILL)
        acknowledged += [line for line in worker.stdout.read().split() if len(line) == 32]
        worker.stdin.close()
        worker.wait()
    stored = [one.key for one in labels.since(0)]
    assert len(set(stored)) == len(stored) and set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + 3, "at most one of each was stored and not yet said"
    for i in range(3):
        texts = [int(one.text) for one in labels.since(0) if one.annotator == f"name {i}"]
        assert texts == list(range(len(texts))) and texts
    labels.add([event("the next one is saved")])
    if labels_url.startswith("sqlite"):
        with sqlite3.connect(labels_url.removeprefix("sqlite:///")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_ledger_survives_trouble(sqlite: Labels, file: Path) -> None:
    ledger = Ledger(sqlite, BUNDLE)
    ledger.refresh()
    moved = file.rename(file.with_name("moved"))
    with pytest.raises(LabelsUnavailable):
        ledger.refresh()
    assert len(ledger.all()) == 1, "what it knows it can still say"
    moved.rename(file)
    sqlite.add([event("more", of="L0.H0")])
    ledger.refresh()
    assert len(ledger.all()) == 2
