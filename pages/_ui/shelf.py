"""What visitors ask the server to keep: files named by their content, under caps, removed after a time.

Each kind lies in a folder of its own beside the other caches, outside the bundles. A file is called by the first 32
hexadecimal digits of the sha256 of its bytes, written atomically, and hashed again when read, so a damaged file is a
missing one.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from core.bundle.atomic import atomic_bytes, sweep
from core.errors import InputError, StorageError
from core.text.embed import default_cache_dir

DIGITS = 32
KEEP_DAYS = 30


def name_of(data: bytes) -> str:
    """What a file with these bytes is called."""
    return sha256(data).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Shelf:
    """`folder` its name; `noun` what lies there, for sentences ("image"); the caps on one file and on all in bytes, and
    on their number."""

    folder: str
    noun: str
    max_file_bytes: int
    max_bytes: int
    max_files: int
    keep_days: int = KEEP_DAYS

    def where(self) -> Path | None:
        """The folder; None on a machine without a place for caches."""
        cache = default_cache_dir()
        return cache / self.folder if cache else None

    def keep(self, name: str, data: bytes) -> None:
        """Keep a file. StorageError when there is no room or no folder."""
        path = self._path(name)
        if path is None:
            raise StorageError(
                f"This server has no folder to keep {self.noun}s in; its operator can set UNITSCOPE_CACHE."
            )
        if len(data) > self.max_file_bytes:
            raise StorageError(
                f"This {self.noun} is too large to be kept: at most {self.max_file_bytes // 2**20} MB are. It stays in "
                "this session."
            )
        self.expire()
        others = [each for each in self._files() if each != path]
        used = sum(each.stat().st_size for each in others if each.exists())
        if used + len(data) > self.max_bytes or len(others) >= self.max_files:
            raise StorageError(
                f"The server's room for kept {self.noun}s is full. Yours stays in this session; try another day."
            )
        try:
            atomic_bytes(path, data)
        except StorageError as error:  # its advice is for who runs precompute, and names the server's paths
            raise StorageError(
                f"The server could not keep this {self.noun}: its disk is full or may not be written."
            ) from error

    def forget(self, name: str) -> None:
        """Remove a kept file."""
        if path := self._path(name):
            path.unlink(missing_ok=True)

    def load(self, name: str) -> bytes | None:
        """A kept file that has not expired and is what its name says."""
        path = self._path(name)
        try:
            if path is None or self._old(path) or path.stat().st_size > self.max_file_bytes:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        return data if name_of(data) == name else None

    def expire(self) -> None:
        """Remove what is past its time, and what writers that died left behind."""
        where = self.where()
        if where is None or not where.is_dir():
            return
        sweep(where)
        for path in self._files():
            try:
                if self._old(path):
                    path.unlink(missing_ok=True)
            except OSError:
                continue

    def _old(self, path: Path) -> bool:
        return time.time() - path.stat().st_mtime > self.keep_days * 86_400

    def _files(self) -> list[Path]:
        where = self.where()
        return [p for p in where.iterdir() if not p.name.startswith(".")] if where and where.is_dir() else []

    def _path(self, name: str) -> Path | None:
        """The only place where a name becomes a path: exactly 32 hexadecimal digits do."""
        if len(name) != DIGITS or set(name) - set("0123456789abcdef"):
            raise InputError(f"That is not the name of a kept {self.noun}.")
        where = self.where()
        return where / name if where else None
