"""Servers for the browser tests, and what they serve."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Site:
    """A running server: its address, its bundles and its log so far."""

    address: str
    bundles: Path
    log_file: Path

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.bundles.iterdir())

    def log(self) -> str:
        return self.log_file.read_text()


def among(bundles: Path, folder: Path, kind: str = "") -> Path:
    """A folder of bundles of its own, which is where a server's labels are beside, with these in it by links."""
    folder.mkdir()
    for bundle in bundles.iterdir():
        if kind in bundle.name:
            (folder / bundle.name).symlink_to(bundle)
    return folder


def start(module: str, folder: Path, log_file: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server on a free port, in a process of its own; returns its process and its address."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words(folder)],
            cwd=REPOSITORY,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    return process, address(process.stdout.readline().decode(), log_file)


def words(folder: Path) -> list[str]:
    return ["--bundles", str(folder), "--port", "0"]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def address(line: str, log_file: Path) -> str:
    """The address in the line that a server prints first; empty where it died."""
    assert "http://" in line, f"the server did not start: {log_file.read_text()[-2000:]}"
    return line.split()[3]


class Zygote:
    """Starts servers; see zygote.py."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.browser.zygote"]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks servers has died; what it said is above"
        return json.loads(answer)

    def start(self, module: str, folder: Path, log_file: Path) -> tuple[int, str]:
        """The number of a server's process, and its address."""
        order = {"module": module, "words": words(folder), "environment": environment(), "log": str(log_file)}
        pid, line = self._ask(order)
        return pid, address(line, log_file)

    def stop(self, pid: int) -> None:
        self._ask({"stop": pid})

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@contextmanager
def servers(zygote: Zygote, logs: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Site]]:
    """Starts servers, and stops them all at the end."""
    running = []

    def begin(module: str, folder: Path) -> Site:
        log_file = logs.mktemp("log") / "server.log"
        pid, address = zygote.start(module, folder, log_file)
        running.append(pid)
        return Site(address, folder, log_file)

    try:
        yield begin
    finally:
        for pid in running:
            zygote.stop(pid)
