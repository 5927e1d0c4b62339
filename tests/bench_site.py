"""What the benches of the app share: the product's own server in a process of its own, its memory, and a table."""

import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from core.bundle.read import open_bundle
from core.store import Store

REPOSITORY = Path(__file__).resolve().parents[1]
BUNDLES = REPOSITORY / "bundles"


@dataclass(frozen=True)
class Running:
    """A server: its address and its process."""

    address: str
    pid: int
    log_file: Path

    def private_mb(self) -> float:
        """Anonymous memory in MB (Linux): what the process has for itself, without pages of mapped files."""
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024 if found else math.nan

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def problems(self) -> list[str]:
        """Lines of the log that tell of an error."""
        return [line for line in self.log_file.read_text().splitlines() if re.search("error|exception", line, re.I)]


@contextmanager
def served(bundles: Path = BUNDLES) -> Iterator[Running]:
    """`python -m pages._ui.server` on a free port, with caches of its own, so that nothing was embedded before."""
    with tempfile.TemporaryDirectory() as folder:
        log_file = Path(folder) / "server.log"
        words = [sys.executable, "-m", "pages._ui.server", "--bundles", str(bundles), "--port", "0"]
        environment = os.environ | {"UNITSCOPE_CACHE": f"{folder}/cache"}
        with log_file.open("wb") as log:
            process = subprocess.Popen(words, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        try:
            line = process.stdout.readline().decode()
            assert "http://" in line, log_file.read_text()[-2000:]
            address = line.split()[3].replace("localhost", "127.0.0.1")
            _until_healthy(address)
            yield Running(address, process.pid, log_file)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            process.stdout.close()


def demo_bundle() -> str:
    """The name of the demo ViT's bundle."""
    found = sorted(path.name for path in BUNDLES.glob("demo-vit-*") if (path / "bundle.json").is_file())
    assert found, "There is no demo bundle: run `make demo` first."
    return found[0]


def demo_heads() -> list[str]:
    """Addresses of its heads, in the order of the grid and of the keys."""
    return [head.address for head in Store(open_bundle(BUNDLES / demo_bundle())).heads()]


def demo_pairs(count: int, neuron: str | None = None) -> list[str]:
    """Addresses of its pairs in the order of the keys: the best, or those of a neuron by their share."""
    table = Store(open_bundle(BUNDLES / demo_bundle())).pairs
    assert table is not None
    if neuron is not None:
        rows = table.of_neuron(neuron)
        return [row.address for row in sorted(rows, key=lambda row: -row.share)][:count]
    return [table.address(row) for row in table.columns().row_p[:count]]


def demo_classes() -> tuple[str, ...]:
    """Names of its classes."""
    return Store(open_bundle(BUNDLES / demo_bundle())).class_names()


def quantile(values: Sequence[float], level: float) -> float:
    """The smallest value that is not below `level` of all of them."""
    return sorted(values)[max(0, math.ceil(level * len(values)) - 1)]


def say(figure: str, seconds: Sequence[float], goal: str) -> None:
    """A row of the table: median, 95 % and largest, in milliseconds."""
    columns = [f"{quantile(seconds, level) * 1e3:7.0f}" for level in (0.5, 0.95, 1)]
    print(f"{figure:58s} {'  '.join(columns)}   {len(seconds):4d}   {goal}", flush=True)


def heading() -> None:
    print(f"{'milliseconds':58s} {'median':>7s}  {'p95':>7s}  {'largest':>7s}   {'of':>4s}   goal (median)", flush=True)


def _until_healthy(address: str) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            urlopen(f"{address}/_stcore/health").read()
            return
        except OSError:
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.05)
