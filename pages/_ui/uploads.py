"""Images that visitors upload: checked, named by their content, held by the session, and kept only on request.

A file's name is never used: an upload is called by its content, and kept on a shelf of its own (see `shelf`).
"""

from pathlib import Path

import streamlit as st
from PIL import Image

from core.images import DecodePolicy, decode
from pages._ui.shelf import KEEP_DAYS, Shelf, name_of

POLICY = DecodePolicy(
    formats=("JPEG", "PNG", "WEBP", "GIF", "BMP"),
    max_bytes=10 * 2**20,
    max_pixels=24_000_000,
    max_side=12_000,
    min_side=4,
    max_aspect=20.0,
)
"""Stricter than precompute's: these come from anyone, and four at once must fit into memory."""
MAX_KEPT_BYTES = 500 * 2**20
MAX_KEPT_FILES = 2_000
_IN_SESSION = 6  # at most 60 MB a session
_SESSION = "_uploads"


def check(data: bytes) -> tuple[str, Image.Image]:
    """The name of an upload and its RGB image. ImageRejected for whatever is no acceptable image."""
    return name_of(data), decode(data, POLICY)


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
    return _shelf().where()


def keep(name: str, data: bytes) -> None:
    """Keep an upload on the server. StorageError when there is no room or no folder."""
    _shelf().keep(name, data)


def forget(name: str) -> None:
    """Remove a kept upload."""
    _shelf().forget(name)


def kept(name: str) -> bool:
    return load(name) is not None


def load(name: str) -> bytes | None:
    """A kept upload that has not expired and is what its name says."""
    return _shelf().load(name)


def expire() -> None:
    """Remove what is past its time, and what writers that died left behind."""
    _shelf().expire()


def _shelf() -> Shelf:
    return Shelf("uploads", "image", POLICY.max_bytes, MAX_KEPT_BYTES, MAX_KEPT_FILES, KEEP_DAYS)
