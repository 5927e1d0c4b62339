"""What labels cost: eight processes that label at once, and a bundle with 200,000 events.

The processes are real ones (tests/labels_writer.py), they start together, and every event is one save that is on disk
when it is acknowledged. What they wrote is checked before it is timed.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from core.labels.database import Labels
from core.labels.ledger import Ledger
from tests import postgres
from tests.bench_tools import say, seconds
from tests.labels_maker import BUNDLE, event, many

REPOSITORY = Path(__file__).resolve().parents[1]
PROCESSES, EACH, EVENTS = 8, 1_000, 200_000


def bench_labels() -> None:
    """Eight processes x 1,000 labels each at once: all there, each once, each annotator's in their order."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:  # a disk; the system's temporary folder may be memory
        _at_once("SQLite", f"sqlite:///{folder}/labels.sqlite")
    if postgres.reason():
        say("labels on PostgreSQL", "not measured", "none", str(postgres.reason()))
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with postgres.server(Path(folder) / "server", durable=True) as url:
            _at_once("PostgreSQL", url)


def _at_once(what: str, url: str) -> None:
    command = [sys.executable, "-m", "tests.labels_writer", url]
    workers = [
        subprocess.Popen([*command, f"name {n}", str(EACH)], cwd=REPOSITORY, stdin=-1, stdout=-1, text=True)
        for n in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    acknowledged = [key for worker in workers for key in worker.communicate()[0].split()]
    took = time.perf_counter() - started
    labels = Labels(url)
    events, gaps = labels.since(0), []
    labels.close()
    assert len(events) == PROCESSES * EACH and sorted(one.key for one in events) == sorted(acknowledged)
    for n in range(PROCESSES):
        own = [one for one in events if one.annotator == f"name {n}"]
        assert [one.text for one in own] == [str(i) for i in range(EACH)], f"name {n}'s are out of order"
        gaps += [(b.at - a.at) / 1e3 for a, b in pairwise(own)]
    say(
        f"{PROCESSES} x {EACH:,} labels, {what}",
        f"{took / len(events) * 1e3:.2f} ms an event",
        f"{len(events):,} events, each once, in order",
        f"{took:.1f} s; of one process median {statistics.median(gaps):.0f} ms a save, slowest {max(gaps):.0f} ms",
    )


def bench_ledger() -> None:
    """A bundle of which 200,000 things were said: opened, and after each new event."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:
        labels = Labels(f"sqlite:///{folder}/labels.sqlite")
        said = [replace(one, at=1_700_000_000_000_000 + i) for i, one in enumerate(many(EVENTS, 9_000))]
        stored = seconds(lambda: labels.add(said, keep_times=True))
        ledger = Ledger(labels, BUNDLE)
        opened = seconds(ledger.refresh)
        detail = f"{len(ledger.all()):,} ends, {len(ledger.texts()):,} texts; stored at once in {stored:.1f} s"
        say(f"ledger of {EVENTS:,} events, opened", f"{opened:.2f} s", "seconds, once", detail)
        times: dict[str, list[float]] = {}
        steps: dict[str, Callable[[], object]] = {
            "save": lambda: labels.add([event("new", by="annotator 1")]), "refresh": ledger.refresh, "all": ledger.all,
            "all again": ledger.all, "counts": ledger.counts, "texts(50)": lambda: ledger.texts(50),
        }  # fmt: skip
        for _ in range(50):
            for name, step in steps.items():
                times.setdefault(name, []).append(seconds(step) * 1e3)
        told = ", ".join(f"{name} {statistics.median(each):.2f}" for name, each in times.items() if name != "refresh")
        refresh = statistics.median(times["refresh"])
        say("the same, after one more event", f"refresh {refresh:.2f} ms", "about 1 ms", f"ms: {told}")
        labels.close()


BENCHES = {"labels": bench_labels, "labels-ledger": bench_ledger}
