"""Embeddings of text pools and classes, cached on disk by the hash of encoder and texts.

A cache entry is `<key>.npy` with `<key>.sha256` beside it, both written to a temporary file, synced and renamed;
an entry whose hash does not match (a crash between the two, a bad disk, an edit) is computed again. A cache that
cannot be written costs time, never the result.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from core.errors import ModelError
from core.text.classes import fill_template
from core.text.pools import TextPool

CHUNK = 256
"""Texts given to the encoder at a time."""
UNIT_TOLERANCE = 2e-3
"""Rows from the encoder may differ from norm one by this much: the rounding of fp16 and bf16 (2⁻⁹) towers."""
Progress = Callable[[int, int], None]
"""Called with (done, total) after every chunk."""
_log = logging.getLogger(__name__)


class TextEncoder(Protocol):
    """What this module needs of a model: its identity and its text tower."""

    @property
    def digest(self) -> str:
        """Names the weights, the tokenizer and the precision: the same digest, the same embeddings."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings (n, o) float32 of n texts, rows of norm one."""
        ...


def default_cache_dir() -> Path | None:
    """$UNITSCOPE_CACHE, else ~/.cache/unitscope; None where there is no home."""
    chosen = os.environ.get("UNITSCOPE_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path.home() / ".cache" / "unitscope"
    except RuntimeError:  # a container's user without a home
        return None


def embed_pool(
    encoder: TextEncoder, pool: TextPool, cache_dir: Path | None = None, progress: Progress | None = None
) -> np.ndarray:
    """Unit embeddings (w, o) float32 of the w texts of a pool, in its order.

    `cache_dir` defaults to `default_cache_dir()`. ModelError if the encoder returns anything but finite unit rows.
    """
    key = _key("pool", encoder.digest, pool.digest)

    def compute() -> np.ndarray:
        parts = []
        for start in range(0, len(pool.texts), CHUNK):
            parts.append(_encode(encoder, pool.texts[start : start + CHUNK]))
            _report(progress, start + CHUNK, len(pool.texts))
        return np.concatenate(parts)

    return cached(key, len(pool.texts), cache_dir, compute)


def class_embeddings(
    encoder: TextEncoder,
    names: Sequence[str],
    templates: Sequence[str],
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Class embeddings (c, o) float32, unit rows: the mean over templates of unit embeddings, normalised again.

    Progress counts prompts, c · templates in all. ValueError without names or templates, ModelError as for a pool.
    """
    if not names or not templates:
        raise ValueError(f"{len(names)} class names and {len(templates)} templates; expected at least one of each")
    prompts = "\n".join([str(len(names)), *names, *templates])
    key = _key("classes", encoder.digest, hashlib.sha256(prompts.encode()).hexdigest())

    def compute() -> np.ndarray:
        total = len(names) * len(templates)
        texts = iter(fill_template(template, name) for name in names for template in templates)
        rows = _rows(encoder, texts, total, progress)
        sums = np.stack([np.sum(list(islice(rows, len(templates))), axis=0, dtype=np.float64) for _ in names])
        return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)

    return cached(key, len(names), cache_dir, compute)


def _rows(encoder: TextEncoder, texts: Iterator[str], total: int, progress: Progress | None) -> Iterator[np.ndarray]:
    """Embeddings one by one, encoded by the chunk: 80,000 prompts are never held at once."""
    done = 0
    while chunk := list(islice(texts, CHUNK)):
        encoded = _encode(encoder, chunk)
        done += len(chunk)
        _report(progress, done, total)  # before the rows are handed out: nobody asks again after the last
        yield from encoded


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(min(done, total), total)


def _encode(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    rows = np.asarray(encoder.encode_texts(texts), dtype=np.float32)
    if rows.ndim != 2 or len(rows) != len(texts):
        raise ModelError(f"The text encoder returned shape {rows.shape} for {len(texts)} texts; expected one row each.")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.abs(norms - 1) <= UNIT_TOLERANCE).all():  # so written, NaN fails too
        raise ModelError("The text encoder returned rows that are not of norm one, or not finite. Check the weights.")
    return rows / norms


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def cached(key: str, rows: int, cache_dir: Path | None, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """An array (rows, …) float32 of two axes, from the cache by its `key` (hexadecimal) or computed and kept there."""
    folder = cache_dir or default_cache_dir()
    if folder is not None and (found := _read(folder / f"{key}.npy", rows)) is not None:
        return found
    made = np.ascontiguousarray(compute(), dtype=np.float32)
    if folder is not None:
        _write(folder / f"{key}.npy", made)
    return made


def _read(path: Path, rows: int) -> np.ndarray | None:
    """A cached array, or None if it is missing, damaged or of another size."""
    try:
        expected = path.with_suffix(".sha256").read_text("ascii").strip()
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise ValueError("its checksum differs")
            file.seek(0)
            array = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("cached embeddings %s are unusable (%s): computing them again", path.name, error)
        return None
    return array if array.ndim == 2 and len(array) == rows and array.dtype == np.float32 else None


def _write(path: Path, array: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _replace(path, lambda file: np.save(file, array, allow_pickle=False))
        _replace(path.with_suffix(".sha256"), lambda file: file.write(digest.encode()))
    except OSError as error:
        _log.warning(
            "embeddings could not be cached in %s (%s): they will be computed again next time. "
            "Set UNITSCOPE_CACHE to a folder that can be written.",
            path.parent,
            error,
        )


def _replace(path: Path, fill: Callable[..., object]) -> str:
    """Write a file atomically (temporary file, fsync, rename); returns its sha256."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w+b") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return digest
