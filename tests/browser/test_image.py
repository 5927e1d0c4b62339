"""The Image page in a real browser, on small bundles: every section, an upload and its link, bad input."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import go, rerun, settled, shoot
from tests.browser.serving import Site
from tests.hostile import encode, hostile_files, noise

TABS = ("scores", "where", "budget", "heads", "tokens", "semantic", "similar")
WAIT = 60_000  # the first visitor waits for the model


def drawn(page) -> None:
    page.get_by_role("button", name="This page's data").wait_for(timeout=WAIT)
    settled(page)


def give(page, name: str, data: bytes) -> None:
    page.locator('input[type="file"]').set_input_files({"name": name, "mimeType": "image/png", "buffer": data})


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_every_section_of_both_towers(site: Site, visit: Callable, kind: str) -> None:
    name = next(each for each in site.names if ("resnet" in each) == (kind == "resnet"))
    page = visit(f"{site.address}/image?bundle={name}&image=1")
    for tab in TABS:
        drawn(go(page, f"{site.address}/image?bundle={name}&tab={tab}&image=1"))
        assert "could not be drawn" not in page.locator("body").inner_text(), tab
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
    with rerun(page):  # the box is ticked before the server has kept anything
        page.get_by_text("Keep it on the server").click()
    page.get_by_role("checkbox", name=re.compile("Keep it"), checked=True).wait_for(timeout=WAIT)
    friend = visit(page.url)
    friend.get_by_text("Your upload, 64 × 64 px").wait_for(timeout=WAIT)
    assert friend.get_by_role("checkbox", name=re.compile("Keep it")).count() == 0  # only its owner may remove it
    with rerun(page):
        page.get_by_text("Keep it on the server").click()
    page.get_by_role("checkbox", name=re.compile("Keep it"), checked=False).wait_for(timeout=WAIT)
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


def test_a_pasted_link_picks_its_image_also_of_another_bundle(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/image?bundle={site.names[0]}&image=1")
    page.get_by_role("tab", name="By link").click()
    field = page.get_by_placeholder("…/image?bundle=…&image=12")
    field.fill("https://elsewhere.example/cat.jpg")
    field.press("Enter")
    page.get_by_text("Nothing is fetched from elsewhere").first.wait_for()
    assert "image=1" in page.url
    field.fill(f"{site.address}/b/{site.names[1]}/t/20")
    field.press("Enter")
    page.wait_for_url(re.compile("image=20"))
    page.get_by_text("Image 20 of the bundle").wait_for(timeout=WAIT)
    assert f"bundle={site.names[1]}" in page.url
    drawn(page)
    page.go_back()
    page.get_by_text("Image 1 of the bundle").wait_for(timeout=WAIT)


def test_a_heads_link_stays_in_the_tab_and_keeps_bundle_and_image(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/image?bundle={site.names[1]}&image=1&tab=heads")
    drawn(page)
    page.get_by_role("link", name=re.compile("on the Heads page")).click()
    page.wait_for_url(re.compile("/heads"))
    settled(page)
    assert f"bundle={site.names[1]}" in page.url and "image=1" in page.url and len(page.context.pages) == 1
    page.go_back()
    page.wait_for_url(re.compile("/image"))
    drawn(page)
    assert "tab=heads" in page.url


def test_the_picture_is_there_before_the_model(serve_once: Callable, bundles: Path, visit: Callable) -> None:
    fresh = serve_once("tests.browser.serve_slow", bundles)
    page = visit(f"{fresh.address}/image?bundle={fresh.names[-1]}&image=1&tab=budget")
    page.get_by_text("Loading the model").wait_for()
    page.get_by_role("button", name="image 1 of the bundle").locator("img").first.wait_for()
    assert page.locator("textarea").count() == 1 and page.get_by_text("True cosine", exact=True).count() == 0
    page.get_by_text("True cosine", exact=True).wait_for(timeout=WAIT)  # nobody pressed anything


def test_nothing_is_wider_than_a_phone(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/image?bundle={site.names[0]}&image=1", "phone")
    for tab in TABS:
        drawn(go(page, f"{site.address}/image?bundle={site.names[0]}&tab={tab}&image=1"))
        main = page.locator('[data-testid="stMain"]')
        assert main.evaluate("each => each.scrollWidth - each.clientWidth") <= 0, tab
        shoot(page, f"image-{tab}-phone-dark")
