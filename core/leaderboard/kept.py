"""Leaderboards kept in the cache: they take seconds to minutes, and a finished bundle never changes."""

import hashlib
import logging
from pathlib import Path

from core.bundle.atomic import atomic_file
from core.errors import StorageError
from core.leaderboard.board import Board
from core.text.embed import default_cache_dir

_log = logging.getLogger(__name__)


def kept(bundle: str, units: int, seed: int = 0, folder: Path | None = None) -> Board | None:
    """The table that was kept of a bundle, by its id, with these settings; None without one."""
    path = _path(bundle, units, seed, folder)
    try:
        found = Board.from_json(path.read_text("utf-8")) if path is not None else None
    except (OSError, UnicodeDecodeError):
        return None
    return found if found is not None and (found.bundle, found.units, found.seed) == (bundle, units, seed) else None


def keep(board: Board, folder: Path | None = None) -> None:
    """Keep a table; a cache that cannot be written costs time, never the result."""
    path = _path(board.bundle, board.units, board.seed, folder)
    if path is None:
        return
    try:
        with atomic_file(path) as temporary:
            temporary.write_text(board.to_json(), "utf-8")
    except (OSError, StorageError) as error:
        _log.warning("the leaderboard could not be kept (%s): it will be computed again next time", error)


def _path(bundle: str, units: int, seed: int, folder: Path | None) -> Path | None:
    folder = folder or default_cache_dir()
    key = hashlib.sha256(f"{bundle}\n{units}\n{seed}".encode()).hexdigest()[:32]
    return None if folder is None else folder / f"leaderboard-{key}.json"
