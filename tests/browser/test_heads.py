"""The Heads page in a real browser."""

import re
import time
from collections.abc import Callable

import pytest

from tests.browser.conftest import SIZES, looks, rerun, settled, shoot
from tests.browser.serving import Site

WAIT = 60_000  # the first visitor waits for the model


def named(site: Site, kind: str) -> str:
    return next(n for n in site.names if ("vit" in n) == (kind == "vit"))


def heading(page, address: str) -> None:
    page.get_by_role("heading", name=re.compile(rf"^{address}$")).wait_for()


def drawn(page) -> None:
    page.get_by_role("button", name="This page's data").wait_for(timeout=WAIT)
    settled(page)


@pytest.mark.parametrize("kind", ["vit", "rn"])
def test_a_click_on_an_image_finds_alike_ones_and_the_link_says_so(site: Site, visit: Callable, kind: str) -> None:
    page = visit(f"{site.address}/heads?bundle={named(site, kind)}")
    page.locator(".cell").first.wait_for()
    wanted = page.locator(".cell").nth(1).get_attribute("data-id")
    page.locator(".cell").nth(1).click()
    page.wait_for_url(re.compile(f"image={wanted}"))
    page.get_by_text("By the whole representation").wait_for()
    settled(page)
    page.keyboard.press("j")
    heading(page, r"(L0\.)?H1")
    page.get_by_text("By the whole representation").wait_for()
    second = visit(page.url)
    second.get_by_text("By the whole representation").wait_for()
    heading(second, r"(L0\.)?H1")
    shoot(second, f"heads-alike-{kind}")


def test_keys_step_through_heads_and_layers(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/heads?bundle={named(site, 'vit')}")
    drawn(page)
    for key, address in (("j", "L0.H1"), ("Shift+J", "L1.H1"), ("k", "L1.H0"), ("Shift+K", "L0.H0")):
        page.keyboard.press(key)
        heading(page, re.escape(address))
        drawn(page)
        assert f"head={address}" in page.url
    page.keyboard.press("Shift+K")  # there is no layer below: nothing happens
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("Shift and j").wait_for()
    heading(page, "L0.H0")


def test_relabelled_heads_by_a_link_with_and_without_keeping_the_texts(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/heads?bundle={named(site, 'vit')}&head=L1.H1&tab=relabel")
    drawn(page)
    page.get_by_label("Texts, one a line").fill(
        f"red wall\nblue sea\n<b>bold</b>\nat {time.time_ns()}"
    )  # kept by no run
    page.get_by_role("button", name="Use these texts").click()
    page.wait_for_url(re.compile("pool=[0-9a-f]{32}"), timeout=WAIT)
    page.get_by_text("4 texts in use").wait_for(timeout=WAIT)
    drawn(page)
    page.get_by_role("radio", name="All heads").click()
    page.wait_for_url(re.compile("scope=all"))
    verdict = page.get_by_text("got another first text")
    verdict.wait_for()
    settled(page)
    stranger = visit(page.url)
    stranger.get_by_text("These texts are not here").wait_for(timeout=WAIT)
    with rerun(page):  # the box is ticked before the server has kept anything
        page.get_by_text("Keep these texts on the server").click()
    page.get_by_role("checkbox", name=re.compile("Keep these"), checked=True).wait_for(timeout=WAIT)
    friend = visit(page.url)
    friend.get_by_text("got another first text").wait_for(timeout=WAIT)
    assert friend.get_by_text("got another first text").inner_text() == verdict.inner_text()
    assert friend.get_by_role("checkbox", name=re.compile("Keep these")).count() == 0
    with rerun(page):
        page.get_by_text("Keep these texts on the server").click()
    page.get_by_role("checkbox", name=re.compile("Keep these"), checked=False).wait_for(timeout=WAIT)
    visit(page.url).get_by_text("These texts are not here").wait_for(timeout=WAIT)


@pytest.mark.parametrize("size", SIZES)
def test_heads_look(site: Site, visit: Callable, size: str) -> None:
    page = visit(f"{site.address}/heads?bundle={named(site, 'vit')}&head=L1.H1&map=head", size)
    drawn(page)
    page.get_by_text("from the bundle's thumbnails").wait_for(timeout=WAIT)
    tops = [page.locator(f".st-key-key-{name}").bounding_box()["y"] for name in ("previous", "next", "random")]
    assert max(tops) - min(tops) < 2  # side by side, on a phone too
    looks(page, "heads", size)
