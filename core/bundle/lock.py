"""One run at a time on one output folder, by an advisory lock that the kernel drops when its holder dies."""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.bundle.atomic import storage_error
from core.errors import BundleBusy, StorageError

_held: set[int] = set()


def _close_in_child() -> None:
    # A forked worker shares the lock: it would keep it after its killed parent. Closing does not unlock the parent's.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def run_lock(path: Path | str) -> Iterator[None]:
    """Hold the lock file `path` for the length of the block. The file stays: only the lock on it counts.

    Raises BundleBusy, naming the holder's process, host and start, if another holds it; StorageError if the folder
    cannot be written or its file system knows no locks.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    _held.add(descriptor)
    try:
        _acquire(descriptor, path)
        _sign(descriptor, path)
        yield
    finally:
        # A forked child that unwinds through here has closed its copy already; that number may be another file now.
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise BundleBusy(
                f"Another run is writing {path.parent}: {_holder(descriptor)}. Wait for it or stop it, "
                "then run the same command again; what is finished is kept."
            ) from None
        raise StorageError(
            f"{path} cannot be locked ({error.strerror}): this file system knows no locks. "
            "Choose a local folder with --out."
        ) from error


def _sign(descriptor: int, path: Path) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
    except OSError as error:
        raise storage_error(error, path) from error


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(holder['pid'])} on {str(holder['host'])[:100]} since {str(holder['since'])[:40]}"
    except (ValueError, TypeError, KeyError, OSError):
        return "a process that has not signed the lock yet"
