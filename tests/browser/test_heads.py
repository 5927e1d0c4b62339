"""The Heads page in a real browser."""

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Site, settled, shoot


@pytest.mark.parametrize("kind", ["vit", "rn"])
def test_a_click_on_an_image_finds_alike_ones_and_the_link_says_so(site: Site, visit: Callable, kind: str) -> None:
    name = next(n for n in site.names if kind in n or (kind == "rn" and "vit" not in n))
    page = visit(f"{site.address}/heads?bundle={name}")
    page.locator(".cell").first.wait_for()
    wanted = page.locator(".cell").nth(1).get_attribute("data-id")
    page.locator(".cell").nth(1).click()
    page.wait_for_url(re.compile(f"image={wanted}"))
    page.get_by_text("By the whole representation").wait_for()
    settled(page)
    page.keyboard.press("j")
    page.get_by_role("heading", name=re.compile(r"^(L0\.)?H1$")).wait_for()
    page.get_by_text("By the whole representation").wait_for()
    second = visit(page.url)
    second.get_by_text("By the whole representation").wait_for()
    second.get_by_role("heading", name=re.compile(r"^(L0\.)?H1$")).wait_for()
    shoot(second, f"heads-alike-{kind}")
