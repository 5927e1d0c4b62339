"""The Overview page in a real browser: a cell and a card lead to their head, with the bundle; it fits every screen."""

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import SIZES, Site, shoot

CELL = ".st-key-figure-heads .barlayer .point"


@pytest.fixture
def vit(site: Site) -> str:
    return next(name for name in site.names if "vit" in name)


def test_a_cell_leads_to_its_head(site: Site, vit: str, visit: Callable) -> None:
    page = visit(f"{site.address}/?bundle={vit}")
    page.get_by_role("button", name="This page's data").wait_for()  # the last thing drawn: the page is complete
    page.locator(CELL).nth(5).click(force=True)
    page.wait_for_url(re.compile(r"/heads\?.*head=L1\.H1"))
    assert f"bundle={vit}" in page.url


def test_a_card_leads_to_its_head(site: Site, vit: str, visit: Callable) -> None:
    page = visit(f"{site.address}/?bundle={vit}")
    page.get_by_role("button", name="This page's data").wait_for()
    link = page.get_by_role("link", name=re.compile(r"Open L\d"))
    address = link.first.inner_text().split()[-1]
    link.first.click()
    page.wait_for_url(re.compile(rf"/heads\?.*head={re.escape(address)}"))
    assert f"bundle={vit}" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_overview_looks(site: Site, visit: Callable, size: str, scheme: str) -> None:
    page = visit(f"{site.address}/?bundle={site.names[0]}", size, scheme)
    page.get_by_role("button", name="This page's data").wait_for()
    page.locator(CELL).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shoot(page, f"overview-{size}-{scheme}")
