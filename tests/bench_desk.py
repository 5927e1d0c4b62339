"""What an annotator waits for at the desk, in a real Chromium on the demo bundle: `python -m tests.bench desk`.

From the key Enter to the first frame with the next unit and its pictures, and to the word that the label is saved, with
200,000 events in the database and eight processes that write at the same time: each five a second, which is more than
people do, and then as fast as they can.
"""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.bundle.read import open_bundle
from core.labels.database import Labels, default_url
from core.labels.events import Event, new_key
from core.labels.queues import MOST
from core.store import Store
from pages._ui.resources import BUNDLES_VARIABLE
from tests.bench_browser import chromium, waited
from tests.bench_site import BUNDLES, REPOSITORY, heading, say, served
from tests.browser.conftest import settled

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVENTS, WRITERS, ROUNDS = 200_000, 8, 30
PAUSES = ((0.2, "five a second each"), (0.0, "as fast as they can"))
GOAL = "< 300"
_BATCH = 5_000
_NEXT = """(before) => {
  const desk = window.every(".desk")[0];
  if (!desk?.dataset.address || desk.dataset.address === before || desk.classList.contains("waiting")) return false;
  const thumbs = window.every(".cell img").filter(window.onScreen);
  return thumbs.length >= 6 && thumbs.every(window.loaded) && performance.now() - window.began;
}"""
_SAVED = """(name) => {
  const line = window.every(".status")[0];
  return line?.textContent.startsWith(`Saved: ${name} `) && performance.now() - window.began;
}"""


def bench_desk() -> None:
    """Save and next."""
    heading()
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(folder) / "bundles"
        bundles.mkdir()
        source = _demo()
        (bundles / source.name).symlink_to(source)
        url = default_url(bundles)
        began = time.monotonic()
        about = _fill(url, Store(open_bundle(source)))
        print(f"{EVENTS:,} events written in {time.monotonic() - began:.0f} s", flush=True)
        with served(bundles) as server, chromium() as page:
            page.goto(f"{server.address}/label?bundle={source.name}&kind=neuron")
            page.get_by_role("textbox", name="Your name").fill("the bench")
            page.keyboard.press("Enter")
            page.locator(".address").wait_for(timeout=120_000)  # the first visitor waits for the events to be read
            settled(page)
            for pause, pace in PAUSES:
                with _writing(url, about, pause) as count:
                    page.wait_for_timeout(1_000)
                    before = count()
                    began = time.monotonic()
                    drawn, saved = _label(page)
                    speed = (count() - before) / (time.monotonic() - began)
                say(f"save and next, 8 writers {pace}: next drawn", drawn, GOAL)
                say(f"  until “Saved” ({speed:.0f} events a second in all)", saved, "")
            problems = server.problems()
            assert not problems, problems[:3]


def _label(page: "Page") -> tuple[list[float], list[float]]:
    """Label ROUNDS units by keyboard: seconds until the next is drawn, and until it says that the label is saved."""
    drawn, saved = [], []
    for _ in range(ROUNDS):
        here = page.locator(".address").inner_text()
        page.keyboard.press("/")
        page.keyboard.type("a label of the bench")
        page.keyboard.press("Enter")
        drawn.append(waited(page, _NEXT, here))
        saved.append(waited(page, _SAVED, here))
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)
    return drawn, saved


def _demo() -> Path:
    folder = Path(os.environ.get(BUNDLES_VARIABLE) or BUNDLES)
    found = sorted(path for path in folder.glob("demo-vit-*") if (path / "bundle.json").is_file())
    assert found, "There is no demo bundle: run `make demo` first."
    return found[0].resolve()


def _fill(url: str, store: Store) -> tuple[str, str]:
    """Events of eight annotators over all neurons; returns the bundle's id and a model's digest."""
    rng = random.Random(0)
    bundle, model = store.facts().bundle, store.facts().weights_digest
    addresses = [store.units.address("neuron", row) for row in range(min(MOST, store.units.count("neuron")))]
    base = Labels(url)
    for start in range(0, EVENTS, _BATCH):
        base.add([
            Event(
                new_key(), f"annotator {n % WRITERS}", bundle, rng.choice(addresses), "+", "label",
                f"text {rng.randrange(5_000)}", evidence={"images": {"+": list(range(12)), "-": list(range(12))}},
                automatic="something", model=model, queue="importance",
            )
            for n in range(start, min(EVENTS, start + _BATCH))
        ])  # fmt: skip
    base.close()
    return bundle, model


@contextlib.contextmanager
def _writing(url: str, about: tuple[str, str], pause: float) -> Iterator[Callable[[], int]]:
    """Eight processes that write; gives how many events there are."""
    words = [sys.executable, "-m", "tests.bench_writer", url, *about, str(pause)]
    writers = [
        subprocess.Popen([*words, f"writer {n}"], cwd=REPOSITORY, stdout=subprocess.PIPE) for n in range(WRITERS)
    ]
    base = Labels(url)
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline(), "a writer did not begin"
        yield base.count
    finally:
        for writer in writers:
            writer.terminate()
        for writer in writers:
            writer.wait()
            if writer.stdout is not None:
                writer.stdout.close()
        base.close()


BENCHES: dict[str, Callable[[], object]] = {"desk": bench_desk}
