"""Scores ⟨c, t⟩ of a head over the images, read from the stored coordinates r a block at a time: ⟨c, t⟩ = ⟨r, Qᵀt⟩.

Up to LIMIT images are looked at. Beyond that, runs of neighbours spread evenly over all (a run is one page on disk, and
a manifest sorted by class is still covered); an answer's population says how many.
"""

from dataclasses import dataclass

import numpy as np

LIMIT = 262_144
"""Most images that one scan looks at: 34 MB of r at 64 coordinates."""
_RUN = 32
_BLOCK = 16_384


@dataclass(frozen=True)
class Scores:
    """`score_n` of the images `id_n` (ascending)."""

    id_n: np.ndarray
    score_n: np.ndarray


def spread_ids(ok_n: np.ndarray, limit: int = LIMIT, run: int = _RUN) -> np.ndarray:
    """Ascending ids of usable images: all, or about `limit` of them in runs of `run`, spread evenly."""
    n = len(ok_n)
    if n <= limit:
        return np.flatnonzero(ok_n)
    starts = np.linspace(0, n - run, max(1, limit // run)).astype(np.int64)
    ids = (starts[:, None] + np.arange(run)).ravel()
    return ids[ok_n[ids]]


def scan(r_nc: np.ndarray, id_n: np.ndarray, direction_c: np.ndarray) -> np.ndarray:
    """(len(id_n),) float32 scores. A block of r is converted at a time, and never more is in memory."""
    direction_c = direction_c.astype(np.float32)
    out = np.empty(len(id_n), np.float32)
    for start in range(0, len(id_n), _BLOCK):
        ids = id_n[start : start + _BLOCK]
        dense = ids[-1] - ids[0] + 1 == len(ids)
        block = r_nc[ids[0] : ids[-1] + 1] if dense else r_nc[ids]
        np.matmul(block.astype(np.float32), direction_c, out=out[start : start + len(ids)])
    return out


def gather(r_nc: np.ndarray, id_n: np.ndarray) -> np.ndarray:
    """Rows of r as float32 (n, c)."""
    return r_nc[id_n].astype(np.float32)
