"""A process that has imported everything once and forks a child for each command line it reads, and who talks to it.

Importing torch takes seconds; so that many runs can be killed in a minute, each child starts after the imports. A
child is a process like any other: it runs the whole command and is killed by a real SIGKILL. A line of JSON a command
on standard input, an `Order`; on standard output a line with the child's number, and one when it has ended: the exit
code, or the negative signal.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Order:
    """A command, how it is to die, if at all, and the file for what it says."""

    words: list[str]
    log: str
    delay: float | None = None
    """Killed from outside after so many seconds, if it still runs."""
    step: int | None = None
    """Kills itself at that half step of giving files their names: odd before a rename, even after."""
    name: str | None = None
    """Kills itself right after a file got this name."""
    eager: bool = False
    """Writes the sums of a dictionary after every batch."""


class Zygote:
    """Starts commands in processes of their own, one at a time."""

    def __init__(self, log: Path) -> None:
        command = [sys.executable, "-m", "tests.e2e.zygote"]
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.log = log
        assert self._line() == "ready"

    def run(
        self,
        words: list[str],
        *,
        delay: float | None = None,
        step: int | None = None,
        name: str | None = None,
        eager: bool = False,
    ) -> int:
        """Run a command, killed as `Order` says; returns its exit code, or the negative signal."""
        self._order(Order(words, str(self.log), delay, step, name, eager))
        return self.ended()

    def start(self, words: list[str]) -> int:
        """Start a command; returns its number, and that of its group. `ended` is to be called before the next."""
        return self._order(Order(words, str(self.log)))

    def ended(self) -> int:
        """Wait for what was started; its exit code, or the negative signal."""
        return int(self._line())

    def said(self) -> str:
        """What all commands so far have printed, for messages."""
        return self.log.read_text()[-4000:]

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def _order(self, order: Order) -> int:
        assert self.process.stdin is not None
        print(json.dumps(asdict(order)), file=self.process.stdin, flush=True)
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def child(order: Order) -> None:
    """Run one command and leave, as the interpreter would."""
    os.setpgid(0, 0)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if order.step or order.name:
        die_at(order.step, order.name)
    if order.eager:
        rosetta_match.CHECKPOINT_S = -1.0
    code = main(order.words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def die_at(step: int | None, name: str | None) -> None:
    """SIGKILL to this process around os.replace, which gives a finished file its name."""
    real, half_steps = os.replace, 0

    def replace(temporary: Path, path: Path) -> None:
        nonlocal half_steps
        half_steps += 1
        if half_steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        real(temporary, path)
        half_steps += 1
        if half_steps == step or Path(path).name == name:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace


if __name__ == "__main__":
    import torch

    import precompute.estimate
    import precompute.finish
    import precompute.rosetta
    import precompute.run  # noqa: F401 - imported here so that no child has to
    from precompute import rosetta_match
    from precompute.cli import main

    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            child(order)
        print(pid, flush=True)
        if order.delay:
            time.sleep(order.delay)
            os.kill(pid, signal.SIGKILL)  # harmless where it has ended: it keeps its number until it is waited for
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
