"""The Image page in a real browser, on small bundles: every section, an upload and its link, bad input."""

import re
import time
from collections.abc import Callable

import pytest

from tests.browser.conftest import Site, settled, shoot
from tests.hostile import encode, hostile_files, noise

TABS = ("scores", "where", "budget", "heads", "tokens", "similar")
WAIT = 60_000  # the first visitor waits for the model


def drawn(page) -> None:
    page.get_by_role("button", name="This page's data").wait_for(timeout=WAIT)
    settled(page)


def give(page, name: str, data: bytes) -> None:
    page.locator('input[type="file"]').set_input_files({"name": name, "mimeType": "image/png", "buffer": data})


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize("tab", TABS)
def test_every_section_of_both_towers(site: Site, visit: Callable, kind: str, tab: str) -> None:
    name = next(each for each in site.names if ("resnet" in each) == (kind == "resnet"))
    page = visit(f"{site.address}/image?bundle={name}&tab={tab}&image=1")
    drawn(page)
    assert "could not be drawn" not in page.locator("body").inner_text()
    shoot(page, f"image-{tab}-{kind}")


def test_an_upload_and_its_link_with_and_without_keeping(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/image?bundle={site.names[0]}&tab=where")
    drawn(page)
    give(page, "mine.png", encode(noise(seed=time.time_ns()), "PNG"))  # kept by no run before
    page.wait_for_url(re.compile("upload=[0-9a-f]{32}"), timeout=WAIT)
    page.get_by_text("Your upload, 64 × 64 px").wait_for(timeout=WAIT)
    drawn(page)
    stranger = visit(page.url)
    stranger.get_by_text("This upload is not here").wait_for(timeout=WAIT)
    page.get_by_text("Keep it on the server").click()
    settled(page)
    page.get_by_role("checkbox", name=re.compile("Keep it"), checked=True).wait_for(timeout=WAIT)
    friend = visit(page.url)
    friend.get_by_text("Your upload, 64 × 64 px").wait_for(timeout=WAIT)
    assert friend.get_by_role("checkbox", name=re.compile("Keep it")).count() == 0  # only its owner may remove it
    page.get_by_text("Keep it on the server").click()
    page.get_by_role("checkbox", name=re.compile("Keep it"), checked=False).wait_for(timeout=WAIT)
    settled(page)
    visit(page.url).get_by_text("This upload is not here").wait_for(timeout=WAIT)


@pytest.mark.parametrize("name", ["not-an-image.png", "bomb.png"])
def test_a_hostile_file_gets_a_sentence(site: Site, visit: Callable, name: str) -> None:
    bad = {"not-an-image.png": b"<script>alert(1)</script>"}
    bomb = next(data for data, code in hostile_files().values() if code == "too-many-pixels")
    page = visit(f"{site.address}/image?bundle={site.names[0]}")
    drawn(page)
    give(page, name, bad.get(name, bomb))
    page.get_by_text("This file cannot be used").wait_for(timeout=WAIT)
    assert "upload=" not in page.url
