"""The Neurons page in a real browser."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlparse

import pytest

from tests.browser.conftest import SIZES, go, looks, settled, shoot
from tests.browser.serving import Site
from tests.browser.test_heads import WAIT, drawn, heading, named


def asked(page, name: str) -> str:
    return parse_qs(urlparse(page.url).query)[name][0]


def row(page, number: int, field: str = "neuron", x: int = 260) -> None:
    """Click on the label in a row of the table, which is drawn on a canvas that swallows clicks until it is ready."""
    settled(page)
    for _ in range(5):
        page.get_by_test_id("stDataFrame").locator(".dvn-scroller").click(position={"x": x, "y": 35 * number + 52})
        for _ in range(50):
            if f"{field}=" in page.url:
                return
            page.wait_for_timeout(100)
    raise AssertionError("no row could be clicked")


def test_from_the_table_to_a_neuron_its_heatmaps_a_head_and_back(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/neurons?bundle={named(site, 'vit')}")
    page.get_by_role("button", name="2", exact=True).click()
    page.wait_for_url(re.compile("layer=2"))
    page.get_by_text("96 neurons of 288").wait_for()
    settled(page)
    row(page, 1)
    page.wait_for_url(re.compile(r"neuron=L2\.N\d+"))
    first = asked(page, "neuron")
    heading(page, re.escape(first))
    drawn(page)
    page.get_by_role("radio", name="Where it is active").click()
    page.wait_for_url(re.compile("map=on"))
    page.get_by_text("from the bundle's thumbnails").wait_for(timeout=WAIT)
    page.locator(".frame img.overlay").first.wait_for()
    shoot(page, "neurons-heatmaps")
    link = page.get_by_role("link", name=re.compile(r"^L3\.H\d$")).first
    head = link.inner_text()
    link.click()
    heading(page, re.escape(head))
    page.get_by_role("heading", name="Neurons that write through it").wait_for()
    page.get_by_role("link", name=re.compile(r"^L2\.N\d+$")).first.wait_for()
    page.go_back()
    heading(page, re.escape(first))
    assert "map=on" in page.url and "layer=2" in page.url
    settled(page)
    page.get_by_role("button", name="All neurons").click()
    page.get_by_text("96 neurons of 288").wait_for()
    row(page, 1)  # the same row again
    heading(page, re.escape(first))


def test_keys_step_in_the_tables_order_and_the_link_shows_the_same(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/neurons?bundle={named(site, 'vit')}&neuron=L1.N20&sort=address&tab=intervals")
    drawn(page)
    for key, address in (("j", "L1.N21"), ("Shift+J", "L2.N21"), ("k", "L2.N20"), ("Shift+K", "L1.N20")):
        page.keyboard.press(key)
        heading(page, re.escape(address))
        drawn(page)
        assert asked(page, "neuron") == address
    page.keyboard.press("r")
    page.wait_for_function("!location.href.includes('L1.N20')")
    drawn(page)
    page.get_by_text("of each quantile interval").wait_for()
    chosen = asked(page, "neuron")
    second = visit(page.url)
    heading(second, re.escape(chosen))
    second.get_by_text("of each quantile interval").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("L0.N7")
    page.keyboard.press("Enter")
    heading(page, "L0.N7")


def test_a_click_on_an_image_shows_the_neurons_effects_in_it(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/neurons?bundle={named(site, 'vit')}&neuron=L1.N20")
    drawn(page)
    wanted = page.locator(".cell").nth(2).get_attribute("data-id")
    page.locator(".cell").nth(2).click()
    page.wait_for_url(re.compile(f"image={wanted}"))
    page.get_by_text("everything that follows from it").wait_for(timeout=WAIT)
    page.get_by_text(f"Image {wanted}").first.wait_for()
    page.get_by_role("link", name="All that happens in it").click()
    page.wait_for_url(re.compile("/image.*tab=neurons"))
    page.get_by_text("Concepts its neurons spell").wait_for(timeout=WAIT)
    page.locator("a.cell, .cell").nth(1).wait_for()
    shoot(page, "image-neurons")


def test_a_filter_is_in_the_link_and_its_slider_goes_by_keyboard(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/neurons?bundle={named(site, 'vit')}")
    slider = page.get_by_role("slider").nth(6)  # the lower end of the fourth: concepts
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("concepts=1%7E20|concepts=1~20"))
    settled(page)
    second = visit(page.url)
    shown = page.get_by_text(re.compile(r"of 288")).first.inner_text()
    assert second.get_by_text(re.compile(r"of 288")).first.inner_text() == shown
    page.get_by_role("button", name="Clear filters").click()
    page.wait_for_function("!location.href.includes('concepts')")
    page.get_by_text("288 neurons of 288").wait_for()


@pytest.mark.parametrize("size", SIZES)
def test_neurons_look(site: Site, visit: Callable, size: str) -> None:
    page = visit(f"{site.address}/neurons?bundle={named(site, 'vit')}", size)
    page.get_by_test_id("stDataFrame").wait_for()
    looks(page, "neurons-table", size)
    go(page, f"{site.address}/neurons?bundle={named(site, 'vit')}&neuron=L1.N20&map=on")
    drawn(page)
    page.get_by_text("from the bundle's thumbnails").wait_for(timeout=WAIT)
    tops = [page.locator(f".st-key-key-{name}").bounding_box()["y"] for name in ("previous", "next", "random")]
    assert max(tops) - min(tops) < 2
    looks(page, "neurons", size)
