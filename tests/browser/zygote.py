"""A process that has imported the libraries once and forks a server for each line it reads.

Torch, open_clip, pandas and the like take a server six seconds of a core; here they are imported once. A server is a
process like any other, which imports the product's pages itself; test_live.py starts some without this. A line of JSON
an order on standard input, and one of standard output an answer:

    {"module": "pages._ui.server", "words": [...], "environment": {...}, "log": "path"}
        forks a server; its number, and the first line that it printed, which is empty where it died
    {"stop": number}
        ends it as Ctrl-C's elder would, SIGTERM; after ten seconds with SIGKILL

When standard input ends, so do the servers.
"""

import json
import os
import runpy
import signal
import sys
import time
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the server has it, before torch is imported

import alembic.command
import krippendorff
import pandas
import plotly.graph_objects
import scipy.stats
import sklearn.cluster
import sqlalchemy

import core.explain.live
import core.explain.neurons
import core.explain.pairs
import core.explain.rosetta
import core.explain.semantic
import pages._ui.server

IMPORTED = (alembic, core, krippendorff, pages, pandas, plotly, scipy, sklearn, sqlalchemy)


def serve(order: dict[str, Any], said: int) -> None:
    """Be `python -m MODULE WORDS`, and leave as the interpreter would."""
    os.setsid()
    os.environ.clear()
    os.environ.update(order["environment"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for have, want in ((nothing, 0), (said, 1), (log, 2)):
        os.dup2(have, want)
    sys.argv[1:] = order["words"]
    code = 1
    try:
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 # as the interpreter does at its end
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start(order: dict[str, Any]) -> tuple[int, str]:
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        serve(order, said)
    os.close(said)
    first = b""
    while not first.endswith(b"\n") and (byte := os.read(heard, 1)):
        first += byte
    return pid, first.decode()  # what it hears stays open: a server that prints more must not be killed for it


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 10
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(0.01)


if __name__ == "__main__":
    running = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "stop" in order:
            running.remove(order["stop"])
            stop(order["stop"])
            print("null", flush=True)
        else:
            pid, first = start(order)
            running.add(pid)
            print(json.dumps([pid, first]), flush=True)
    for pid in running:
        stop(pid)
    os._exit(0)  # torch takes seconds to leave in good order
