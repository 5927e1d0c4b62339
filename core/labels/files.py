"""Labels as files, out and in: CSV for spreadsheets, JSONL, Parquet. Every event is a row, undone ones too.

Reading tells the format by content. What `export` wrote comes back the same, at the same times, with the same keys, so
the same file may come twice; a file with anything malformed in it is refused as a whole, with line numbers.

CSV is UTF-8 with a byte order mark, without which spreadsheets garble other letters than English ones. A cell that a
spreadsheet would take for a formula (=, +, -, @ and their wide forms, tab, return) has an apostrophe put before it;
so has one that already begins with an apostrophe before one of these, so that taking one away restores every text.
"""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import LabelRejected
from core.labels.database import Labels
from core.labels.events import Event, evidence_json, said
from core.labels.fold import Fold, Standing, same
from core.labels.rows import event_of

FORMATS = ("csv", "jsonl", "parquet")
METHOD = "by hand"
SCORE = "score_"
"""Before the names of what `score` gives."""
MAX_ROWS, MAX_BYTES = 1_000_000, 2**28
_AFTER = (
    "bundle", "address", "end", "kind", "text", "tags", "confidence", "evidence", "automatic", "reason", "undoes",
    "model", "queue", "blind", "key", "seq",
)  # fmt: skip
_FORMULA = tuple("=+-@\t\r＝＋－＠")
_UTC = dt.UTC
Scorer = Callable[[Event], Mapping[str, float] | None]


@dataclass(frozen=True)
class Import:
    """What a file would add. `new` is what will be stored, in order of time; `known` is stored already.

    `conflicts` are pairs (of the file, of this desk): an event with the key of one that is stored, but other content,
    which will not be stored; and, those also in `differing`, a new label that stands in the file on an end that
    somebody here labelled otherwise, which will be stored beside it.
    """

    new: tuple[Event, ...]
    known: tuple[Event, ...]
    conflicts: tuple[tuple[Event, Event], ...]

    @property
    def differing(self) -> tuple[tuple[Event, Event], ...]:
        """The conflicts of two labels of one end. Both are kept."""
        return tuple(pair for pair in self.conflicts if pair[0].key != pair[1].key)

    @property
    def altered(self) -> tuple[tuple[Event, Event], ...]:
        """The conflicts of content under one key: the file was changed by hand. Only the one stored here is kept."""
        return tuple(pair for pair in self.conflicts if pair[0].key == pair[1].key)


# --- out --------------------------------------------------------------------------------------------------------------


def export(events: Sequence[Event], format: str, score: Scorer | None = None) -> bytes:
    """A file of these events, one row each, all fields, in the order given. `score` adds columns `score_NAME`, empty
    where it gives None or nothing of that name. LabelRejected for another format than FORMATS."""
    if format not in FORMATS:
        raise LabelRejected(f"There is no format {format[:20]!r}; there are {', '.join(FORMATS)}.")
    scores = [dict(score(event) or {}) for event in events] if score else [{} for _ in events]
    names = list(dict.fromkeys(name for given in scores for name in given))
    rows = (_row(event, {name: given.get(name) for name in names}) for event, given in zip(events, scores, strict=True))
    if format == "csv":
        return _csv(rows, names)
    return _jsonl(rows) if format == "jsonl" else _parquet(list(rows), names)


def _row(event: Event, scores: Mapping[str, float | None]) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in _AFTER}
    values |= {"tags": list(event.tags), "evidence": dict(event.evidence)}
    when = dt.datetime.fromtimestamp(0, _UTC) + dt.timedelta(microseconds=event.at)  # exact, which floats are not
    head = {"annotator": event.annotator, "at": when, "method": METHOD}
    return head | {SCORE + name: value for name, value in scores.items()} | values


def _iso(when: dt.datetime) -> str:
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _columns(names: Sequence[str]) -> list[str]:
    return ["annotator", "at", "method", *(SCORE + name for name in names), *_AFTER]


def _csv(rows: Iterator[dict[str, Any]], names: Sequence[str]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_columns(names))
    for row in rows:
        row |= {"at": _iso(row["at"]), "blind": "true" if row["blind"] else "false"}
        row |= {"tags": json.dumps(row["tags"], ensure_ascii=False) if row["tags"] else ""}
        row |= {"evidence": evidence_json(row["evidence"]) if row["evidence"] else ""}
        writer.writerow([_guarded(name, value) for name, value in row.items()])
    return out.getvalue().encode("utf-8-sig")


def _guarded(name: str, value: Any) -> Any:
    if name == "end" or not isinstance(value, str):  # a sign alone is no formula
        return value
    risky = value.startswith(_FORMULA) or (value[:1] == "'" and value[1:].startswith((*_FORMULA, "'")))
    return f"'{value}" if risky else value


def _unguarded(value: str) -> str:
    return value[1:] if value[:1] == "'" and value[1:].startswith((*_FORMULA, "'")) else value


def _jsonl(rows: Iterator[dict[str, Any]]) -> bytes:
    lines = (json.dumps(row | {"at": _iso(row["at"])}, ensure_ascii=False) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> bytes:
    kinds = {"at": pa.timestamp("us", "UTC"), "tags": pa.list_(pa.string()), "confidence": pa.float64()}
    kinds |= {"blind": pa.bool_(), "seq": pa.int64()} | {SCORE + name: pa.float64() for name in names}
    form = pa.schema([(name, kinds.get(name, pa.string())) for name in _columns(names)])
    flat = [row | {"evidence": evidence_json(row["evidence"])} for row in rows]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(flat, form), out, compression="zstd")
    return out.getvalue()


# --- in ---------------------------------------------------------------------------------------------------------------


def read(data: bytes, name: str) -> list[Event]:
    """The events of a file, in order of time, each once. `name` is for messages. LabelRejected, with the numbers of the
    lines (of a Parquet file, rows) that are malformed; then nothing of it is to be used."""
    if not data.strip():
        raise LabelRejected(f"{name[:80]} is empty. Export labels again as CSV, JSONL or Parquet.")
    if len(data) > MAX_BYTES:
        raise LabelRejected(f"{name[:80]} has {len(data):,} bytes; at most {MAX_BYTES:,} are read. Export in parts.")
    found: dict[str, Event] = {}
    problems: list[str] = []
    count = 0
    for count, (place, values) in enumerate(_rows(data, name), 1):
        if count > MAX_ROWS:
            raise LabelRejected(f"{name[:80]} has more than {MAX_ROWS:,} rows. Export in parts.")
        try:
            if isinstance(values, str):
                raise LabelRejected(values)
            event = event_of(values)
            if said(found.setdefault(event.key, event)) != said(event):
                raise LabelRejected("the same key came before with other words")
        except LabelRejected as error:
            problems.append(f"{place}: {error}")
    if problems:
        more = f"\nand {len(problems) - 10:,} more." if len(problems) > 10 else ""
        raise LabelRejected(
            f"{len(problems):,} of {count:,} rows of {name[:80]} cannot be read, so nothing was imported.\n"
            + "\n".join(problems[:10])
            + more
        )
    if not found:
        raise LabelRejected(f"{name[:80]} has no labels in it: nothing to import.")
    return sorted(found.values(), key=lambda event: (event.at, event.seq, event.key))


def _rows(data: bytes, name: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Where each row is, and its values, or what is wrong with it."""
    if data.startswith(b"PAR1"):
        yield from _parquet_rows(data, name)
        return
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise LabelRejected(f"{name[:80]} is a workbook. Save it from the spreadsheet as “CSV UTF-8” and import that.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabelRejected(
            f"{name[:80]}, line {line:,}: this is not UTF-8 text. In a spreadsheet save it as “CSV UTF-8”."
        ) from None
    yield from _jsonl_rows(text) if text.lstrip().startswith("{") else _csv_rows(text, name)


def _csv_rows(text: str, name: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise LabelRejected(
                f"{name[:80]}, line {line:,}: this is no CSV from here on ({error}). Nothing was imported."
            ) from None
        if cells is None:
            return
        if not header:
            header = [cell.strip() for cell in cells]
            if not {"annotator", "key", "address"} <= set(header) or len(set(header)) < len(header):
                raise LabelRejected(
                    f"{name[:80]}, line {line:,}: the first line names the columns, each once; annotator, address and "
                    f"key are among them. It reads {first.strip()[:80]!r}. Nothing was imported."
                )
        elif not any(cells):
            continue
        elif len(cells) != len(header):
            yield f"line {line:,}", f"it has {len(cells)} cells, and the header {len(header)}"
        else:
            yield f"line {line:,}", {key: _unguarded(cell) for key, cell in zip(header, cells, strict=True) if cell}


def _jsonl_rows(text: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no number of JSON")

    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            values = json.loads(row, parse_constant=refuse)
        except (ValueError, RecursionError) as error:
            yield f"line {line:,}", f"it is no JSON ({str(error)[:80]})"
            continue
        yield f"line {line:,}", values if isinstance(values, dict) else "it is no JSON object"


def _parquet_rows(data: bytes, name: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        groups = range(file.metadata.num_row_groups)
        if sum(file.metadata.row_group(i).total_byte_size for i in groups) > MAX_BYTES:
            raise LabelRejected(f"{name[:80]} unpacks to more than {MAX_BYTES:,} bytes. Export in parts.")
        row = 0
        for batch in file.iter_batches(10_000):
            for values in batch.to_pylist():
                row += 1
                yield f"row {row:,}", {key: value for key, value in values.items() if value is not None}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise LabelRejected(
            f"{name[:80]} is a damaged Parquet file ({' '.join(str(error).split())[:80]}). Nothing was imported."
        ) from None


# --- between desks ----------------------------------------------------------------------------------------------------


def plan(labels: Labels, events: Sequence[Event]) -> Import:
    """What importing these events would do; nothing is stored yet. LabelsUnavailable."""
    events = list({event.key: event for event in events}.values())
    stored = labels.by_key([event.key for event in events])
    new = tuple(event for event in events if event.key not in stored)
    pairs = [(event, stored[event.key]) for event in events if event.key in stored]
    known = tuple(event for event, ours in pairs if _content(event) == _content(ours))
    altered = (pair for pair in pairs if _content(pair[0]) != _content(pair[1]))
    return Import(new, known, (*altered, *_differing(labels, new)))


def take(labels: Labels, plan: Import) -> int:
    """Store what is new of a plan, all or nothing, at the times when it was said; returns how many events are new now.
    Taking a plan twice adds nothing. LabelRejected, LabelsUnavailable."""
    before = labels.by_key([event.key for event in plan.new])
    labels.add(plan.new, keep_times=True)
    return len(plan.new) - len(before)


def _content(event: Event) -> tuple[object, ...]:
    """All that does not depend on the desk."""
    rest = event.at, event.automatic, event.model, event.queue, event.blind, evidence_json(event.evidence)
    return *said(event), *rest


def _differing(labels: Labels, new: Sequence[Event]) -> Iterator[tuple[Event, Event]]:
    """New labels that stand in the file, with a label that stands here of the same end in other words."""
    for bundle in dict.fromkeys(event.bundle for event in new):
        there = Fold(event for event in new if event.bundle == bundle)
        here = Fold(labels.since(0, bundle))
        for about, standing in there.all().items():
            ours = {same(word.text): word for word in _labels(here.standing(about))}
            for theirs in _labels(standing):
                yield from ((theirs, our) for text, our in ours.items() if text != same(theirs.text))


def _labels(standing: Standing) -> list[Event]:
    words = [*standing.by.values(), standing.adjudication]
    return [word for word in words if word is not None and word.kind in ("label", "adjudicate")]
