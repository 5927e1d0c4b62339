"""A real Chromium against the real server. Screenshots go to artifacts/, which git ignores."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.world import call, make_world

REPOSITORY = Path(__file__).resolve().parents[2]
ARTIFACTS = REPOSITORY / "artifacts"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}


@dataclass(frozen=True)
class Site:
    """A running server: its address, its bundles and its log so far."""

    address: str
    bundles: Path
    log_file: Path

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.bundles.iterdir())

    def log(self) -> str:
        return self.log_file.read_text()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small bundles, of a ViT and a ResNet, made by precompute from tiny models with made-up weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNITSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        world = make_world(tmp_path_factory.mktemp("world"))
        out = tmp_path_factory.mktemp("bundles")
        for kind in ("vit", "resnet"):
            assert call(world.run(out, kind=kind)).code == 0
    return out


def start(module: str, folder: Path, log_file: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server on a free port; returns its process and its address."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", module, "--bundles", str(folder), "--port", "0"]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            words, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    assert process.stdout is not None
    line = process.stdout.readline().decode()  # ends early, and empty, if the server dies
    assert "http://" in line, f"the server did not start: {log_file.read_text()[-2000:]}"
    return process, line.split()[3]


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process we started, and only it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def servers(logs: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Site]]:
    """Starts servers, and stops them all at the end: one takes about a gigabyte of memory."""
    processes = []

    def begin(module: str, folder: Path) -> Site:
        log_file = logs.mktemp("log") / "server.log"
        process, address = start(module, folder, log_file)
        processes.append(process)
        return Site(address, folder, log_file)

    try:
        yield begin
    finally:
        for process in processes:
            stop(process)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Site]]:
    """Servers for all tests."""
    with servers(tmp_path_factory) as begin:
        yield begin


@pytest.fixture
def serve_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Site]]:
    """Servers for one test."""
    with servers(tmp_path_factory) as begin:
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


@pytest.fixture
def visit(chromium: "Browser") -> Iterator[Callable[..., "Page"]]:  # noqa: F821 # as above
    """Opens an address in a browser profile of its own, waits until the page is drawn, and at the end insists that the
    browser's console had no error."""
    contexts, errors = [], []

    def open_page(address: str, size: str = "desktop", scheme: str = "light") -> "Page":  # noqa: F821 # as above
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors, errors


def settled(page: "Page") -> None:  # noqa: F821 # as above
    """Wait until Streamlit has finished its run and the page has stopped changing."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_selector('[data-testid="stSkeleton"]', state="detached")  # parts of Streamlit that load when needed
    page.wait_for_selector('[data-testid="stMain"] h1, [data-testid="stMain"] [data-testid="stAlert"]')


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


def shoot(page: "Page", name: str) -> Path:  # noqa: F821 # as above
    """A screenshot in artifacts/, for eyes."""
    ARTIFACTS.mkdir(exist_ok=True)
    path = ARTIFACTS / f"{name}.png"
    page.screenshot(path=path)
    return path
