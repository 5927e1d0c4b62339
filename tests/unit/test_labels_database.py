"""Events on disk, on SQLite and on PostgreSQL alike: nothing lost, nothing twice, everything in order."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from core.errors import LabelRejected
from core.labels.database import Labels, _row, default_url
from core.labels.events import checked
from core.labels.tables import EVENTS, METADATA
from tests.labels_maker import BUNDLE, MODEL, event, many, undo

ROOT = Path(__file__).parents[2]


def test_what_is_stored_comes_back(labels: Labels) -> None:
    wild = "<script>alert('x')</script> \"; DROP TABLE events; -- %s 🐕‍🦺 日本語 \\ = 'ok'"
    sent = event(
        wild, by="O'Brien 🦉", tags=("a, b", "|", "🐕"), confidence=1 / 3, evidence={"plus": [1, 2], "é": {"x": None}},
        automatic=wild, reason=wild, queue=wild, blind=True,
    )  # fmt: skip
    before = time.time_ns() // 1000
    (stored,) = labels.add([sent])
    assert before <= stored.at <= time.time_ns() // 1000 and stored.seq == 1
    assert replace(stored, seq=0, at=0) == checked(sent)
    assert labels.since(0) == labels.history(BUNDLE, "L1.N3") == [stored] == list(labels.by_key([sent.key]).values())


def test_the_longest_of_everything_fits(labels: Labels) -> None:
    """SQLite takes any width and PostgreSQL none above its columns': `checked` must know them all."""
    of = f"{'m' * 100}:{'l' * 40}.N9999999"
    sent = event(
        "🐕" * 2_000, by="🐕" * 80, of=of, end="", bundle="🐕" * 80, model="m" * 64, queue="🐕" * 200,
        reason="🐕" * 2_000, automatic="🐕" * 4_000, tags=tuple(f"{i:080}" for i in range(20)), kind="adjudicate",
    )  # fmt: skip
    (stored,) = labels.add([sent])
    assert replace(stored, seq=0, at=0) == sent


def test_sending_twice_stores_once(labels: Labels) -> None:
    one, other = event("a"), event("b")
    first = labels.add([one, other, one])
    assert [stored.seq for stored in first] == [1, 2, 1]
    assert labels.add([one]) == first[:1] and labels.add([other, event("c")])[0] == first[1]
    assert labels.count() == 3


def test_a_key_with_other_words_is_refused_and_nothing_of_that_call_is_stored(labels: Labels) -> None:
    one = event("a")
    labels.add([one])
    with pytest.raises(LabelRejected, match="saved already with other words: ann said 'a' of L1"):
        labels.add([event("new"), replace(one, text="b")])
    assert [stored.text for stored in labels.since(0)] == ["a"]
    assert labels.add([replace(one, evidence={"more": 1})])[0].text == "a", "what was shown is no other word"


def test_all_or_none(labels: Labels) -> None:
    with pytest.raises(LabelRejected):
        labels.add([event("good"), event("")])
    assert labels.count() == 0 and labels.add([]) == []


def test_a_later_word_is_later_whatever_the_clock_says(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = labels.add([event("first")])
    monkeypatch.setattr(time, "time_ns", lambda: (first.at - 3_600_000_000) * 1000)
    second, third = labels.add([event("second"), event("third")])
    assert first.at < second.at < third.at
    (other,) = labels.add([event("other", by="bob")])
    assert other.at == first.at - 3_600_000_000, "of another annotator it is no matter"


def test_times_of_another_desk_are_kept(labels: Labels) -> None:
    (stored,) = labels.add([event(at=1_700_000_000_000_000)], keep_times=True)
    assert stored.at == 1_700_000_000_000_000


def test_since_history_and_counts(labels: Labels) -> None:
    stored = labels.add(
        [event("a"), event("b", bundle="other"), event("c", by="bob", of="L0.H1"), event("d", by="bob")]
    )
    assert [one.text for one in labels.since(2)] == ["c", "d"]
    assert [one.text for one in labels.since(1, BUNDLE)] == ["c", "d"] and not labels.since(4)
    assert labels.history(BUNDLE, "L1.N3") == [stored[0], stored[3]]
    assert list(labels.annotators().items()) == [("ann", 2), ("bob", 2)]
    assert labels.bundles() == {BUNDLE: 3, "other": 1} and labels.count() == 4


def test_labels_outlive_a_rebuilt_bundle(labels: Labels) -> None:
    old = {"bundle": "old-bundle"}
    taken_back, kept = event("wrong", **old), event("dogs", by="bob", **old)
    decided = event("dog", kind="adjudicate", reason="all say so", **old)
    labels.add(
        [
            *(event("first", **old), taken_back, undo(taken_back, model=""), kept, decided, event("here")),
            *(event("other model", model="0" * 64, **old), event("other unit", of="L1.N4", **old)),
            *(event(kind="unsure", by="cat", **old), event("older", bundle="oldest")),
        ]
    )
    assert [one.text for one in labels.elsewhere(MODEL, BUNDLE, "L1.N3")] == ["first", "dogs", "dog", "older"]
    assert labels.elsewhere("", BUNDLE, "L1.N3") == [] == labels.elsewhere(MODEL, BUNDLE, "L7.N7")


def test_many_threads_at_once(labels: Labels) -> None:
    def write(name: str) -> list[str]:
        return [labels.add([event(str(i), by=name)])[0].key for i in range(25)]

    with ThreadPoolExecutor(8) as pool:
        keys = [key for keys in pool.map(write, (f"name {n}" for n in range(8))) for key in keys]
    check_whole(labels, keys, 8, 25)


def test_several_processes_at_once_from_no_database_on(labels_url: str) -> None:
    """They also race to make the tables."""
    command = [sys.executable, "-m", "tests.labels_writer", labels_url]
    workers = [
        subprocess.Popen([*command, f"name {n}", "50"], cwd=ROOT, stdin=-1, stdout=-1, stderr=-1, text=True)
        for n in range(4)
    ]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, said
    keys = [key for out, _ in said for key in out.split()[1:]]
    labels = Labels(labels_url)
    check_whole(labels, keys, 4, 50)
    labels.close()


def check_whole(labels: Labels, acknowledged: list[str], names: int, each: int) -> None:
    """Every acknowledged event is there once, and each annotator's in their order."""
    events = labels.since(0)
    assert sorted(one.key for one in events) == sorted(acknowledged) and len(events) == names * each
    for n in range(names):
        own = [one for one in events if one.annotator == f"name {n}"]
        assert [one.text for one in own] == [str(i) for i in range(each)]
        assert all(a.at < b.at for a, b in pairwise(own))


def test_a_reader_misses_nothing_below_what_it_has_seen(labels: Labels) -> None:
    """Numbers become visible in their order, though eight write at once."""
    seen: list[int] = []
    with ThreadPoolExecutor(9) as pool:
        writing = [pool.submit(lambda n=n: [labels.add([event(by=f"{n}")]) for _ in range(20)]) for n in range(8)]
        while len(seen) < 160:
            new = [one.seq for one in labels.since(seen[-1] if seen else 0)]
            seen += new
            if not new and all(task.done() for task in writing):
                seen += [one.seq for one in labels.since(seen[-1] if seen else 0)]
                break
    [task.result() for task in writing]
    assert seen == [one.seq for one in labels.since(0)] and len(seen) == 160


def test_who_comes_second_is_numbered_and_seen_second(labels: Labels, labels_url: str) -> None:
    """Of two processes: the one whose number is lower is seen first, or a reader would miss it."""
    other = Labels(labels_url)  # with a lock of its own, as another process has
    with ThreadPoolExecutor(1) as pool:
        with labels._write() as opened:
            opened.execute(sa.insert(EVENTS), _row(event("first")))
            second = pool.submit(other.add, [event("second")])
            with pytest.raises(TimeoutError):
                second.result(0.5)
            assert other.since(0) == []
        assert second.result(30)[0].seq == 2
    assert [one.text for one in other.since(0)] == ["first", "second"]
    other.close()


def test_migrations_make_the_tables_that_the_code_describes(labels: Labels) -> None:
    with labels._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        found = {index["name"]: index["column_names"] for index in sa.inspect(connection).get_indexes("events")}
    wanted = {index.name: [column.name for column in index.columns] for index in EVENTS.indexes}
    assert {name: columns for name, columns in found.items() if name in wanted} == wanted


def test_what_is_new_of_a_bundle_is_found_without_reading_the_others(labels: Labels) -> None:
    """By the database's own plan, so that no clock is needed."""
    labels.add([*many(300, 50, bundle="big"), event("one")])
    query = sa.select(EVENTS).where(EVENTS.c.seq > 0, EVENTS.c.bundle == BUNDLE).order_by(EVENTS.c.seq)
    compiled = str(query.compile(labels._engine, compile_kwargs={"literal_binds": True}))
    with labels._engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")  # which it prefers while the table is small
            plan = connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars().all()
        else:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
    assert any("events_bundle" in line for line in plan), plan


def test_default_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert default_url(tmp_path / "bundles") == f"sqlite:///{tmp_path / 'labels.sqlite'}"
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    assert default_url(tmp_path) == "postgresql://h/d"
