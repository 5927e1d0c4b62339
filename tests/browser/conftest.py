"""A real Chromium against the real server. Screenshots go to artifacts/, which git ignores."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.browser.serving import REPOSITORY, Site, Zygote, among, servers
from tests.e2e.world import call, make_world
from tests.once import once

ARTIFACTS = REPOSITORY / "artifacts"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT = 60_000  # in milliseconds: reached only where something is wrong, or the machine is much slower
FAILED = pytest.StashKey[bool]()
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
SCHEMES = {"desktop": ("light", "dark"), "phone": ("dark", "light")}
"""The colour scheme that a visitor's system has, and then the other one."""


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small bundles, of a ViT and a ResNet, made by precompute from tiny models with made-up weights."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNITSCOPE_CACHE", str(folder / "cache"))
            world = make_world(folder / "world")
            for kind in ("vit", "resnet"):
                assert call(world.run(folder / "bundles", kind=kind)).code == 0

    made = once(tmp_path_factory, "browser-bundles", make)
    return among(made / "bundles", tmp_path_factory.mktemp("site") / "bundles")


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


@pytest.fixture(scope="session")
def serve(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Site]]:
    """Servers for all tests."""
    with servers(zygote, tmp_path_factory) as begin:
        yield begin


@pytest.fixture(scope="module")
def serve_here(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Site]]:
    """Servers for one file."""
    with servers(zygote, tmp_path_factory) as begin:
        yield begin


@pytest.fixture
def serve_once(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Site]]:
    """Servers for one test."""
    with servers(zygote, tmp_path_factory) as begin:
        yield begin


@pytest.fixture(scope="session")
def site(serve: Callable[[str, Path], Site], bundles: Path) -> Site:
    """The product."""
    return serve("pages._ui.server", bundles)


@pytest.fixture(scope="session")
def probe(serve: Callable[[str, Path], Site], bundles: Path) -> Site:
    """The probe app on the product's frame."""
    return serve("tests.browser.serve_probe", bundles)


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:  # noqa: F821 # playwright is imported only where Chromium is there to drive
    if not CHROMIUM.exists():
        pytest.skip(
            f"no Chromium at {CHROMIUM}: install it (Debian: apt-get install chromium) or set CHROMIUM to its path"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Seats:
    """Browser profiles that tests sit down at one after the other.

    Where a tab goes on to another address Chromium still has Streamlit's scripts compiled, which are two of the three
    seconds that a page takes in a profile of its own. A test finds its seat as in a new profile: no cookie, nothing
    stored, no other tab; and each of its visits is at a seat of its own.
    """

    def __init__(self, browser: "Browser") -> None:  # noqa: F821 # as above
        self._browser = browser
        self._free: list[BrowserContext] = []  # noqa: F821 # as above

    def take(self, address: str, size: str) -> "Page":  # noqa: F821 # as above
        """A tab at a page of nothing, with what it takes for a new one in a window of that size."""
        context = self._free.pop() if self._free else self._browser.new_context()
        page = context.pages[0] if context.pages else context.new_page()
        page.set_default_timeout(TIMEOUT)
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=SCHEMES[size][0])
        page.mouse.move(0, 0)
        context.clear_cookies()
        page.goto(urljoin(address, "/_stcore/health"))  # of the address's origin, whose storage it is
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
        return page

    def leave(self, page: "Page") -> None:  # noqa: F821 # as above
        """Give a seat back: whoever sat there has gone, as far as the server can tell."""
        from playwright.sync_api import Error

        context = page.context
        try:
            for other in context.pages:
                if other is not page:
                    other.close()
            page.goto("about:blank")
            self._free.append(context)
        except Error:  # a tab that has crashed or was closed: the next visitor gets a new profile
            context.close()


@pytest.fixture(scope="session")
def seats(chromium: "Browser") -> Seats:  # noqa: F821 # as above
    return Seats(chromium)


@pytest.fixture
def visit(seats: Seats, request: pytest.FixtureRequest) -> Iterator[Callable[..., "Page"]]:  # noqa: F821 # as above
    """Opens an address as a visitor of its own, waits until the page is drawn, and at the end insists that no script in
    it had an error."""
    pages, errors = [], []
    heard = lambda error: errors.append(str(error))

    def open_page(address: str, size: str = "desktop") -> "Page":  # noqa: F821 # as above
        page = seats.take(address, size)
        pages.append(page)
        page.on("pageerror", heard)
        return go(page, address)

    yield open_page
    if request.node.stash.get(FAILED, False):
        for n, page in enumerate(pages):
            print(f"what was seen at {page.url} is in {shoot(page, f'failed-{request.node.name[:80]}-{n}')}")
    for page in pages:
        page.remove_listener("pageerror", heard)
        seats.leave(page)
    assert not errors, errors


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


def go(page: "Page", address: str) -> "Page":  # noqa: F821 # as above
    """Send a visitor to another address as if it were typed, which begins a new session there, and wait for it."""
    page.goto(address)
    settled(page)
    page.wait_for_selector("html[data-keys]", state="attached")  # before that a key is pressed in vain
    return page


@contextmanager
def rerun(page: "Page") -> Iterator[None]:  # noqa: F821 # as above
    """Around what makes the script run again but shows nothing to wait for: waits until it has run."""
    page.evaluate(
        """() => {
          const app = document.querySelector('[data-testid="stApp"]');
          window.ran = false;
          new MutationObserver(() => { window.ran ||= app.dataset.testScriptState === "running"; })
            .observe(app, {attributeFilter: ["data-test-script-state"]});
        }"""
    )
    yield
    page.wait_for_function("window.ran")
    settled(page)


def settled(page: "Page") -> None:  # noqa: F821 # as above
    """Wait until Streamlit has finished its run and the page has stopped changing. A run that something has just asked
    for may not have begun yet: wait first for what only that run shows, or for the address that it gives."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_selector('[data-testid="stSkeleton"]', state="detached")  # parts of Streamlit that load when needed
    page.wait_for_selector('[data-testid="stMain"] h1, [data-testid="stMain"] [data-testid="stAlert"]')
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # all is drawn


def pictured(page: "Page", pictures: str) -> None:  # noqa: F821 # as above
    """Wait until the pictures that a selector finds are there and every one of them has loaded."""
    page.locator(pictures).first.wait_for()
    page.wait_for_function(
        """(pictures) => {
          const within = (root) => [...root.querySelectorAll(pictures)].concat(
            ...[...root.querySelectorAll("*")].filter((e) => e.shadowRoot).map((e) => within(e.shadowRoot)));
          return within(document).every((picture) => picture.complete && picture.naturalWidth > 0);
        }""",
        arg=pictures,
    )


def looks(page: "Page", name: str, size: str) -> None:  # noqa: F821 # as above
    """Insist that the page is no wider than its window of that size and follows the system's colour scheme, and take
    a screenshot in each."""
    for scheme in SCHEMES[size]:
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(
            """(dark) => {
              const ground = getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor;
              return (Math.max(...ground.match(/[\\d.]+/g).slice(0, 3)) < 128) === dark;
            }""",
            arg=scheme == "dark",
        )
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        shoot(page, f"{name}-{size}-{scheme}")


def shoot(page: "Page", name: str) -> Path:  # noqa: F821 # as above
    """A screenshot in artifacts/, for eyes."""
    name = re.sub(r"[^\w.-]+", "-", name)
    ARTIFACTS.mkdir(exist_ok=True)
    path = ARTIFACTS / f"{name}.png"
    page.screenshot(path=path)
    return path
