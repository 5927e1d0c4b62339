"""The store over a made-up bundle of 1.28 million images. `python -m tests.bench_app [IMAGES]`; not run by tests.

Two heads of 64 coordinates, so that it takes half a gigabyte of disk; a page asks about one head at a time, and no
answer reads another head's files. Memory is what is private to the process, without pages of mapped files.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from core.bundle import schema
from core.bundle.faiss_store import build_flat_fp16
from core.bundle.read import open_bundle
from core.bundle.write import BundleWriter
from core.store import Store
from tests import bundle_maker

OUT, COORD, BLOCK = 64, 64, 65_536


def make(folder: Path, n: int, thumbs: bool = False) -> Path:
    """A bundle of n images in 1,000 classes, written a block at a time; `thumbs`: each a grey square."""
    sizes = bundle_maker.SIZES | {
        "image": n,
        "layer": 1,
        "head": 2,
        "coord": COORD,
        "out": OUT,
        "text": 200,
        "rank": 20,
    }
    rng = np.random.default_rng(0)
    writer = BundleWriter(folder)
    rep, r = writer.memmap("representations", (n, OUT)), writer.memmap("r", (1, 2, n, COORD))
    for start in range(0, n, BLOCK):
        rows = rng.standard_normal((min(BLOCK, n - start), OUT), np.float32)
        rep[start : start + BLOCK] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        r[0, :, start : start + BLOCK] = rng.standard_normal((2, len(rows), COORD), np.float32) * 0.01
    index = {"images": build_flat_fp16(rep)} | {f"heads/L3.H{h}": build_flat_fp16(r[0, h]) for h in range(2)}
    for name in ("representations", "r"):
        writer.close_memmap(name)
    for spec in schema.ARRAYS:
        if spec.name in ("representations", "r") or spec in schema.NEURON_ARRAYS:
            continue
        shape = tuple(sizes[axis] for axis in spec.axes)
        array = rng.standard_normal(shape)
        if spec.name == "ok":
            array = np.ones(shape)
        elif spec.name == "parts_mean":
            array = np.zeros(
                shape
            )  # as their sum nearly is; otherwise all images would be near-duplicates of each other
        elif spec.name == "cov":
            array = np.broadcast_to(np.eye(COORD) * 1e-4, shape)
        elif spec.name == "basis":
            array = np.linalg.qr(array)[0]
        elif spec.name == "text_embeddings":
            array /= np.linalg.norm(array, axis=-1, keepdims=True)
        elif spec.name in ("text_index", "text_top_ids"):
            array = rng.integers(0, 200 if spec.name == "text_index" else n, shape)
        if spec.name == "text_embeddings":
            index["text"] = build_flat_fp16(array)
        writer.array(spec.name, np.ascontiguousarray(array.astype(spec.dtype)))
    tables = bundle_maker.tables()
    ids = np.arange(n)
    images = {"image_id": ids, "path": [f"n{i // 1282:08d}/{i:08d}.JPEG" for i in ids]}
    images |= {"class": [f"n{i // 1282:08d}" for i in ids], "width": [500] * n, "height": [375] * n}
    images |= {"sha256": [f"{i:064x}" for i in ids], "status": ["ok"] * n}
    tables |= {"images": pa.table(images), "pool": pa.table({"text": [f"text {i}" for i in range(200)]})}
    tables["quarantine"] = tables["quarantine"].slice(0, 0)
    for name, table in tables.items():
        if name != "characterisation":  # it is of neurons
            writer.table(name, table)
    for key, made in index.items():
        writer.index(key, made)
    if thumbs:
        square = io.BytesIO()
        Image.new("L", (8, 8), 128).save(square, "JPEG")
        with writer.file("thumbs/thumbs.bin") as path, path.open("wb") as file:
            for start in range(0, n, BLOCK):
                file.write(square.getvalue() * min(BLOCK, n - start))
        with writer.file("thumbs/offsets.npy") as path, path.open("wb") as file:
            np.save(file, np.arange(n + 1, dtype=np.int64) * len(square.getvalue()))
    facts = bundle_maker.facts()
    facts["manifest"] |= {"images": n, "ok": n, "quarantined": 0}
    facts["pool"] |= {"texts": 200}
    writer.finish(facts, bundle_maker.AXES | sizes | {"layer": [3], "end": ["+", "-"], "quantile": [0.05, 0.5, 0.95]})
    return folder


def private_mb() -> float:
    """Anonymous memory of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "0123abcd", n)
        # a process of its own: memory that making it has freed would hide what answering needs
        bundle = str(Path(folder) / "0123abcd")
        subprocess.run([sys.executable, "-c", f"from tests.bench_app import bench; bench({bundle!r}, {n})"], check=True)


def bench(folder: str, n: int) -> None:
    before = private_mb()
    stores: list[Store] = []
    text = np.eye(OUT, dtype=np.float32)[0]
    rng = np.random.default_rng(1)
    ids = [int(i) for i in rng.integers(0, n, 100)]
    asks: dict[str, Callable[[], object]] = {
        "open": lambda: stores.append(Store(open_bundle(folder))),
        "facts, heads, head": lambda: (stores[0].facts(), stores[0].heads(), stores[0].head("L3.H0")),
        "ends of a pick": lambda: stores[0].ends("L3.H0", 0),
        "ends of any text": lambda: stores[0].ends("L3.H0", text),
        "intervals of a new text (scan)": lambda: stores[0].intervals("L3.H0", rng.standard_normal(OUT)),
        "intervals of a pick": lambda: stores[0].intervals("L3.H0", 0),
        "intervals (kept), histogram": lambda: (stores[0].intervals("L3.H0", 0), stores[0].histogram("L3.H0", 0)),
        "similar in head": lambda: stores[0].similar_in_head("L3.H0", 77),
        "similar": lambda: stores[0].similar(77),
        "100 image rows at random": lambda: [stores[0].image(i) for i in ids],
        "search by class": lambda: stores[0].search_images({"class": "n00000500"}),
        "grid of a column": lambda: stores[0].grid("column:class"),
    }
    for name, ask in asks.items():
        times = []
        for _ in range(3):
            start = time.perf_counter()
            ask()
            times.append(time.perf_counter() - start)
        print(f"{name:32s} first {times[0] * 1e3:8.1f} ms   then {min(times[1:]) * 1e3:8.1f} ms")
    print(f"{n:,} images; private memory grew by {private_mb() - before:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_281_167)
