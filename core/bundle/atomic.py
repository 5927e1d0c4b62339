"""Files that are whole or not there: temporary file, fsync, rename, fsync of the folder.

A reader never sees half a file under its final name, whatever kills the writer. What a killed writer leaves behind is
a hidden temporary file whose name says who wrote it, so that `sweep` removes it once that process is gone.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from core.errors import BundleDamaged, StorageError

_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_PROCESS = secrets.token_hex(4)  # tells this process from an earlier one that had the same id
_SUFFIX = ".tmp"
_FOREIGN_AGE_S = 7 * 24 * 3600  # a writer on another machine cannot be asked; after a week it is gone
_RESUME = "then run the same command again; what is finished is kept"
_ADVICE = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "Your disk quota is used up",
    errno.EFBIG: "This file system or `ulimit -f` allows no file this large",
    errno.EROFS: "The file system is mounted read-only",
    errno.EACCES: "Permission is denied",
    errno.EPERM: "The operation is not permitted",
    errno.EEXIST: "There is a file where a folder should be",
    errno.ENOTDIR: "A part of this path is a file, not a folder",
    errno.EIO: "The disk reported an input/output error",
    errno.ENOENT: "This file or its folder has disappeared",
}


def storage_error(error: OSError, path: Path, needed: int | None = None) -> StorageError:
    """The StorageError for an OSError at `path`: what happened and what to do. `needed` is the file's size in bytes."""
    found = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{found} while writing {path}{_amounts(path, needed)}. {_room(needed)}, {_RESUME}.")
    if error.errno == errno.EFBIG:
        return StorageError(f"{found}: {path}{_amounts(path, needed)}. Raise the limit or use another disk, {_RESUME}.")
    return StorageError(f"{found}: {path}. Make this folder writable or choose another with --out, {_RESUME}.")


def _amounts(path: Path, needed: int | None) -> str:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return ""
    asked = "" if needed is None else f"it needs {human(needed)}, "
    return f" ({asked}{human(free)} are free)"


def _room(needed: int | None) -> str:
    return "Free some space" if needed is None else f"Free at least {human(needed)}"


def human(size: float) -> str:
    """1536000 -> '1.5 MB'."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def temporary_for(path: Path) -> Path:
    """A fresh temporary name in the folder of `path`: hidden, and telling host, process and purpose."""
    return path.parent / f".{path.name}.{_HOST}-{os.getpid()}-{_PROCESS}-{secrets.token_hex(4)}{_SUFFIX}"


def sweep(folder: Path | str) -> list[Path]:
    """Remove, at any depth, the temporary files that dead writers left in `folder`; returns what was removed.

    Files of living processes of this machine stay, and so do those of other machines until they are a week old.
    """
    removed = []
    for path in sorted(Path(folder).rglob(f".*{_SUFFIX}")):
        if path.is_file() and _is_dead(path):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `temporary_for` makes."""
    return _owner(name) is not None


def _owner(name: str) -> tuple[str, int, str] | None:
    parts = name.removesuffix(_SUFFIX).rsplit(".", 1)[-1].split("-")
    if not (name.startswith(".") and name.endswith(_SUFFIX) and len(parts) == 4 and parts[1].isdecimal()):
        return None
    return parts[0], int(parts[1]), parts[2]


def _is_dead(path: Path) -> bool:
    owner = _owner(path.name)
    if owner is None:
        return False
    host, pid, process = owner
    if host != _HOST:
        try:
            return time.time() - path.stat().st_mtime > _FOREIGN_AGE_S
        except FileNotFoundError:
            return False
    if pid == os.getpid():
        return process != _PROCESS
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False  # alive, and another user's
    return False


@contextmanager
def atomic_file(path: Path | str, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed, on any error removed.

    `needed` (bytes), where known, goes into the message. Raises StorageError when the disk or the folder refuses.
    """
    path = Path(path)
    temporary = temporary_for(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        commit(temporary, path)
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        blamed = Path(error.filename) if isinstance(error.filename, str) else temporary
        raise storage_error(error, path if blamed == temporary else blamed, needed) from error
    finally:
        discard(temporary)


@contextmanager
def atomic_stream(path: Path | str, needed: int | None = None) -> Iterator[BinaryIO]:
    """As `atomic_file`, but yields the open binary file: OSErrors of whoever writes to it keep their number."""
    with atomic_file(path, needed) as temporary, temporary.open("xb") as stream:
        yield stream


def commit(temporary: Path, path: Path) -> None:
    """Flush a complete temporary file to disk and give it its name. Raises OSError."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_folder(path.parent)


def discard(temporary: Path) -> None:
    """Remove a temporary file if it is there; an error here would hide the one that matters, and `sweep` follows."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        return


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename outlives a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` as the whole file. Raises StorageError."""
    with atomic_stream(path, needed=len(data)) as stream:
        stream.write(data)


def atomic_json(path: Path | str, value: object) -> None:
    """Write `value` as indented UTF-8 JSON, keys in their order. Raises StorageError; ValueError for NaN."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    atomic_bytes(path, (text + "\n").encode("utf-8", "backslashreplace"))


def atomic_npy(path: Path | str, array: np.ndarray) -> None:
    """Write one array as .npy in C order. Raises StorageError; ValueError for Python objects."""
    array = np.asarray(array, order="C")
    with atomic_stream(path, needed=array.nbytes) as stream:
        # not the file itself: NumPy would write past Python, and a full disk would be an error without its number
        np.lib.format.write_array(SimpleNamespace(write=stream.write), array, allow_pickle=False)


ROW_GROUP = 8_192
"""Rows of a table that are decoded together: one image of a million is looked up in a few milliseconds."""


def atomic_table(path: Path | str, table: pa.Table) -> None:
    """Write one table as Parquet (zstd); same table and same pyarrow, same bytes. Raises StorageError."""
    with atomic_stream(path) as stream:
        pq.write_table(table, stream, compression="zstd", row_group_size=ROW_GROUP)


def save_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays of numbers or booleans as one safetensors file; same arrays, same bytes. Raises StorageError.

    Used for the partial result of a shard. Names are free text; order does not matter.
    """
    contiguous = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    native = {name: a.astype(a.dtype.newbyteorder("="), copy=False) for name, a in contiguous.items()}
    atomic_bytes(path, save(native))


def load_arrays(path: Path | str, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote, or only the arrays in `names`. Raises BundleDamaged, StorageError; KeyError."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            wanted = sorted(file.keys()) if names is None else names
            missing = set(wanted) - set(file.keys())
            if missing:
                raise KeyError(f"{path} holds no array {sorted(missing)}; it has {sorted(file.keys())}")
            return {name: file.get_tensor(name) for name in wanted}
    except SafetensorError as error:
        raise BundleDamaged(f"{path} is damaged ({error}). Delete it and run the same command again.") from error
    except FileNotFoundError as error:
        raise BundleDamaged(f"{path} is missing. Run the same command again to make it.") from error
    except OSError as error:
        raise storage_error(error, Path(path)) from error


def digest_file(path: Path | str) -> str:
    """The sha256 of a file, as 64 hexadecimal digits. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
