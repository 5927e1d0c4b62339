"""The search over 150,000 made-up units: what the server takes, and what a visitor waits for. See `tests.bench`.

A bundle of two layers of 3,072 neurons, each read by 24 heads, of 512 dimensions, over 30,000 texts: 24 heads, 6,144
neurons and 147,456 pairs, of which 3,000 are described.
"""

import importlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from core.bundle import schema
from core.bundle.faiss_store import build_flat_fp16
from core.bundle.thumbs import encode_thumb
from core.bundle.write import BundleWriter
from core.ids import parse
from tests import bench_site, bundle_maker
from tests.bench_tools import say, seconds

NEURONS, HEADS, WIDTH, OUT, TEXTS, DESCRIBED, IMAGES = 3_072, 12, 64, 512, 30_000, 3_000, 2_000
MEASURED, ROUNDS = 500, 15
_WORDS = """red blue green snow beach night street dog cat bird car tree house water food face hand text stripes dots
metal wood stone grass crowd single small large bright dark"""
WORDS = _WORDS.split()
SHOWN = """() => {
  const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
  const images = window.every(".card .strip img").filter(window.onScreen);
  return state === "notRunning" && !location.search.includes("before") && location.search !== window.before
    && images.length >= 10 && images.every(window.loaded) && performance.now() - window.began;
}"""


def bench_search(neurons: int = NEURONS) -> None:
    """Text to results in the server; and from Enter to the pictures in Chromium."""
    with tempfile.TemporaryDirectory(dir=bench_site.REPOSITORY) as folder:
        bundles = Path(folder) / "bundles"  # the database of labels lies beside it
        name = _make(bundles / "search-0123abcd", neurons).name
        _server(bundles, name)
        _browser(bundles, name)


def _server(folder: Path, name: str) -> None:
    logging.disable(logging.WARNING)  # there is no page here, and Streamlit says so at every turn
    os.environ["UNITSCOPE_BUNDLES"] = str(folder)
    resources, ask, results, view = (
        importlib.import_module(f"pages._ui.{module}")
        for module in ("resources", "search_ask", "search_results", "search_view")
    )
    opened = resources.open_named(name)
    units, store = opened.store.units, opened.store
    detail = f"{sum(map(units.count, units.kinds)):,} units: " + ", ".join(
        f"{units.count(k):,} {k}s" for k in units.kinds
    )
    say("labels indexed, once a bundle", f"{seconds(lambda: ask.prepare(opened)):.2f} s", "none", detail)
    asked = ask.prepare(opened)
    texts = store.bundle.table("pool")["text"].to_pylist()
    empty = view.SearchView()

    def whole(**question: Any) -> None:
        shown = replace(empty, **question)
        answer = ask.answer(ask.prepare(opened), shown, None)
        assert len(answer.matches) > view.PAGE
        made = [results._result(asked, match) for match in answer.matches[: view.PAGE]]
        assert len([results._card(asked, result, answer.text_o) for result in made]) == view.PAGE

    best = units.address("pair", int(units.importance("pair").argmax()))
    questions: dict[str, tuple[str, Callable[[int], object]]] = {
        "text by meaning, results alone": ("none", lambda i: asked.search.by_meaning(asked.search.embedding(texts[i]))),
        "words in labels, results alone": ("none", lambda i: asked.indexed.index.search(texts[i], 200)),
        "text to results, meaning and labels": ("< 100 ms", lambda i: whole(q=texts[i])),
        "units like a pair": ("none", lambda i: whole(unit=parse(units.address("pair", i + 1)))),
        "what an image moves": ("none", lambda i: whole(image=int(store.neurons.array("image_ids")[i]))),
    }
    assert store.units.direction(best).any()
    for what, (goal, call) in questions.items():
        cards = "" if "alone" in what else ", with the first 24 cards"
        wall, cpu = _median(call)
        say(what, f"{wall * 1e3:.0f} ms", goal, f"server{cards}; {cpu * 1e3:.0f} ms of processor time")


def _browser(folder: Path, name: str) -> None:
    from tests.bench_browser import CLOCK, chromium, waited

    assert "window.every" in CLOCK
    with bench_site.served(folder) as server, chromium() as page:
        page.goto(f"{server.address}/search?bundle={name}")
        box = page.get_by_role("textbox", name="Search every unit")
        box.wait_for()
        times = []
        texts = [f"{WORDS[i % len(WORDS)]} {WORDS[(7 * i + 3) % len(WORDS)]} {i}" for i in range(ROUNDS + 2)]
        for text in texts:
            page.wait_for_timeout(300)
            page.evaluate("() => { window.before = location.search; }")
            box.fill(text)
            box.press("Enter")
            times.append(waited(page, SHOWN))
        times = times[2:]  # the first opens indexes
        figure = f"{statistics.median(times) * 1e3:.0f} ms median, {max(times) * 1e3:.0f} ms at most"
        say("text, from Enter to its pictures", figure, "< 1 s", f"Chromium, {len(times)} texts")
        assert not server.problems(), server.problems()[:3]


def _median(ask: Callable[[int], object]) -> tuple[float, float]:
    """Seconds, and seconds of processor time of all threads, after two rounds that warm up."""
    ask(0), ask(1)
    walls, cpus = [], []
    for i in range(2, ROUNDS + 2):
        before = time.process_time()
        walls.append(seconds(lambda i=i: ask(i)))
        cpus.append(time.process_time() - before)
    return statistics.median(walls), statistics.median(cpus)


@contextmanager
def _sized(neurons: int) -> Iterator[None]:
    """`bundle_maker` makes larger ones."""
    sizes, axes = dict(bundle_maker.SIZES), dict(bundle_maker.AXES)
    later = [f"L{layer}.H{head}" for layer in (2, 3) for head in range(HEADS)]
    larger = {"image": IMAGES, "layer": 2, "head": HEADS, "coord": WIDTH, "out": OUT, "text": TEXTS}
    larger |= {"neuron": neurons, "neuron_image": MEASURED, "later_head": len(later), "pair_coord": WIDTH}
    larger |= {"pair_text": min(DESCRIBED, neurons), "active_offset": MEASURED + 1, "pair_rank": 12}
    larger |= {"active": 2 * neurons * (MEASURED - round(0.98 * (MEASURED - 1)) - 1)}
    bundle_maker.SIZES.update(larger)
    bundle_maker.AXES.update(larger | {"layer": [2, 3], "neuron_layer": [0, 1], "later_head": later})
    try:
        yield
    finally:
        for old, now in ((sizes, bundle_maker.SIZES), (axes, bundle_maker.AXES)):
            now.clear()
            now.update(old)


def _make(folder: Path, neurons: int) -> Path:
    with _sized(neurons):
        writer, made, tables = BundleWriter(folder), bundle_maker.arrays(), bundle_maker.tables()
        made["parts_mean"][:] = 0  # as their sum nearly is; otherwise all images would be near-duplicates of each other
        rng = np.random.default_rng(0)
        texts = [f"{WORDS[i % len(WORDS)]} {WORDS[(7 * i + 3) % len(WORDS)]} {i}" for i in range(TEXTS)]
        tables["pool"] = pa.table({"text": texts})
        for name, array in made.items():
            if name != "r":
                writer.array(name, array)
        writer.memmap("r", made["r"].shape)[:] = made["r"]
        writer.close_memmap("r")
        for name, table in tables.items():
            writer.table(name, table)
        for layer, head in np.ndindex(2, HEADS):
            key = schema.head_key(bundle_maker.AXES["layer"][layer], head)
            writer.index(key, build_flat_fp16(made["r"][layer, head]))
        writer.index("neurons", build_flat_fp16(made["neuron_direction"].reshape(-1, OUT)))
        for m, head in enumerate(bundle_maker.AXES["later_head"]):
            rows = made["pair_coords"][:, :, m].reshape(-1, WIDTH)
            writer.index(schema.pair_key(parse(head)), build_flat_fp16(rows))
        for name in ("representations", "text_embeddings"):
            writer.index({"representations": "images", "text_embeddings": "text"}[name], build_flat_fp16(made[name]))
        pictures = [encode_thumb(Image.fromarray(rng.integers(0, 255, (48, 48, 3), np.uint8)), 128) for _ in range(32)]
        thumbs = [pictures[i % 32] if good else b"" for i, good in enumerate(made["ok"])]
        with writer.file("thumbs/thumbs.bin") as path, path.open("wb") as file:
            file.write(b"".join(thumbs))
        with writer.file("thumbs/offsets.npy") as path, path.open("wb") as file:
            np.save(file, np.cumsum([0, *map(len, thumbs)]))
        writer.finish(bundle_maker.facts() | _about(), bundle_maker.AXES)
    return folder


def _about() -> dict[str, Any]:
    ok = IMAGES - len(bundle_maker.QUARANTINED)
    manifest = {"source": "images", "digest": "00", "images": IMAGES, "ok": ok, "quarantined": IMAGES - ok}
    return {"manifest": manifest, "pool": {"name": "words", "digest": "00", "texts": TEXTS}}


BENCHES = {"search": bench_search}
