"""Images that visitors upload: checked, named by their content, held by the session, and kept only on request.

A file's name is never used: an upload is called by the first 32 hexadecimal digits of the sha256 of its bytes. Kept
files lie outside the bundles in a folder of their own, each written atomically, under caps on size and number, and are
removed after `KEEP_DAYS`. What is read back is hashed again, so a damaged file is a missing one.
"""

import time
from hashlib import sha256
from pathlib import Path

import streamlit as st
from PIL import Image

from core.bundle.atomic import atomic_bytes, sweep
from core.errors import InputError, StorageError
from core.images import DecodePolicy, decode
from core.text.embed import default_cache_dir

POLICY = DecodePolicy(
    formats=("JPEG", "PNG", "WEBP", "GIF", "BMP"),
    max_bytes=10 * 2**20,
    max_pixels=24_000_000,
    max_side=12_000,
    min_side=4,
    max_aspect=20.0,
)
"""Stricter than precompute's: these come from anyone, and four at once must fit into memory."""
KEEP_DAYS = 30
MAX_KEPT_BYTES = 500 * 2**20
MAX_KEPT_FILES = 2_000
_IN_SESSION = 6  # at most 60 MB a session
_DIGITS = 32
_SESSION = "_uploads"


def check(data: bytes) -> tuple[str, Image.Image]:
    """The name of an upload and its RGB image. ImageRejected for whatever is no acceptable image."""
    return sha256(data).hexdigest()[:_DIGITS], decode(data, POLICY)


def hold(name: str, data: bytes) -> None:
    """Put an upload into this session; beyond a few the oldest is dropped."""
    held = st.session_state.setdefault(_SESSION, {})
    held.pop(name, None)
    held[name] = data
    while len(held) > _IN_SESSION:
        held.pop(next(iter(held)))


def get(name: str) -> bytes | None:
    """The bytes of an upload, from this session or from what was kept; None where it is neither."""
    held = st.session_state.get(_SESSION, {}).get(name)
    return held if held is not None else load(name)


def in_session(name: str) -> bool:
    return name in st.session_state.get(_SESSION, {})


def folder() -> Path | None:
    """Where uploads are kept; None on a machine without a place for caches."""
    cache = default_cache_dir()
    return cache / "uploads" if cache else None


def keep(name: str, data: bytes) -> None:
    """Keep an upload on the server. StorageError when there is no room or no folder."""
    path = _path(name)
    if path is None:
        raise StorageError("This server has no folder to keep images in; its operator can set UNITSCOPE_CACHE.")
    expire()
    others = [each for each in _files() if each != path]
    used = sum(each.stat().st_size for each in others if each.exists())
    if used + len(data) > MAX_KEPT_BYTES or len(others) >= MAX_KEPT_FILES:
        raise StorageError("The server's room for kept images is full. Yours stays in this session; try another day.")
    try:
        atomic_bytes(path, data)
    except StorageError as error:  # its advice is for who runs precompute, and names the server's paths
        raise StorageError("The server could not keep this image: its disk is full or may not be written.") from error


def forget(name: str) -> None:
    """Remove a kept upload."""
    if path := _path(name):
        path.unlink(missing_ok=True)


def kept(name: str) -> bool:
    return load(name) is not None


def load(name: str) -> bytes | None:
    """A kept upload that has not expired and is what its name says."""
    path = _path(name)
    try:
        if path is None or time.time() - path.stat().st_mtime > KEEP_DAYS * 86_400:
            return None
        if path.stat().st_size > POLICY.max_bytes:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    return data if sha256(data).hexdigest()[:_DIGITS] == name else None


def expire() -> None:
    """Remove what is past its time, and what writers that died left behind."""
    where = folder()
    if where is None or not where.is_dir():
        return
    sweep(where)
    for path in _files():
        try:
            if time.time() - path.stat().st_mtime > KEEP_DAYS * 86_400:
                path.unlink(missing_ok=True)
        except OSError:
            continue


def _files() -> list[Path]:
    where = folder()
    return [p for p in where.iterdir() if not p.name.startswith(".")] if where and where.is_dir() else []


def _path(name: str) -> Path | None:
    """The only place where a name becomes a path: exactly 32 hexadecimal digits do."""
    if len(name) != _DIGITS or set(name) - set("0123456789abcdef"):
        raise InputError("That is not the name of an uploaded image.")
    where = folder()
    return where / name if where else None
