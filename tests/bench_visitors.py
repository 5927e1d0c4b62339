"""Visitors who upload different images at once: is every result the one that a single visitor gets?

`python -m tests.bench_visitors [UPLOADS] [BROWSER_UPLOADS]`: four visitors, 100 images each through the live model as
the app holds it, and 10 each through Chromium, where what is compared is what the pages show.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: as the server has it

import numpy as np

from core.bundle.read import open_bundle
from core.store import Store
from pages._ui import resources, uploads
from pages._ui.live import LiveModels
from tests.bench_browser import CLOCK, photograph
from tests.bench_site import BUNDLES, Running, demo_bundle, served
from tests.browser.conftest import CHROMIUM, FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from core.explain import Explainer

VISITORS = 4
SHOWN = """([name, before]) => {
  const maps = window.every("img.overlay"), now = maps.map((map) => map.src), all = now.join();
  if (all !== window.lately) { window.lately = all; window.since = performance.now(); }
  // drawn one after the other while the script runs: all must be new, and stay
  return location.search.includes(name) && maps.length > 0 && !now.some((map) => before.includes(map))
    && maps.every(window.loaded) && performance.now() - window.since > 500 && now;
}"""


def answer(explainer: "Explainer", store: Store, data: bytes, n: int) -> str:
    """The digest of everything the Image page shows of one upload, to the last bit."""
    trace = explainer.read(uploads.check(data)[1])
    text, other = f"a picture of thing {n}", "a picture of a dog"
    every = (
        trace.unit_o,
        trace.view_yx3,
        explainer.zero_shot(trace, [text, other]),
        explainer.heatmap(trace, text, other),
        explainer.heatmap(trace, text, average_o=store.class_mean(), normalise="per-layer"),
        explainer.budget(trace, text),
        explainer.ranked_heads(trace, other),
        explainer.head_token_matrix(trace, text),
        store.similar(trace.unit_o, 12),
    )
    return hashlib.sha256(repr([_plain(each) for each in every]).encode()).hexdigest()


def at_once(bundle: Path, images: Sequence[bytes]) -> list[int]:
    """Visitors share the images out among them and ask at the same time, through a live model as the pages get it.
    Returns the numbers of the images whose answer is not the one that a single visitor got."""
    opened = open_bundle(bundle)
    store = Store(opened)

    def model() -> "Explainer":
        return LiveModels(resources._load, resources._weight, resources._memory).ask(0, opened.facts).result()

    alone = model()
    expected = [answer(alone, store, data, n) for n, data in enumerate(images)]
    shared = model()
    assert shared is not alone
    with ThreadPoolExecutor(VISITORS) as pool:
        found = list(pool.map(lambda n: answer(shared, store, images[n], n), range(len(images))))
    return [n for n, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b]


def on_pages(pages: "Sequence[Page]", address: str, images: Sequence[bytes]) -> list[int]:
    """The same with a page for each visitor: all choose a file, and only then is looked at what each of them sees. The
    pages, one a visitor, are tabs of profiles of their own."""
    expected = [each for (each,) in _show(pages[:1], address, [[data] for data in images])]
    shares = [images[v::VISITORS] for v in range(VISITORS)]
    found = _show(pages, address, shares)
    wrong = []
    for visitor, maps in enumerate(found):
        wrong += [
            n for n, shown in zip(range(visitor, len(images), VISITORS), maps, strict=True) if shown != expected[n]
        ]
    return sorted(wrong)


def _show(pages: "Sequence[Page]", address: str, shares: Sequence[Sequence[bytes]]) -> list[list[Any]]:
    """The heatmaps that each visitor's page shows of each of its images. One visitor a share, all at once where there
    are as many as pages; one after the other, in one page, where there are not."""
    together = len(pages) == len(shares)
    for page in pages:
        page.set_default_timeout(60_000)
        page.goto(address)
        page.evaluate(CLOCK)
        page.wait_for_function(SHOWN, arg=["", []])
    seen: list[list[Any]] = [[] for _ in shares]
    if together:
        for turn in range(max(map(len, shares))):
            there = [v for v in range(VISITORS) if turn < len(shares[v])]
            begun = [_give(pages[v], shares[v][turn]) for v in there]
            for v, what in zip(there, begun, strict=True):
                seen[v].append(_seen(pages[v], what))
    else:
        for n, (data,) in enumerate(shares):
            seen[n].append(_seen(pages[0], _give(pages[0], data)))
    return seen


def _give(page: "Page", data: bytes) -> list[Any]:
    """Choose a file. Returns what tells when its heatmaps are there: its name, and the maps shown before."""
    file = {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": data}
    before = page.evaluate("window.every('img.overlay').map((map) => map.src)")
    page.locator('input[type="file"]').set_input_files(file)
    return [hashlib.sha256(data).hexdigest()[:32], before]


def _seen(page: "Page", what: list[Any]) -> Any:
    return page.wait_for_function(SHOWN, arg=what).json_value()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if hasattr(value, "__dataclass_fields__"):
        return tuple(_plain(getattr(value, field.name)) for field in fields(value))
    return value


def main(count: int = 100, shown: int = 10) -> int:
    images = [photograph(n, 0.5) for n in range(VISITORS * count)]
    began = time.monotonic()
    wrong = at_once(BUNDLES / demo_bundle(), images)
    print(f"{VISITORS} visitors x {count} uploads, through the live model: {len(wrong)} of {len(images)} differ "
          f"({time.monotonic() - began:.0f} s)", flush=True)  # fmt: skip
    if not CHROMIUM.exists():
        print(f"no Chromium at {CHROMIUM}: not tried in a browser")
        return int(bool(wrong))
    from playwright.sync_api import sync_playwright

    with served() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        began = time.monotonic()
        pages = [browser.new_context(viewport={"width": 1000, "height": 800}).new_page() for _ in range(VISITORS)]
        bad = on_pages(pages, image_page(server), images[: VISITORS * shown])
        print(f"{VISITORS} visitors x {shown} uploads, in Chromium: {len(bad)} of {VISITORS * shown} differ "
              f"({time.monotonic() - began:.0f} s)", flush=True)  # fmt: skip
        browser.close()
        assert not server.problems(), server.problems()
    return int(bool(wrong or bad))


def image_page(server: Running) -> str:
    return f"{server.address}/image?bundle={demo_bundle()}&tab=where"


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
