"""What visitors wait for, in a real Chromium on the demo bundle. `python -m tests.bench_browser [ROUNDS] [IMAGES]`

A time runs from the browser's own event (pointer down, key down, file chosen) to the first frame in which what was
asked for is on the screen; both are read from the page's clock. The server and the pages visited are warm.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import numpy as np
from PIL import Image

from core.text.pools import load_pool
from tests.bench_app import make
from tests.bench_site import (
    REPOSITORY,
    Running,
    demo_bundle,
    demo_classes,
    demo_heads,
    demo_pairs,
    heading,
    say,
    served,
)
from tests.browser.conftest import CHROMIUM, FLAGS, settled
from tests.browser.test_overview import CELL

if TYPE_CHECKING:
    from playwright.sync_api import Page

POOL = 3_500
LOST = 20_000
CLOCK = """
for (const kind of ["pointerdown", "keydown", "change"])
  window.addEventListener(kind, () => { window.began = performance.now(); }, { capture: true });
// the grids live in shadow roots
window.every = (selector, root = document) => {
  const found = [...root.querySelectorAll(selector)];
  for (const element of root.querySelectorAll("*"))
    if (element.shadowRoot) found.push(...window.every(selector, element.shadowRoot));
  return found;
};
window.loaded = (image) => image.complete && image.naturalWidth > 0;
window.onScreen = (element) => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
};
window.title = () => document.querySelector('[data-testid="stMain"] h1')?.innerText.trim();
window.overlays = () => window.every("img.overlay").filter(window.onScreen);
window.fresh = () => !document.querySelector('[data-stale="true"]');
"""
HEAD_SHOWN = """(head) => {
  if (window.title() !== head || !window.fresh()) return false;
  const thumbs = window.every(".cell img.thumb").filter(window.onScreen);
  return thumbs.length >= 6 && thumbs.every(window.loaded) && performance.now() - window.began;
}"""
HEAD_LOADED = """(head) => {
  const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
  if (window.title() !== head || state !== "notRunning") return false;
  const thumbs = window.every(".cell img.thumb").filter(window.onScreen);
  return thumbs.length >= 6 && thumbs.every(window.loaded) && performance.now();
}"""
MAP_SHOWN = """([before, name]) => {
  if (!location.search.includes(name)) return false;
  const maps = window.overlays();
  return maps.length > 0 && maps[0].src !== before && maps.every(window.loaded) && performance.now() - window.began;
}"""
RELABELLED = """(head) => window.title() === head && window.fresh()
  && window.every('[data-testid="stDataFrame"] canvas').some(window.onScreen)
  && document.querySelector('[data-testid="stApp"]').dataset.testScriptState === "notRunning"
  && performance.now() - window.began"""


@contextmanager
def chromium() -> Iterator["Page"]:
    """A page of 1440 by 900 that keeps the time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(LOST)
        page.add_init_script(CLOCK)
        yield page
        browser.close()


def waited(page: "Page", condition: str, argument: object = None) -> float:
    """Seconds from the last event to the frame in which the condition gives a number."""
    return float(page.wait_for_function(condition, arg=argument).json_value()) / 1e3


def heads_from_the_grid(page: "Page", server: Running, rounds: int) -> list[float]:
    """Click on a cell of the Overview, until all thumbnails of the head's first screen are there."""
    page.goto(f"{server.address}/?bundle={demo_bundle()}")
    heads, times = demo_heads(), []
    for i in range(rounds + 1):
        cell = page.locator(CELL).nth(i % len(heads))
        cell.wait_for()
        settled(page)
        cell.click(force=True)
        times.append(waited(page, HEAD_SHOWN, heads[i % len(heads)]))
        settled(page)
        page.go_back()
    return times[1:]


def relabelling(page: "Page", server: Running, rounds: int) -> tuple[list[float], list[float]]:
    """A pool of 3,500 texts: its first use, embedding them under a progress bar; and then the next head, by key."""
    pool = "\n".join(load_pool("general").texts[:POOL]).encode()
    assert pool.count(b"\n") == POOL - 1
    heads, steps = demo_heads(), []
    page.goto(f"{server.address}/heads?bundle={demo_bundle()}&tab=relabel&head={heads[0]}")
    settled(page)
    page.locator('input[type="file"]').set_input_files({"name": "pool.txt", "mimeType": "text/plain", "buffer": pool})
    page.get_by_text("pool.txt").wait_for()
    settled(page)
    use = page.get_by_role("button", name="Use these texts")
    use.click()
    page.get_by_test_id("stProgress").wait_for()  # or the bench fails here
    page.get_by_text(f"{POOL:,} texts in use").wait_for()
    first = [waited(page, RELABELLED, heads[0])]
    there = [("j", head) for head in heads[1:]] + [("k", head) for head in heads[-2::-1]]
    for key, head in islice(cycle(there), rounds):
        settled(page)
        page.keyboard.press(key)
        steps.append(waited(page, RELABELLED, head))
    return first, steps


def pairs_by_key(page: "Page", server: Running, rounds: int, neuron: str | None = None) -> list[float]:
    """The next pair by key, until all thumbnails of its first screen are there: of the best, whose texts are stored, or
    of one neuron's, most of whose texts are made then."""
    names, times = demo_pairs(rounds + 2, neuron), []
    more = f"&neuron={neuron}&sort=share" if neuron else ""
    page.goto(f"{server.address}/pairs?bundle={demo_bundle()}&pair={names[0]}{more}")
    waited(page, HEAD_LOADED, names[0])
    for name in names[1:]:
        settled(page)
        page.keyboard.press("j")
        times.append(waited(page, HEAD_SHOWN, name))
    return times[1:]


def uploads(page: "Page", server: Running, rounds: int) -> list[float]:
    """A photograph's JPEG of 1280 by 960, until its first heatmap is drawn."""
    page.goto(f"{server.address}/image?bundle={demo_bundle()}&tab=where")
    page.wait_for_function("() => window.overlays().some(window.loaded)")
    times = []
    for i in range(rounds + 1):
        settled(page)
        data = photograph(i)
        before = page.evaluate("window.overlays()[0].src")
        file = {"name": f"{i}.jpg", "mimeType": "image/jpeg", "buffer": data}
        page.locator('input[type="file"]').set_input_files(file)
        times.append(waited(page, MAP_SHOWN, [before, sha256(data).hexdigest()[:32]]))
    return times[1:]


def prompts(page: "Page", server: Running, rounds: int) -> list[float]:
    """Another first prompt, from Ctrl+Enter until its heatmap is drawn; each prompt is new to the server."""
    page.goto(f"{server.address}/image?bundle={demo_bundle()}&tab=where")
    page.wait_for_function("() => window.overlays().some(window.loaded)")
    area, times = page.get_by_role("textbox", name="Prompts, one a line"), []
    # in words that the demo model knows, since all others are one to it and would not change the map
    names = demo_classes()
    for i in range(rounds + 1):
        settled(page)
        before = page.evaluate("window.overlays()[0].src")
        pair = f"{names[i]} and {names[-1 - i]}"
        area.fill(f"a picture of {pair}\na picture of a dog")
        area.press("Control+Enter")
        times.append(waited(page, MAP_SHOWN, [before, quote_plus(pair)]))
    return times[1:]


def large(rounds: int, n: int) -> None:
    """The Heads page over a made-up bundle of n images, with thumbnails: each load is a new session's, at another head
    and text; and what the server has for itself beside the index that it searches."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:
        bundle = make(Path(folder) / "large-0123abcd", n, thumbs=True)
        index = sum(path.stat().st_size for path in bundle.rglob("*.faiss")) / 2**20
        with served(Path(folder)) as server, chromium() as page:
            before, times = server.private_mb(), []
            for i in range(rounds + 1):
                page.goto("about:blank")
                view = f"head=L3.H{i % 2}&text={i // 2 % 2}&tab={'intervals' if i % 4 == 3 else 'ends'}"
                page.goto(f"{server.address}/heads?bundle={bundle.name}&{view}")
                times.append(waited(page, HEAD_LOADED, f"L3.H{i % 2}"))
            say(f"Heads page over {n:,} images, loaded anew", times[1:], "1,500")
            print(f"    first of all {times[0]:.1f} s; the server's private memory {before:.0f} MB before and "
                  f"{server.private_mb():.0f} MB after; indexes of {index:.0f} MB", flush=True)  # fmt: skip
            assert not server.problems(), server.problems()


def photograph(i: int, scale: float = 1.0) -> bytes:
    """A JPEG of a demo scene, enlarged to 1280 by 960 times `scale`, with grain: no two are the same, and it is
    as large as a camera's."""
    files = sorted((REPOSITORY / "demo" / "images").rglob("*.webp"))
    with Image.open(files[i * 97 % len(files)]) as scene:
        large = np.asarray(scene.convert("RGB").resize((int(1280 * scale), int(960 * scale))), np.int16)
    grain = np.random.default_rng(i).normal(0, 8, large.shape)
    out = BytesIO()
    Image.fromarray((large + grain).clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def main(rounds: int = 20, images: int = 1_281_167) -> None:
    if not Path(CHROMIUM).exists():
        print(f"no Chromium at {CHROMIUM}: the browser's figures are left out")
        return
    with served() as server:
        heading()
        with chromium() as page:
            say(
                "click on a head in the grid, to all thumbnails on screen",
                heads_from_the_grid(page, server, rounds),
                "1,000",
            )
            first, steps = relabelling(page, server, rounds)
            say(f"relabel with {POOL:,} new texts (embedding; progress bar seen)", first, "a progress bar")
            say(f"relabel one head, {POOL:,} texts embedded: next head", steps, "500")
            say("pair page switch by key, the best pairs", pairs_by_key(page, server, rounds), "1,000")
            neuron = demo_pairs(1)[0].split(">")[0]
            own = pairs_by_key(page, server, rounds, neuron)
            say("pair page switch by key, one neuron's pairs", own, "1,000")
            say("upload of 1280 x 960, to its first heatmap", uploads(page, server, rounds), "2,000")
            say("new prompt, to its heatmap", prompts(page, server, rounds), "500")
        assert not server.problems(), server.problems()
    large(rounds, images)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
