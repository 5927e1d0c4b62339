"""The labelling desk in a real browser: by the keyboard alone, blind, two at once, and when the database is away."""

import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.labels.database import Labels, default_url
from core.labels.events import Event
from tests.browser.conftest import SIZES, TIMEOUT, looks, pictured, settled
from tests.browser.serving import REPOSITORY, Site, among
from tests.browser.test_heads import WAIT, named


@pytest.fixture
def desk_site(serve_once: Callable, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The product over the same bundles, with a database of labels of its own."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return desk(serve_once, bundles, tmp_path)


@pytest.fixture(scope="module")
def looked_at(serve_here: Callable, bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same for tests that label nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        yield desk(serve_here, bundles, tmp_path_factory.mktemp("looked_at"))


def desk(begin: Callable, bundles: Path, home: Path) -> Site:
    return begin("pages._ui.server", among(bundles, home / "bundles"))


def events(site: Site, number: int) -> list[Event]:
    """What is stored, once so many events are: the desk goes on before the server has written."""
    base = Labels(default_url(site.bundles))
    until = time.monotonic() + TIMEOUT / 1_000
    try:
        while len(found := base.since(0)) < number and time.monotonic() < until:
            time.sleep(0.05)
        return found
    finally:
        base.close()


def sit(visit: Callable, site: Site, name: str, kind: str = "vit", query: str = "", **more: str):
    """Open the desk and say who one is, by keyboard."""
    page = visit(f"{site.address}/label?bundle={named(site, kind)}{query}", **more)
    field = page.get_by_role("textbox", name="Your name")
    field.focus()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.locator(".address").wait_for()
    ready(page)
    return page


def ready(page) -> None:
    settled(page)
    pictured(page, ".first img")


def about(page) -> str:
    return page.locator(".address").inner_text()


def moved(page, old: str) -> str:
    """Wait for another unit; its address."""
    page.wait_for_function(
        "(old) => [...document.querySelectorAll('*')].some((e) => { const desk = e.shadowRoot?.querySelector('.desk');"
        " return desk?.dataset.address && desk.dataset.address !== old; })",
        arg=old,
    )
    return about(page)


def status(page, words: str) -> None:
    page.locator(".status").get_by_text(re.compile(words)).wait_for(timeout=WAIT)


def test_ten_units_by_the_keyboard_alone(desk_site: Site, visit: Callable) -> None:
    page = sit(visit, desk_site, "Ada", query="&kind=head")
    press, kind = page.keyboard.press, page.keyboard.type
    seen = [about(page)]

    def on(words: str) -> None:
        seen.append(moved(page, seen[-1]))
        status(page, words)

    first_candidate = page.locator(".candidate span").first.inner_text()
    press("1")
    assert page.locator(".box").input_value() == first_candidate
    press("Enter")
    on("Saved: ")
    press("u")
    on("Saved as unsure")
    press("s")
    on("Skipped")
    press("x")
    on("Saved as uninterpretable")
    press("Backspace")  # back to the fourth
    status(page, "Taken back")
    page.locator(".address").get_by_text(seen[3], exact=True).wait_for()
    seen.pop()
    press("/")
    kind("1st <b>label</b> s")  # digits and letters are text in the box
    press("Enter")
    on("1st <b>label</b> s")
    kind("/1s")  # and one goes on typing, to the box already being nothing new; the label of before is offered
    assert page.locator(".box").input_value() == "1s"
    page.get_by_role("option").first.wait_for()
    press("ArrowDown")
    press("Enter")
    assert page.locator(".box").input_value() == "1st <b>label</b> s"
    press("Enter")
    on("Saved")
    press("Escape")
    press("1")
    press("Shift+Digit2")
    press("c")
    press("c")
    press("t")
    kind("season, cold")
    press("Enter")
    on("Saved")
    press("Escape")
    press("j")
    skipped_over = seen[-1]
    seen.append(moved(page, seen[-1]))
    press("k")
    assert moved(page, seen.pop()) == skipped_over
    for _ in range(4):
        press("1")
        press("Enter")
        on("Saved")
    assert page.locator("[data-testid='stDialog']").count() == 0
    press("?")
    page.get_by_role("dialog").wait_for()
    press("1")
    press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    stored = events(desk_site, 12)
    kinds = [event.kind for event in stored]
    assert kinds == ["label", "unsure", "skip", "uninterpretable", "undo", *["label"] * 7]
    assert [event.address for event in stored if event.kind != "undo"] == [*seen[:4], seen[3], *seen[4:-1]]
    assert stored[0].text == first_candidate and stored[5].text == stored[6].text == "1st <b>label</b> s"
    assert len(stored[7].senses) == 2 and stored[7].confidence == 0.5 and stored[7].tags == ("season", "cold")
    assert len(stored[7].evidence["desk"]) == 32 and stored[7].evidence["images"]["+"]
    assert page.locator(".said b, .said i").all_inner_texts() == []
    here, box = about(page), page.locator(".box")
    page.reload()
    page.locator(".address").wait_for()
    ready(page)
    assert about(page) == here and box.input_value() == ""
    page.goto(f"{desk_site.address}/label?bundle={named(desk_site, 'vit')}&kind=head")
    page.locator(".address").wait_for()
    ready(page)
    assert about(page) == here  # without a unit in the link too, and the name is still known


def test_a_label_that_was_given_can_be_read_as_text(desk_site: Site, visit: Callable) -> None:
    page = sit(visit, desk_site, "Eve", query="&kind=head")
    hostile = "<img src=x onerror=alert(1)> ![a](b) 🦉"
    old = about(page)
    page.keyboard.press("l")
    page.keyboard.type(hostile)
    page.keyboard.press("Enter")
    moved(page, old)
    status(page, "Saved")
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.locator(".said q").get_by_text(hostile).wait_for()
    assert page.locator(".box").input_value() == hostile and page.locator(".side img").count() == 0


def test_two_annotators_the_second_blind(desk_site: Site, visit: Callable) -> None:
    ada = sit(visit, desk_site, "Ada", query="&kind=head")
    bo = sit(visit, desk_site, "Bo", query="&kind=head&blind=True")
    automatic = ada.locator(".automatic p").first.inner_text()
    for page, words in ((ada, "the secret"), (bo, "my own")):
        old = about(page)
        assert page is ada or (page.locator(".candidate").count() == 0 and automatic not in page.content())
        page.keyboard.press("l")
        page.keyboard.type(words)
        page.keyboard.press("Enter")
        moved(page, old)
        status(page, "Saved")
    assert automatic in bo.locator(".status").inner_text()
    assert bo.locator(".automatic").inner_text().startswith("Blind")
    bo.keyboard.press("Escape")
    bo.keyboard.press("k")
    bo.locator(".said q").get_by_text("the secret").wait_for()
    assert [(event.annotator, event.blind, event.automatic is None) for event in events(desk_site, 2)] == [
        ("Ada", False, False), ("Bo", True, True),
    ]  # fmt: skip
    link = f"{desk_site.address}/label?bundle={named(desk_site, 'vit')}&queue=disagreement"
    ada.goto(link)
    ada.locator(".count").get_by_text("1 of 1 done").wait_for()
    other = sit(visit, desk_site, "Ada", query="&kind=head")  # another browser under a name that is at work
    other.get_by_text("labelled at 1 other desk").wait_for()
    other.get_by_role("button", name="Choose another name").click()
    other.get_by_role("textbox", name="Your name").wait_for()


def test_while_the_database_is_away_the_text_stays(desk_site: Site, visit: Callable) -> None:
    page = sit(visit, desk_site, "Ada", query="&kind=head")
    old = about(page)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    here = moved(page, old)
    status(page, "Saved")
    file = default_url(desk_site.bundles).removeprefix("sqlite:///")
    with sqlite3.connect(file, timeout=20) as base:
        base.execute("ALTER TABLE events RENAME TO away")
    page.keyboard.press("l")
    page.keyboard.type("not to be lost")
    page.keyboard.press("Enter")
    status(page, "Not saved, and still in the box")
    assert about(page) == here and page.locator(".box").input_value() == "not to be lost"
    with sqlite3.connect(file, timeout=20) as base:
        base.execute("ALTER TABLE away RENAME TO events")
    page.keyboard.press("Enter")
    moved(page, here)
    status(page, "Saved")
    assert [event.text for event in events(desk_site, 2)][1:] == ["not to be lost"]


def test_a_server_killed_in_the_middle_of_a_save_loses_nothing(
    bundles: Path, visit: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folder = tmp_path / "bundles"
    folder.symlink_to(bundles)
    port = free_port()
    site = Site(f"http://127.0.0.1:{port}", folder, tmp_path / "server.log")
    with served(site, port) as process:
        page = sit(visit, site, "Ada", query="&kind=head")
        old = about(page)
        process.send_signal(signal.SIGSTOP)  # it hears nothing of what follows
        page.keyboard.press("l")
        page.keyboard.type("not to be lost")
        page.keyboard.press("Enter")
        moved(page, old)
        process.kill()
    page.wait_for_timeout(1_000)
    with served(site, port):
        page.locator(".status").get_by_text(re.compile("Saved: .*not to be lost")).wait_for(timeout=2 * WAIT)
    assert [(event.annotator, event.address, event.text) for event in events(site, 1)] == [
        ("Ada", old, "not to be lost")
    ]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(site: Site, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The product on a port of our choice, as after a restart."""
    words = [sys.executable, "-m", "pages._ui.server", "--bundles", str(site.bundles), "--port", str(port)]
    with site.log_file.open("ab") as log:
        process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        assert b"http://" in process.stdout.readline(), site.log()[-2000:]
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_heatmaps_on_a_key(looked_at: Site, visit: Callable) -> None:
    page = sit(visit, looked_at, "Ada", query="&kind=neuron")
    page.keyboard.press("h")
    page.locator(".overlay").first.wait_for(timeout=WAIT)
    page.wait_for_url(re.compile("map=on"))
    page.keyboard.press("h")
    page.locator(".overlay").first.wait_for(state="detached")


def test_keys_are_the_desks_after_a_click_on_a_switch(looked_at: Site, visit: Callable) -> None:
    page = sit(visit, looked_at, "Ada", query="&kind=head")
    page.get_by_text("Blind", exact=True).click()
    page.wait_for_url(re.compile("blind=True"))
    ready(page)
    page.keyboard.press("/")
    page.keyboard.type("a dog")  # its space is no press of the switch
    assert page.locator(".box").input_value() == "a dog" and "blind=True" in page.url


def test_to_the_desk_from_a_units_page(looked_at: Site, visit: Callable) -> None:
    page = sit(visit, looked_at, "Ada", query="&kind=head")
    page.goto(f"{looked_at.address}/heads?bundle={named(looked_at, 'vit')}&head=L1.H1")
    page.get_by_role("link", name="Label this").click()
    page.locator(".address").wait_for()
    assert about(page) == "L1.H1" and "of 2 done" in page.locator(".count").inner_text()


@pytest.mark.parametrize("size", SIZES)
def test_the_desk_looks(looked_at: Site, visit: Callable, size: str) -> None:
    page = sit(visit, looked_at, "Ada", kind="resnet", query="&side=both", size=size)
    looks(page, "label", size)
