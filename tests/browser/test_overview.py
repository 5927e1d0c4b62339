"""The Overview page in a real browser: cells, cards and rows lead to their head in the same tab; it fits screens."""

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import SIZES, looks, settled
from tests.browser.serving import Site

CELL = ".head"


@pytest.fixture
def vit(site: Site) -> str:
    return next(name for name in site.names if "vit" in name)


@pytest.fixture
def overview(site: Site, vit: str, visit: Callable) -> Callable:
    """Opens the page and waits until it is complete."""

    def open_page(query: str = "", **how: str):
        page = visit(f"{site.address}/?bundle={vit}{query}", **how)
        complete(page)
        return page

    return open_page


def complete(page) -> None:
    page.get_by_role("heading", name="Overview", exact=True).wait_for()
    page.get_by_role("button", name="This page's data").wait_for()  # the last thing drawn
    page.locator(CELL).first.wait_for()


def leads_to_a_head_and_back(page, head: str, vit: str) -> None:
    """The address is the head's, in the same tab; one step back is Overview's, with nothing of the head's in it."""
    page.wait_for_url(re.compile(rf"/heads\?bundle={vit}&head={re.escape(head)}$"))
    page.get_by_role("heading", name=head, exact=True).wait_for()
    assert len(page.context.pages) == 1
    page.go_back()
    complete(page)
    settled(page)
    assert page.url.partition("?")[2] == f"bundle={vit}"


def test_a_cell_leads_to_its_head(vit: str, overview: Callable) -> None:
    page = overview()
    page.locator(CELL).nth(5).click()
    leads_to_a_head_and_back(page, "L1.H1", vit)


def test_the_grid_by_keyboard(vit: str, overview: Callable) -> None:
    page = overview()
    for _ in range(60):  # Tab alone gets there, and to one cell only
        page.keyboard.press("Tab")
        if page.locator(f"{CELL}:focus").count():
            break
    for key in ("ArrowDown", "ArrowRight", "End", "ArrowLeft", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    says = page.locator(f"{CELL}:focus").get_attribute("aria-label")
    assert says.startswith("L0.H2: ") and "Share of output" in says and says.endswith("%")
    assert page.locator(f'{CELL}[tabindex="0"]').count() == 1
    page.keyboard.press("Enter")
    leads_to_a_head_and_back(page, "L0.H2", vit)


def test_a_row_of_the_sorted_table_leads_to_its_head(vit: str, overview: Callable) -> None:
    page = overview()
    table = page.get_by_role("table", name="All heads")
    table.get_by_role("button", name="share").click()
    rows = table.locator("tbody tr")
    shares = [float(text.rstrip("%")) for text in rows.locator("td:nth-child(3)").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and len(shares) == page.locator(CELL).count()
    head = rows.nth(1).locator("a").inner_text()
    rows.nth(1).locator("a").click()
    leads_to_a_head_and_back(page, head, vit)


def test_a_card_leads_to_its_head_and_a_picture_to_its_page(vit: str, overview: Callable) -> None:
    page = overview()
    link = page.get_by_role("link", name=re.compile(r"Open L\d"))
    address = link.first.inner_text().split()[-1]
    link.first.click()
    leads_to_a_head_and_back(page, address, vit)
    picture = page.locator("a.cell").first
    image = picture.get_attribute("data-id")
    picture.click()
    page.wait_for_url(re.compile(rf"/image\?bundle={vit}&image={image}$"))


def test_a_click_with_control_opens_another_tab(overview: Callable) -> None:
    page = overview()
    with page.context.expect_page() as other:
        page.locator(CELL).first.click(modifiers=["Control"])
    assert "head=L0.H0" in other.value.url and "head=" not in page.url


def test_the_grid_can_be_taken_along(overview: Callable) -> None:
    page = overview("&measure=explained")
    for kind, start in {"PNG": b"\x89PNG", "SVG": b"<svg"}.items():
        with page.expect_download() as download:
            page.locator(".take").get_by_role("button", name=kind).click()
        assert download.value.suggested_filename == f"unitscope-heads.{kind.lower()}"
        data = download.value.path().read_bytes()
        assert data.startswith(start)
    assert b"Explained by texts" in data and b"L1.H1" in data


@pytest.mark.parametrize("size", SIZES)
def test_overview_looks(overview: Callable, size: str) -> None:
    page = overview(size=size)
    label = page.locator(f"{CELL} .label").first
    assert label.is_visible() and label.inner_text()  # names, not bare colours
    looks(page, "overview", size)
    page.locator(CELL).first.scroll_into_view_if_needed()
    looks(page, "overview-grid", size)
