"""A process that has imported everything once and forks a child for each command line it reads.

Importing torch takes seconds; so that many runs can be killed in a minute, each child starts after the imports. A
child is a process like any other: it runs the whole command and is killed by a real SIGKILL. A line of JSON a command
on standard input: its words, the file for what it says, and one of these or null

    delay    killed from outside after so many seconds, if it still runs
    step     kills itself at that half step of giving files their names: odd before a rename, even after
    name     kills itself right after a file got this name

and a line on standard output when it has ended: the exit code, or the negative signal.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

import precompute.estimate
import precompute.finish
import precompute.run  # noqa: F401 - imported here so that no child has to
from precompute.cli import main


def child(order: dict[str, Any]) -> None:
    """Run one command and leave, as the interpreter would."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if order["step"] or order["name"]:
        die_at(order["step"], order["name"])
    code = main(order["words"])
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
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(order)
        if order["delay"]:
            time.sleep(order["delay"])
            os.kill(pid, signal.SIGKILL)  # harmless where it has ended: it keeps its number until it is waited for
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
