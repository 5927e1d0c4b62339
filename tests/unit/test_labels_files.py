"""Labels out to files and in again: nothing lost on the way, malformed files refused as a whole, repeats harmless."""

import csv
import datetime as dt
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import LabelRejected, LabelsUnavailable
from core.labels import files
from core.labels.__main__ import main
from core.labels.database import Labels
from core.labels.files import FORMATS, export, plan, read, take
from core.labels.ledger import Ledger
from tests.labels_maker import BUNDLE, event, many, undo

AT = 1_763_740_000_123_456  # 2025-11-21T15:46:40.123456Z


def cells(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.fixture
def desk(tmp_path: Path) -> Labels:
    """A desk with a history of every kind."""
    made = Labels(f"sqlite:///{tmp_path / 'desk.sqlite'}")
    first, second = (
        event("dogs", confidence=0.5, tags=("x",), evidence={"plus": [1]}),
        event("wolves | =1+1", by="Ünal 🐕"),
    )
    decision = event("dogs", kind="adjudicate", reason="the ears", by="chair")
    made.add(
        [first, second, event("cats", of="demo-vit:L3.N17", end="", bundle="rosetta-1"), event(kind="skip", of="L0.H0")]
    )
    made.add([event("oh no"), decision, event(kind="uninterpretable", of="L0.H1", blind=True)])
    made.add([undo(made.since(4)[0]), event("more", of="L0.H2", automatic="a, b", queue="by importance")])
    return made


@pytest.fixture
def empty(tmp_path: Path) -> Labels:
    return Labels(f"sqlite:///{tmp_path / 'empty.sqlite'}")


def standings(labels: Labels, bundle: str) -> dict:
    ledger = Ledger(labels, bundle)
    ledger.refresh()
    plain = lambda one: one and replace(one, seq=0)
    return {
        about: ({name: plain(word) for name, word in one.by.items()}, plain(one.adjudication), one.state)
        for about, one in ledger.all().items()
    }


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_desk_finds_the_same(desk: Labels, empty: Labels, format: str) -> None:
    events = read(export(desk.since(0), format), f"labels.{format}")
    assert events == desk.since(0)
    found = plan(empty, events)
    assert (found.new, found.known, found.conflicts) == (tuple(events), (), ()) and empty.count() == 0
    assert take(empty, found) == 9 and take(empty, found) == 0
    assert empty.since(0) == desk.since(0), "order, times and keys too"
    for bundle in (BUNDLE, "rosetta-1"):
        assert standings(empty, bundle) == standings(desk, bundle) != {}
    again = plan(empty, events)
    assert (again.new, again.known, again.conflicts) == ((), tuple(events), ()) and take(empty, again) == 0


def test_both_databases_take_an_import(labels: Labels) -> None:
    events = [replace(one, at=AT + i) for i, one in enumerate(many(600, 30))]
    assert take(labels, plan(labels, events)) == 600
    assert [replace(one, seq=0) for one in labels.since(0)] == events


def test_conflicts_are_shown_and_nothing_is_overwritten(desk: Labels, empty: Labels) -> None:
    """Of two desks that labelled the same ends apart."""
    here = empty.add([event("cows", by="dan"), event("DOGS", by="eve"), event("cats", by="eve", of="L0.H2")])
    before = desk.since(0)
    found = plan(empty, before)
    told = {(theirs.annotator, theirs.text, ours.annotator, ours.text) for theirs, ours in found.conflicts}
    assert told == {
        ("ann", "dogs", "dan", "cows"), ("chair", "dogs", "dan", "cows"), ("ann", "more", "eve", "cats"),
        ("Ünal 🐕", "wolves | =1+1", "dan", "cows"), ("Ünal 🐕", "wolves | =1+1", "eve", "DOGS"),
    }  # fmt: skip
    assert found.differing == found.conflicts and not found.altered
    assert take(empty, found) == len(before) and empty.since(0)[:3] == here
    assert empty.since(3) and standings(empty, BUNDLE)["L0.H2", "+"][2] == "disputed"


def test_undone_and_replaced_labels_are_no_conflict(empty: Labels) -> None:
    empty.add([event("cows", by="dan")])
    wrong = event("wrong", at=AT)
    assert not plan(empty, [wrong, undo(wrong, at=AT + 1), event("COWS", at=AT + 2)]).conflicts


def test_a_file_changed_by_hand(desk: Labels) -> None:
    """The same key with other words: what was saved stays, and both are shown."""
    stored = desk.since(0)
    found = plan(desk, [replace(stored[0], text="changed"), stored[1]])
    assert [(a.text, b.text) for a, b in found.altered] == [("changed", "dogs")] and not found.differing
    assert found.known == (stored[1],) and found.new == () and take(desk, found) == 0 and desk.since(0) == stored


def test_an_import_that_fails_leaves_nothing(empty: Labels) -> None:
    events = [event(str(i), at=AT + i) for i in range(20)]
    found = plan(empty, events)
    empty.add([replace(events[10], text="meanwhile")])  # somebody else, between plan and take
    with pytest.raises(LabelRejected, match="saved already with other words"):
        take(empty, found)
    assert empty.count() == 1
    with empty._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(LabelsUnavailable, match="disk is full"):
        take(empty, plan(empty, [event("x" * 2_000, at=AT) for _ in range(50)]))
    assert empty.count() == 1


# --- the forms --------------------------------------------------------------------------------------------------------


def test_the_columns_of_a_row() -> None:
    one = replace(event("dogs", tags=("a", "b"), evidence={"plus": [1]}, automatic="x", confidence=0.25), seq=7, at=AT)
    (row,) = cells(export([one], "csv", lambda event: {"pearson": 0.5, "f1": 0.25}))
    assert row == {
        "annotator": "ann", "at": "2025-11-21T15:46:40.123456Z", "method": "by hand", "score_pearson": "0.5",
        "score_f1": "0.25", "bundle": BUNDLE, "address": "L1.N3", "end": "+", "kind": "label", "text": "dogs",
        "tags": '["a", "b"]', "confidence": "0.25", "evidence": '{"plus": [1]}', "automatic": "x", "reason": "",
        "undoes": "", "model": "f" * 64, "queue": "", "blind": "false", "key": one.key, "seq": "7",
    }  # fmt: skip
    line = json.loads(export([one], "jsonl", lambda event: None))
    assert line["tags"] == ["a", "b"] and line["evidence"] == {"plus": [1]} and line["undoes"] is None
    assert list(line) == [name for name in row if not name.startswith("score_")] and line["at"] == row["at"]
    table = pq.read_table(io.BytesIO(export([one], "parquet", lambda event: {"pearson": 0.5})))
    assert table.column_names == [name for name in row if name != "score_f1"]
    assert table["at"][0].as_py() == dt.datetime(2025, 11, 21, 15, 46, 40, 123456, dt.UTC)
    assert table["score_pearson"].to_pylist() == [0.5] and table["tags"].to_pylist() == [["a", "b"]]


def test_scores_of_some(desk: Labels) -> None:
    score = lambda event: {"f1": 0.5} if event.text == "dogs" else None
    for format in FORMATS:
        assert read(export(desk.since(0), format, score), "x") == desk.since(0)
    assert [row["score_f1"] for row in cells(export(desk.since(0), "csv", score))].count("0.5") == 2


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "'=1", "''", "'twas", "'", "=cmd|' /C calc'!A0"]
)
def test_no_cell_is_a_formula_and_every_text_comes_back(text: str) -> None:
    data = export([event(text, by=text, queue=text, automatic=text, at=AT)], "csv")
    (row,) = cells(data)
    for name in ("text", "annotator", "queue", "automatic"):
        assert not row[name].startswith(tuple("=+-@＝")), row[name]
    (found,) = read(data, "labels.csv")
    assert (found.text, found.annotator, found.queue, found.automatic) == (text,) * 4
    (line,) = (json.loads(export([event(text, at=AT)], "jsonl")),)
    assert line["text"] == text, "where nothing calculates nothing is changed"


def test_csv_as_spreadsheets_save_it() -> None:
    one = event('a "quoted", long; text', at=AT, tags=("x",))
    plain = export([one], "csv").decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(plain, newline="")))
    for delimiter in ";\t":
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
        assert read(out.getvalue().encode(), "labels.csv") == [one], "without a byte order mark too"
    assert read(plain.replace("false", "FALSE").encode("utf-8-sig") + b"\r\n\r\n", "labels.csv") == [one]


# --- malformed --------------------------------------------------------------------------------------------------------


def refused(data: bytes, name: str = "labels.csv") -> str:
    with pytest.raises(LabelRejected) as told:
        read(data, name)
    return str(told.value)


def test_malformed_rows_are_named_by_their_lines() -> None:
    good = [event(str(i), at=AT + i, evidence={"x": "a"}) for i in range(6)]
    rows = list(csv.reader(io.StringIO(export(good, "csv").decode("utf-8-sig"), newline="")))
    column = {name: i for i, name in enumerate(rows[0])}
    rows[1][column["queue"]] = "two\nlines"  # so that lines and rows are told apart
    rows[2][column["at"]] = "yesterday"
    rows[3][column["text"]] = "x" * 10_000
    rows[4].append("one too many")
    rows[5][column["evidence"]] = "{"
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    said = refused(out.getvalue().encode())
    assert said.startswith("4 of 6 rows of labels.csv cannot be read, so nothing was imported.")
    for words in (
        "line 4: at is 'yesterday'; it is a time with its zone",
        "line 5: The label has 10,000 characters",
        f"line 6: it has {len(rows[0]) + 1} cells, and the header {len(rows[0])}",
        "line 7: evidence is '{', which is no JSON",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at": None}, "line 1: it has no at"),
        ({"key": "", "kind": None}, "line 1: it has no kind and no key"),
        ({"at": "2025-11-21T15:46:40"}, "a time with its zone"),
        ({"at": "2999-01-01T00:00:00Z"}, "has not come yet"),
        ({"at": 5}, "at is '5'"),
        ({"address": "H7; x"}, "not the address of a unit"),
        ({"text": 5}, "text is '5', which is no text"),
        ({"kind": "rename"}, "'rename' is no kind"),
        ({"confidence": "high"}, "confidence is 'high'"),
        ({"confidence": True}, "confidence is 'True'"),
        ({"confidence": 7}, "between 0 and 1"),
        ({"tags": "a"}, "tags is 'a', which is no JSON"),
        ({"tags": [1]}, "tags are a list"),
        ({"evidence": []}, "no JSON object"),
        ({"evidence": [1]}, "no JSON object"),
        ({"blind": "perhaps"}, "blind is 'perhaps'"),
        ({"undoes": "0" * 32}, "no other event does"),
        ({"key": "1e31"}, "32 hexadecimal digits"),
        ({"seq": "many", "unknown": {}}, None),
    ],
)
def test_malformed_values(changes: dict, words: str | None) -> None:
    row = json.loads(export([event(at=AT)], "jsonl")) | changes
    data = json.dumps(row).encode()
    if words is None:
        assert len(read(data, "labels.jsonl")) == 1
    else:
        assert words in refused(data, "labels.jsonl")


def test_malformed_files() -> None:
    one = event(at=AT)
    jsonl, parquet = export([one], "jsonl"), export([one], "parquet")
    assert "is empty" in refused(b"") and "is empty" in refused(b" \n ")
    assert "line 2: it is no JSON" in refused(jsonl + jsonl[:40], "x.jsonl")
    assert "line 2: it is no JSON (NaN is no number" in refused(jsonl + b'{"confidence": NaN}')
    assert "line 2: it is no JSON" in refused(jsonl + b"[" * 100_000)
    assert "line 2: it is no JSON object" in refused(jsonl + b"[1]")
    assert "line 2: it is no JSON" in refused(jsonl + b'{"seq": ' + b"9" * 10_000 + b"}")
    assert "damaged Parquet" in refused(parquet[:-30]) and "damaged Parquet" in refused(parquet[:200] + parquet[300:])
    assert "no labels in it" in refused(export([], "csv")) and "no labels in it" in refused(export([], "parquet"))
    assert "names the columns" in refused(b"<html><body>Sign in</body></html>")
    assert "names the columns" in refused(b"annotator,key,address,key\n")
    assert "line 2: this is not UTF-8" in refused(export([one], "csv") + "ä".encode("latin-1"))
    assert "is a workbook" in refused(b"PK\x03\x04 and so on", "labels.xlsx")
    assert "line 2: this is no CSV" in refused(b'annotator,key,address\n"open')
    assert "line 2: this is no CSV" in refused(b"annotator,key,address\n" + b"x" * 200_000)
    assert "row 1: it has no annotator" in refused(_parquet({"text": ["x"]}))
    with pytest.raises(LabelRejected, match="There is no format 'xlsx'"):
        export([one], "xlsx")


def test_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [event(at=AT), event(at=AT)]
    monkeypatch.setattr(files, "MAX_ROWS", 1)
    assert "more than 1 rows" in refused(export(two, "csv"))
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    assert "at most 100 are read" in refused(export(two, "csv"))
    monkeypatch.setattr(files, "MAX_BYTES", 10_000)
    bomb = _parquet({"annotator": ["x" * 100_000]})
    assert len(bomb) < 10_000 and "unpacks to more" in refused(bomb)


def test_repeats_within_a_file() -> None:
    one = event(at=AT)
    assert read(export([one, one], "csv"), "x") == [one]
    assert "line 3: the same key came before with other words" in refused(export([one, replace(one, text="b")], "csv"))


def _parquet(columns: dict) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


# --- the command line -------------------------------------------------------------------------------------------------


def test_command_line(desk: Labels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (["--database", f"sqlite:///{tmp_path / name}.sqlite"] for name in ("desk", "second"))
    for format in FORMATS:
        file = tmp_path / f"labels.{format}"
        assert main([*first, "export", str(file)]) == 0 and read(file.read_bytes(), file.name) == desk.since(0)
    assert main([*first, "export", str(file), "--bundle", "none"]) == 1
    assert f"Nothing was said of none in {tmp_path}/desk.sqlite. It has events of: {BUNDLE} (8), rosetta-1 (1)" in (
        capsys.readouterr().err
    )
    assert main([*second, "import", str(file), "--dry-run"]) == 0 and "9 new events, 0 known" in capsys.readouterr().out
    other = Labels(second[1])
    other.add([event("cows", by="dan")])
    assert other.count() == 1
    assert main([*second, "import", str(file)]) == 0
    said = capsys.readouterr().out
    assert "Labelled otherwise here; both are kept:\n  L1.N3+ ann: 'dogs'\n    here: L1.N3+ dan: 'cows'" in said
    assert "9 new events stored, 0 known already" in said
    assert main([*second, "import", str(file)]) == 0 and "0 new events stored, 9 known" in capsys.readouterr().out
    assert main([*second, "migrate"]) == 0 and "up to date, with 10 events" in capsys.readouterr().out
    file.write_bytes(b"x")
    for words in (["import", str(file)], ["import", str(tmp_path / "none")], ["export", str(tmp_path / "x.doc")]):
        assert main([*second, *words]) == 1 and capsys.readouterr().err.startswith("error: ")
    assert main(["--database", "mysql://x", "migrate"]) == 1 and other.count() == 10
