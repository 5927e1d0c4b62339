"""One run at a time, and none locked out by the dead."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.bundle.lock import run_lock
from core.errors import BundleBusy, StorageError

ROOT = Path(__file__).parents[2]
_HOLDS = """
import subprocess, sys, time, os
from core.bundle.lock import run_lock
with run_lock(sys.argv[1]):
    # a forked child speaks first: only once it runs has it let go of its copy of the lock
    if sys.argv[2] == "alone" or os.fork() == 0:
        print("held", flush=True)
    time.sleep(30)
    os._exit(0)
"""


def _holder(path: Path, mode: str = "alone") -> subprocess.Popen:
    arguments = [sys.executable, "-c", _HOLDS, str(path), mode]
    child = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


@pytest.mark.parametrize("mode", ["alone", "fork"])
def test_a_second_process_learns_who_is_first_and_a_killed_one_leaves_no_lock(tmp_path, mode):
    lock = tmp_path / "bundle" / ".lock"
    child = _holder(lock, mode)
    try:
        with (
            pytest.raises(BundleBusy, match=rf"process {child.pid} on \S+ since 20\d\d-.*same command again"),
            run_lock(lock),
        ):
            pass
        child.kill()
        child.wait()
        # a forked worker outlives its parent, and still the lock is free
        with run_lock(lock):
            pass
    finally:
        os.killpg(child.pid, 9) if mode == "fork" else child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def test_the_same_process_is_refused_too_and_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path / ".lock"):
        with pytest.raises(BundleBusy, match=f"process {os.getpid()} "), run_lock(tmp_path / ".lock"):
            pass
        raise ZeroDivisionError
    with run_lock(tmp_path / ".lock"):
        pass


def test_a_worker_that_leaves_the_block_keeps_its_parents_lock(tmp_path):
    with run_lock(tmp_path / ".lock"):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0)
        with pytest.raises(BundleBusy), run_lock(tmp_path / ".lock"):
            pass


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"pid": "x"}', b"\xff", b'{"pid": 1}'])
def test_an_unsigned_or_garbled_lock_still_refuses_in_words(tmp_path, content):
    with run_lock(tmp_path / ".lock"):
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(BundleBusy, match="has not signed"), run_lock(tmp_path / ".lock"):
            pass


def test_a_lock_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError), run_lock(tmp_path / "file" / ".lock"):
        pass
