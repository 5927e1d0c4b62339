"""The server loads the first bundle's model before anyone asks, and stops without a word."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.serving import Site, start


def test_the_first_model_is_loaded_before_anyone_asks(serve_once: Callable[[str, Path], Site], bundles: Path) -> None:
    site = serve_once("tests.browser.serve_probe", bundles)
    until = time.monotonic() + 60
    while "loading" not in site.log() and time.monotonic() < until:
        time.sleep(0.1)
    assert f"for {site.names[0]}" in site.log() and "WARNING" not in site.log()


@pytest.mark.parametrize("after", [0.0, 3.0])
def test_an_interrupt_ends_it_quietly_even_while_a_model_loads(bundles: Path, tmp_path: Path, after: float) -> None:
    process, _ = start("pages._ui.server", bundles, tmp_path / "log")
    time.sleep(1 + after)  # uvicorn listens to signals once it runs
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stdout is not None
    process.stdout.close()
    assert (tmp_path / "log").read_text() == ""
