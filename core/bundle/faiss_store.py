"""FAISS indexes: exact half-precision ones by default, read memory-mapped, searched so that the answer is unique.

An index is a copy: the .npy beside it is the truth. One flat file serves inner product and L2, because a scalar
quantizer without training stores plain fp16 codes and honours the metric of the handle it is searched through.
"""

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np

from core.bundle.atomic import atomic_stream, digest_file
from core.errors import BundleDamaged

_faiss: Any = faiss  # its stubs lack what its SWIG layer adds

Metric = Literal["ip", "l2"]
METRICS: dict[str, int] = {"ip": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}
KINDS: dict[str, int] = {"fp16": faiss.ScalarQuantizer.QT_fp16, "sq8": faiss.ScalarQuantizer.QT_8bit}
_FP16_MAX = float(np.finfo(np.float16).max)
_BLOCK = 65_536  # rows converted to fp32 at a time: 16 MB at 64 columns
_SLACK = 16  # extra hits fetched to see whether a tie crosses the cut
# name, d, n, two unused, trained or not, metric; quantizer: kind, two settings, d, bytes a row, ranges that follow
_HEADER = struct.Struct("<4siqqqBiiifqqq")
_read_limits = threading.Lock()  # faiss keeps the limits in globals


@dataclass(frozen=True)
class OpenIndex:
    """One read-only index file, opened once per metric, so that threads never change a shared handle."""

    path: Path
    kind: str
    handles: dict[str, faiss.Index]

    @property
    def n(self) -> int:
        """Number of vectors; their ids are 0 … n - 1."""
        return int(self.handles["ip"].ntotal)

    @property
    def d(self) -> int:
        """Width of a vector."""
        return int(self.handles["ip"].d)


@dataclass(frozen=True)
class Quantised:
    """A lossy index and how often it finds the true ten nearest, averaged over the queries it was measured with."""

    index: faiss.Index
    recall_at_10: float


def build_flat_fp16(vectors: np.ndarray, metric: Metric = "ip") -> faiss.Index:
    """Exact index over the rows of `vectors` (n, d), read in blocks, so a memory-mapped array is never in memory whole.

    Raises ValueError for numbers that fp16 cannot hold (not finite, or beyond 65504).
    """
    index = faiss.IndexScalarQuantizer(vectors.shape[1], KINDS["fp16"], METRICS[metric])
    for start in range(0, len(vectors), _BLOCK):
        # rounded here, to even as everywhere: faiss rounds the one number in 8,192 that lies halfway up
        index.add(_block(vectors, start).astype(np.float16).astype(np.float32))
    return index


def build_quantised(vectors: np.ndarray, queries: np.ndarray, kind: str = "sq8", metric: Metric = "ip") -> Quantised:
    """Index with a byte a number over `vectors` (n, d), and its recall@10 on `queries` (q, d): take real ones."""
    if kind != "sq8":
        raise ValueError(f"unknown quantised index {kind!r}: there is sq8 (and exact fp16, the default)")
    index = faiss.IndexScalarQuantizer(vectors.shape[1], KINDS[kind], METRICS[metric])
    step = max(1, len(vectors) // _BLOCK)
    index.train(np.ascontiguousarray(vectors[::step], dtype=np.float32))
    for start in range(0, len(vectors), _BLOCK):
        index.add(_block(vectors, start))
    _, exact = search(build_flat_fp16(vectors, metric), queries, 10, metric=metric)
    _, found = search(index, queries, 10, metric=metric)
    hits = [len(np.intersect1d(a, b)) / max(1, len(a)) for a, b in zip(exact, found, strict=True)]
    return Quantised(index, float(np.mean(hits)))


def _block(vectors: np.ndarray, start: int) -> np.ndarray:
    block = np.ascontiguousarray(vectors[start : start + _BLOCK], dtype=np.float32)
    # written so that NaN fails too
    if not (np.abs(block) <= _FP16_MAX).all():
        raise ValueError(f"rows {start} to {start + len(block) - 1} hold numbers that half precision cannot")
    return block


def write_index(path: Path | str, index: faiss.Index) -> None:
    """Write an index atomically. Raises StorageError."""
    with atomic_stream(path) as stream:
        # through Python's file, because faiss's own writer turns a full disk into a RuntimeError without its number
        faiss.write_index(index, _faiss.PyCallbackIOWriter(stream.write, 1 << 20))


def read_index(path: Path | str, expected_sha256: str | None = None) -> OpenIndex:
    """Open an index file memory-mapped, once per metric. `expected_sha256` (from bundle.json) is checked first.

    A damaged index mostly loads and answers, so pass the digest whenever there is one. Raises BundleDamaged.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleDamaged(f"{path} is missing. Run the same precompute command again to make it.")
    if expected_sha256 is not None and digest_file(path) != expected_sha256:
        raise BundleDamaged(f"{path} was altered: its sha256 is not the one in bundle.json. Rebuild the bundle.")
    kind = _check_header(path)
    handles = {name: _open(path) for name in METRICS}
    for name, handle in handles.items():
        handle.metric_type = METRICS[name]
    return OpenIndex(path, kind, handles)


def _open(path: Path) -> faiss.Index:
    with _read_limits:
        before = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
        faiss.set_deserialization_vector_byte_limit(path.stat().st_size)  # nothing in a file is larger than the file
        faiss.set_deserialization_loop_limit(1000)
        try:
            return faiss.read_index(str(path), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
        except RuntimeError as error:
            raise BundleDamaged(f"{path} is no FAISS index that can be read. Rebuild the bundle.") from error
        finally:
            faiss.set_deserialization_vector_byte_limit(before[0])
            faiss.set_deserialization_loop_limit(before[1])


def _check_header(path: Path) -> str:
    """The kind of an index file, if its header is to the byte the one of such an index and fits the file's size.

    Altered headers crash FAISS 1.15 (a segmentation fault in read_index), so it never sees any but these.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) == _HEADER.size and head[:4] == b"IxSQ":
            _, d, n, *_, trained = _HEADER.unpack(head)
            for kind, code in KINDS.items():
                width, ranges = (2 * d, 0) if kind == "fp16" else (d, 2 * d)
                spare = 1 << 20  # two unused fields always hold this
                expected = (b"IxSQ", d, n, spare, spare, 1, METRICS["ip"], code, 0, 0.0, d, width, ranges)
                if d < 1 or n < 0 or head != _HEADER.pack(*expected):
                    continue
                file.seek(4 * trained, 1)
                if file.read(8) == struct.pack("<q", n * width) and path.stat().st_size == file.tell() + n * width:
                    return kind
    raise BundleDamaged(f"{path} is not an index as bundles hold them, or is cut short. Rebuild the bundle.")


def search(
    index: OpenIndex | faiss.Index,
    queries: np.ndarray,
    k: int,
    exclude_ids: Sequence[int] | np.ndarray | None = None,
    metric: Metric = "ip",
) -> tuple[np.ndarray, np.ndarray]:
    """The k best rows for each query: (scores (q, k) float32, ids (q, k) int64), best first, equal scores by id.

    Scores are inner products ("ip", larger is better) or squared distances ("l2", smaller is better). Ties at the cut
    go to the smaller ids too. With fewer than k rows left after `exclude_ids`, there are fewer columns; -1 never comes
    out. Raises ValueError for queries of the wrong shape or not finite, or a bare index built for the other metric.
    """
    handle = _handle(index, metric)
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != handle.d or not np.isfinite(queries).all():
        raise ValueError(f"queries must be finite and of shape (q, {handle.d}); these are {queries.shape}")
    excluded = np.unique(np.asarray([] if exclude_ids is None else exclude_ids, dtype=np.int64))
    excluded = excluded[(excluded >= 0) & (excluded < handle.ntotal)]
    available = handle.ntotal - len(excluded)
    k = max(0, min(k, available))
    scores, ids = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    faiss.omp_set_num_threads(1)  # the setting is per thread; two threads make one query 5-6 times slower
    pending, fetch = np.arange(len(queries)), min(available, k + _SLACK)
    while len(pending) and k:
        found, rows = handle.search(queries[pending], fetch, params=_without(excluded))
        if (rows < 0).any():
            raise BundleDamaged("an index holds numbers that are not finite. Run `python -m precompute verify` on it.")
        # Complete once the last hit fetched is worse than the k-th: nothing unseen can tie with the k-th.
        done = np.full(len(pending), fetch == available) | (found[:, k - 1] != found[:, -1])
        order = np.lexsort((rows, -found if metric == "ip" else found))[:, :k]
        scores[pending[done]] = np.take_along_axis(found, order, 1)[done]
        ids[pending[done]] = np.take_along_axis(rows, order, 1)[done]
        pending, fetch = pending[~done], min(available, fetch * 8)
    return scores, ids


def _handle(index: OpenIndex | faiss.Index, metric: str) -> faiss.Index:
    if isinstance(index, OpenIndex):
        return index.handles[metric]
    if index.metric_type != METRICS[metric]:
        raise ValueError(f"this index was built for another metric than {metric!r}; open it with read_index for both")
    return index


def _without(excluded: np.ndarray) -> faiss.SearchParameters | None:
    if not len(excluded):
        return None  # testing each row against a selector costs time
    return _faiss.SearchParameters(sel=faiss.IDSelectorNot(faiss.IDSelectorBatch(excluded)))
