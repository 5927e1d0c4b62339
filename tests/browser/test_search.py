"""The Search page in a real browser: one box, cards by keyboard, the map and its lasso, the way to the desk."""

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.browser.conftest import SIZES, looks, pictured, settled, shoot
from tests.browser.serving import Site
from tests.browser.test_heads import WAIT, heading, named
from tests.browser.test_neurons import asked

FOCUSED = """() => {
  let node = document.activeElement;
  while (node?.shadowRoot) node = node.shadowRoot.activeElement;
  return node?.closest?.(".card")?.dataset.address ?? null;
}"""


def cards(page) -> list[str]:
    page.locator(".card img").first.wait_for(timeout=WAIT)
    settled(page)
    return page.locator(".card").evaluate_all("all => all.map((card) => card.dataset.address)")


def test_a_text_is_found_walked_ticked_and_sent_to_the_desk_by_keyboard(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/search?bundle={named(site, 'vit')}")
    page.get_by_text("Nothing is asked yet").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("red wall")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"q=red"))
    found = cards(page)
    pictured(page, ".strip img")
    assert len(found) == 24 and {address.count("H") for address in found} == {0, 1}
    shoot(page, "search-results")
    page.locator("h1").click()  # out of the box
    for expected in found[:3]:
        page.keyboard.press("j")
        assert page.evaluate(FOCUSED) == expected
    page.keyboard.press("x")
    page.get_by_role("button", name="Label these 1 unit").wait_for()
    page.keyboard.press("k")
    page.keyboard.press("x")
    page.get_by_role("button", name="Label these 2 units").wait_for()
    settled(page)
    assert page.evaluate(FOCUSED) == found[1]  # a tick draws the page again, and the place is kept
    ticked = page.get_by_role("checkbox", checked=True).evaluate_all(
        "all => all.map((tick) => tick.getAttribute('aria-label'))"
    )
    assert {name.removeprefix("Tick ") for name in ticked} >= set(found[1:3])
    page.get_by_role("button", name="Label these 2 units").click()
    page.wait_for_url(re.compile("/label"))
    sent = asked(page, "list").split(",")
    assert {address.rstrip("+-") for address in sent} == set(found[1:3])
    assert all(address[-1] in "+-" for address in sent)  # the end that was found


def test_enter_opens_a_unit_and_back_shows_the_results_again(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/search?bundle={named(site, 'vit')}&q={quote('red wall')}&kind=neuron")
    found = cards(page)
    page.locator("h1").click()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    heading(page, re.escape(found[0]))
    page.go_back()
    assert cards(page) == found
    second = visit(page.url)
    assert cards(second) == found


def test_from_a_units_page_to_whatever_is_like_it(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/neurons?bundle={named(site, 'vit')}&neuron=L1.N20")
    page.get_by_role("link", name="Similar units of any kind").click()
    page.wait_for_url(re.compile("/search.*unit=L1.N20"))
    page.get_by_text("Units like").wait_for()
    found = cards(page)
    assert "L1.N20" not in found and any("H" in address for address in found)
    page.locator(".card").nth(1).get_by_role("link", name="similar units").click()
    page.wait_for_function(f"() => location.search.includes('unit={found[1]}')")
    page.get_by_text(re.compile(f"Units like.*{re.escape(found[1])}")).first.wait_for()
    cards(page)
    page.get_by_role("button", name="Ask anew").click()
    page.get_by_text("Nothing is asked yet").wait_for()


def test_filters_are_in_the_link(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/search?bundle={named(site, 'vit')}&q={quote('red wall')}")
    cards(page)
    page.get_by_role("button", name="Filter and sort").click()
    page.get_by_role("button", name="heads", exact=True).click()
    page.wait_for_url(re.compile("kind=head"))
    page.get_by_role("button", name="2", exact=True).click()
    page.wait_for_url(re.compile("layer=2"))
    page.get_by_role("button", name="Filter and sort (2)").wait_for()
    found = cards(page)
    assert found and all(re.fullmatch(r"L2\.H\d", address) for address in found), found


def test_an_image_and_bad_questions(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/search?bundle={named(site, 'vit')}")
    page.get_by_role("button", name="By an image").click()
    field = page.get_by_role("spinbutton", name="Image of the bundle")
    field.fill("9999")
    field.press("Enter")
    page.get_by_text(re.compile(r"There are \d+ images, from 0 to \d+")).wait_for()
    field.fill("4")
    field.press("Enter")
    page.wait_for_url(re.compile("image=4"))
    page.get_by_text("moves most beyond their usual").wait_for()
    assert cards(page)
    box = page.get_by_role("textbox", name="Search every unit")
    for text, told in (("L9.N1", "not among this bundle's neurons"), ("x" * 10_000, "at most 1,000 are searched for")):
        box.fill(text)
        box.press("Enter")
        page.get_by_text(told).wait_for()
        settled(page)


def drag(page, box: dict, corners: tuple[tuple[float, float], ...]) -> None:
    at = lambda corner: (box["x"] + corner[0] * box["width"], box["y"] + corner[1] * box["height"])
    page.mouse.move(*at(corners[0]))
    page.mouse.down()
    for corner in (*corners[1:], corners[0]):
        page.mouse.move(*at(corner), steps=6)
    page.mouse.up()


def test_a_lasso_lists_its_units_and_one_over_nothing_says_so(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/search?bundle={named(site, 'vit')}&tab=map&colour=kind")
    area = page.locator(".js-plotly-plot .nsewdrag").first
    area.wait_for(timeout=3 * WAIT)
    settled(page)
    page.get_by_text("Distances here are not similarities").wait_for()
    box = area.bounding_box()
    drag(page, box, ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)))
    page.get_by_text(re.compile(r"^\d[\d,]* units chosen")).wait_for()
    settled(page)
    rows = page.locator("td a").evaluate_all("all => all.map((link) => link.textContent)")
    assert len(rows) > 50 and len(set(rows)) == len(rows)
    shoot(page, "search-map-lasso")
    drag(page, area.bounding_box(), ((0.005, 0.01), (0.03, 0.01), (0.03, 0.05), (0.005, 0.05)))
    page.get_by_text("No unit lies in there").wait_for()
    settled(page)
    drag(page, area.bounding_box(), ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)))
    page.get_by_role("button", name=re.compile("Label these")).click()
    page.wait_for_url(re.compile("/label.*kept="))
    assert re.fullmatch("[0-9a-f]{16,64}", asked(page, "kept"))


@pytest.mark.parametrize("size", SIZES)
def test_search_looks(site: Site, visit: Callable, size: str) -> None:
    page = visit(f"{site.address}/search?bundle={named(site, 'vit')}&q={quote('red wall')}", size)
    cards(page)
    pictured(page, ".strip img")
    looks(page, "search", size)
