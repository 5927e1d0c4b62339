"""The Agreement page in a real browser: figures, deciding by keyboard, and labels that go from desk to desk."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import krippendorff
import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.labels.database import Labels
from core.labels.events import Event, new_key
from core.store import Store
from tests.browser.conftest import SIZES, go, looks, settled
from tests.browser.serving import Site, among
from tests.browser.test_heads import WAIT, drawn

ENDS = 14
ANNA = [f"word {i % 4}" for i in range(ENDS)]
BOB = [word if i % 3 else "<b>other</b> $x$" for i, word in enumerate(ANNA)]
DIFFER = sum(a != b for a, b in zip(ANNA, BOB, strict=True))


def url(site: Site) -> str:
    return f"sqlite:///{site.bundles.parent / 'labels.sqlite'}"


def desk(serve: Callable, bundles: Path, home: Path) -> Site:
    """A server of its own, with labels of its own, over the same bundle."""
    return serve("pages._ui.server", among(bundles, home / "bundles", "vit"))


@pytest.fixture(scope="module")
def full(serve_here: Callable, bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two annotators have labelled fourteen ends there, of which they differ on five."""
    site = desk(serve_here, bundles, tmp_path_factory.mktemp("full"))
    store = Store(open_bundle(site.bundles / site.names[0]))
    order = np.argsort(-store.units.importance("neuron"))[:ENDS]
    labels = Labels(url(site))
    for name, words in (("Anna", ANNA), ("Bob", BOB)):
        labels.add(
            [
                Event(
                    new_key(), name, store.facts().bundle, store.units.address("neuron", int(row)), "+", "label", word,
                    tags=("made up",), confidence=0.5, evidence={"images": {"+": [1, 2]}}, automatic="automatic",
                    model=store.facts().weights_digest, queue="by importance", blind=name == "Bob",
                )
                for row, word in zip(order, words, strict=True)
            ]
        )  # fmt: skip
    labels.close()
    return site


@pytest.fixture
def empty(serve_once: Callable, bundles: Path, tmp_path: Path) -> Site:
    return desk(serve_once, bundles, tmp_path)


def events(site: Site) -> list[Event]:
    """All that a desk has, as it would be at any."""
    labels = Labels(url(site))
    found = [replace(event, seq=0, evidence=dict(event.evidence)) for event in labels.since(0)]
    labels.close()
    return sorted(found, key=lambda event: event.key)


def alpha(site: Site) -> float:
    said = {(e.address, e.annotator): e.text for e in events(site) if e.kind == "label"}
    code = {word: i for i, word in enumerate(sorted(set(said.values())))}
    rows = [[code[said[a, name]] for a in sorted({a for a, _ in said})] for name in ("Anna", "Bob")]
    return float(krippendorff.alpha(np.array(rows), level_of_measurement="nominal"))


def link(site: Site, tab: str) -> str:
    return f"{site.address}/agreement?bundle={site.names[0]}&tab={tab}"


def field(page, name: str):
    return page.get_by_role("textbox", name=name)


def waits_for(page, value: str) -> None:
    page.wait_for_function(
        "value => [...document.querySelectorAll('[class*=\"st-key-decide-text\"] input')].some(i => i.value === value)",
        arg=value,
    )


def test_figures_decisions_by_keyboard_and_a_move_to_another_desk(
    full: Site, empty: Site, visit: Callable, tmp_path: Path
) -> None:
    page = visit(link(full, "agreement"))
    shown = f"{alpha(full):.3f}"
    page.get_by_text(shown, exact=True).first.wait_for(timeout=WAIT)
    page.get_by_text(f"Over {ENDS} ends").wait_for()
    page.get_by_role("radio", name="Disagreements").click()
    page.get_by_text(f"1 of {DIFFER} listed").wait_for(timeout=WAIT)
    field(page, "Your name").fill("Cleo")
    page.keyboard.press("Enter")
    field(page, "Why").wait_for()
    settled(page)
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")

    page.keyboard.press("j")
    page.get_by_text(f"2 of {DIFFER} listed").wait_for()
    page.keyboard.press("k")
    page.get_by_text(f"1 of {DIFFER} listed").wait_for()
    settled(page)
    for left in range(DIFFER, 0, -1):
        address = page.get_by_role("heading", name=re.compile(r"^L\d\.N\d+, . end$")).inner_text()
        taken = page.locator('[class*="st-key-choice-2"] button').first.inner_text()
        page.keyboard.press("2")
        waits_for(page, taken.replace("\u2060", "").split(maxsplit=1)[1])
        page.wait_for_function("document.activeElement?.closest('[class*=\"st-key-decide-reason\"]')")
        page.keyboard.type(f"because {left}")
        page.keyboard.press("Enter")
        page.get_by_text(f"Saved: {address.split(',')[0]}").wait_for()
        page.get_by_text(f"1 of {left - 1} listed" if left > 1 else "No disagreements here").wait_for()
        settled(page)
    decided = [event for event in events(full) if event.kind == "adjudicate"]
    assert len(decided) == DIFFER and {event.annotator for event in decided} == {"Cleo"}
    assert {event.reason for event in decided} == {f"because {left}" for left in range(1, DIFFER + 1)}
    assert all(event.text in {*ANNA, *BOB} for event in decided)
    page.get_by_role("button", name="Take it back").click()
    page.get_by_text("is open again").wait_for()
    page.get_by_text("1 of 1 listed").wait_for()
    assert [event.kind for event in events(full)].count("undo") == 1

    page.get_by_role("radio", name="Export and import").click()
    with page.expect_download(timeout=WAIT) as download:
        page.get_by_role("button", name="JSON Lines").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.suffix == ".jsonl" and file.read_text().count("\n") == len(events(full))

    other = visit(link(empty, "files"))
    other.locator('input[type="file"]').set_input_files(file)
    other.get_by_role("button", name=f"Import {len(events(full))} events").click()
    other.get_by_text(f"{len(events(full))} events imported").wait_for()
    assert events(empty) == events(full)
    other.get_by_role("radio", name="Agreement", exact=True).click()
    other.get_by_text(shown, exact=True).first.wait_for(timeout=WAIT)


def test_a_double_click_decides_once(full: Site, visit: Callable) -> None:
    page = visit(link(full, "disagreements") + "&show=all")
    page.get_by_text("listed").first.wait_for(timeout=WAIT)
    field(page, "Your name").fill("Dora")
    page.keyboard.press("Enter")
    field(page, "Why").wait_for()
    settled(page)
    field(page, "Why").fill("it is so")
    field(page, "The label it shall be").fill("words of my own")
    page.get_by_role("button", name=re.compile("Save and next|Decide otherwise")).dblclick()
    page.get_by_text("Saved: ").wait_for()
    settled(page)
    page.get_by_text("Decided: words of my own").wait_for()
    assert sum(event.annotator == "Dora" for event in events(full)) == 1


def test_a_malformed_file_gets_a_sentence(full: Site, visit: Callable, tmp_path: Path) -> None:
    before = events(full)
    page = visit(link(full, "files"))
    for name, content, sentence in (
        ("labels.csv", b"annotator,at,address,key\nAnna,yesterday,L0.N1,12\n", "line 2"),
        ("labels.jsonl", b'{"annotator": "Anna"}\n', "line 1"),
        ("labels.parquet", b"PAR1 and no more", "damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        page.locator('input[type="file"]').set_input_files(tmp_path / name)
        page.get_by_test_id("stAlert").get_by_text(re.compile(sentence)).wait_for()
        settled(page)
        assert page.get_by_role("button", name=re.compile("^Import")).count() == 0
    assert events(full) == before


@pytest.mark.parametrize("size", SIZES)
def test_agreement_looks(full: Site, visit: Callable, size: str) -> None:
    page = visit(link(full, "overview"), size)
    for tab in ("overview", "agreement", "disagreements", "labels"):
        drawn(go(page, link(full, tab) + "&show=all" * (tab == "disagreements")))
        looks(page, f"agreement-{tab}", size)
