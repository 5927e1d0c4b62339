"""Pools to relabel with: those that come with the product, by name, and visitors' own, by their content.

A visitor's texts are called by the hash of what they are, so that a link names them without carrying them. They live in
the session; the server keeps them only if the visitor says so (see `shelf`). Embeddings stay in memory, shared by all
sessions and bounded; those of the pools that come with the product also lie in the cache that precompute fills.
"""

import threading
from collections import OrderedDict

import numpy as np
import streamlit as st

from core.errors import InputError
from core.text.embed import embed_pool
from core.text.pools import TextPool, load_pool, parse_pool, pool_names
from pages._ui import resources, selection
from pages._ui.resources import Opened
from pages._ui.shelf import DIGITS, Shelf
from pages._ui.words import count

BUILT_IN = {
    "general": "Image descriptions",
    "english": "Frequent English words",
    "imagenet": "Class names of ImageNet",
    "demo": "What the demo world can show",
}
MOST_TEXTS = 20_000
"""Texts of a visitor's pool: more would keep the model from the other visitors for minutes."""
SHELF = Shelf("pools", "text pool", max_file_bytes=4 * 2**20, max_bytes=200 * 2**20, max_files=2_000)
_IN_SESSION = 4
_SESSION = "_pools"
_CHUNK = 128
_MOST_BYTES = 256 * 2**20  # of embeddings: a dozen of the largest pools at 256 numbers a text, hundreds of usual ones
_vectors: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
_lock = threading.Lock()


def reader(text: str) -> str:
    """A pool in a link: the name of one that comes with the product, or a digest as long as ours are."""
    if text not in pool_names() and len(selection.digest(text)) != DIGITS:
        raise ValueError
    return text


def take(content: str | bytes, name: str) -> str:
    """Check a visitor's texts and put them into the session; returns what links call them. PoolError, InputError."""
    pool = parse_pool(content, name)
    if len(pool) > MOST_TEXTS:
        raise InputError(
            f"This pool has {len(pool):,} texts; on this page at most {MOST_TEXTS:,} are embedded at once."
        )
    held = st.session_state.setdefault(_SESSION, {})
    digest = pool.digest[:DIGITS]
    held.pop(digest, None)
    held[digest] = pool
    while len(held) > _IN_SESSION:
        held.pop(next(iter(held)))
    return digest


def get(name: str) -> TextPool | None:
    """The pool that a link names; None for a visitor's that is neither in this session nor kept. PoolError."""
    if name in pool_names():
        return load_pool(name)
    if in_session(name):
        return st.session_state[_SESSION][name]
    data = SHELF.load(name)
    return parse_pool(data, "kept") if data is not None else None


def in_session(name: str) -> bool:
    """Whether these are texts that this visitor gave."""
    return name in st.session_state.get(_SESSION, {})


def keep(name: str) -> None:
    """Keep a pool of this session on the server. StorageError."""
    # these bytes are what the digest is of
    SHELF.keep(name, "\n".join(st.session_state[_SESSION][name].texts).encode())


def vectors(opened: Opened, name: str, pool: TextPool) -> np.ndarray:
    """Unit embeddings (w, o) of a pool by the bundle's model, with a bar while they are made. ModelError."""
    explainer = resources.explainer(opened)
    key = explainer.digest, pool.digest
    with _lock:
        if key in _vectors:
            _vectors.move_to_end(key)
            return _vectors[key]
    place = st.empty()
    bar = place.progress(0.0, text=f"Embedding {count(len(pool), 'text')}")

    def progress(done: int, total: int) -> None:
        bar.progress(done / total, text=f"Embedded {done:,} of {total:,} texts")

    if name in pool_names():
        made = embed_pool(explainer, pool, progress=progress)
    else:
        parts = []
        for start in range(0, len(pool), _CHUNK):  # others wait for a chunk, not for all; nothing goes to the disk
            parts.append(explainer.encode_texts(pool.texts[start : start + _CHUNK]))
            progress(min(start + _CHUNK, len(pool)), len(pool))
        made = np.concatenate(parts)
    place.empty()
    with _lock:
        _vectors[key] = made
        while len(_vectors) > 1 and sum(each.nbytes for each in _vectors.values()) > _MOST_BYTES:
            _vectors.popitem(last=False)
    return made
