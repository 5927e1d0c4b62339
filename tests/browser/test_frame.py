"""The frame in a real browser: links, history, keys, the grid, downloads, errors, and sessions side by side."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.browser.conftest import SIZES, looks, rerun, settled, shoot
from tests.browser.serving import Site

SAYS = re.compile(r"^head ")


@pytest.fixture
def look(visit: Callable) -> Callable:
    """Opens a page of the probe and waits until its components are there: before that, nobody listens to keys."""

    def open_page(address: str):
        page = visit(address)
        page.locator(".cell").first.wait_for()
        return page

    return open_page


@pytest.fixture
def vit(probe: Site) -> str:
    return next(name for name in probe.names if "vit" in name)


def says(page, expected: str) -> None:
    """Wait until the probe says what it shows, such as "head L1.H0 end + image None search "."""
    page.get_by_text(re.compile(f"^head {re.escape(expected)}")).wait_for()


def test_a_permalink_is_the_whole_view_in_a_second_browser(probe: Site, vit: str, look: Callable) -> None:
    first = look(f"{probe.address}/?bundle={vit}")
    first.keyboard.press("j")
    says(first, "L0.H1 end +")
    first.get_by_role("radio", name="-").or_(first.get_by_role("button", name="-", exact=True)).first.click()
    says(first, "L0.H1 end -")
    settled(first)  # until then the images are those of the other end
    first.locator(".cell").nth(1).click()
    first.wait_for_url(re.compile("image="))
    says(first, f"L0.H1 end - image {first.url.rpartition('=')[2]}")
    shown = first.get_by_text(SAYS).inner_text()
    marked = first.locator('.cell[aria-pressed="true"]').get_attribute("data-id")
    second = look(first.url)
    assert second.get_by_text(SAYS).inner_text() == shown
    assert second.locator('.cell[aria-pressed="true"]').get_attribute("data-id") == marked
    assert second.url == first.url


def test_the_back_button_goes_through_the_views(probe: Site, vit: str, look: Callable) -> None:
    page = look(f"{probe.address}/?bundle={vit}&head=L0.H0")
    for key, expected in (("j", "L0.H1"), ("ArrowRight", "L0.H2"), ("k", "L0.H1"), ("ArrowLeft", "L0.H0")):
        page.keyboard.press(key)
        says(page, expected)
    for expected in ("L0.H1", "L0.H2", "L0.H1"):
        page.go_back()
        says(page, expected)
    page.go_forward()
    says(page, "L0.H2")


def test_keys_search_random_and_help(probe: Site, vit: str, look: Callable) -> None:
    page = look(f"{probe.address}/?bundle={vit}")
    page.keyboard.press("/")
    page.keyboard.type("j r ? snow")  # while typing, keys are letters
    page.keyboard.press("Enter")
    says(page, "L0.H0 end + image None search j r")
    assert "search=j+r+%3F+snow" in page.url
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("r")  # the probe's random head is its last
    says(page, "L3.H3")
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.get_by_role("dialog").get_by_text("one at random").wait_for()
    shoot(page, "keys-dialog")
    page.keyboard.press("k")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    says(page, "L3.H3")  # k did nothing behind the dialog


@pytest.mark.parametrize(
    ("query", "head"),
    [
        ("head=../../etc/passwd", "L0.H0"),
        ("head=<img src=x onerror=alert(1)>", "L0.H0"),
        ("head=L99.H99", "L0.H0"),
        ("head=L1.H1&image=-1", "L1.H1"),
        ("head=L1.H1&image=99999999999999999999", "L1.H1"),
        ("head=L1.H1&image=1e3", "L1.H1"),
        ("head=L1.H1&end=%00", "L1.H1"),
        ("head=L1.H1&search=" + "a" * 100_000, "L1.H1"),
        ("head=L9.N5>L11.H3", "L0.H0"),
        ("head=L1.H1&constructor=1&__proto__=2", "L1.H1"),
    ],
)
def test_a_hostile_link_gets_a_default_and_one_sentence(
    probe: Site, vit: str, visit: Callable, query: str, head: str
) -> None:
    page = visit(f"{probe.address}/?bundle={vit}&{query}")
    says(page, f"{head} end + image None search")
    alerts = page.get_by_test_id("stAlert").all_inner_texts()
    assert len(alerts) == 1 and "link" in alerts[0], alerts
    assert page.locator("img[src=x]").count() == 0


def test_a_megabyte_of_link_gets_a_sentence(probe: Site, vit: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{probe.address}/?bundle={vit}&search=" + "a" * 1_000_000)
    assert refused.value.code == 414 and b"too long" in refused.value.read()


def test_the_longest_link_that_is_read_gets_a_page(probe: Site, vit: str, visit: Callable) -> None:
    page = visit(f"{probe.address}/?bundle={vit}&search=" + "a" * 500_000)
    page.get_by_text(SAYS).wait_for()


@pytest.mark.parametrize("name", ["../../etc", "no-such-bundle", "<script>alert(1)</script>", "%00", "."])
def test_a_link_to_another_bundle_gets_a_sentence_and_a_choice(site: Site, visit: Callable, name: str) -> None:
    page = visit(f"{site.address}/?bundle={name}")
    assert "is not in the folder of bundles" in page.get_by_test_id("stAlert").inner_text()
    assert page.get_by_role("heading", name="Overview").count() == 0
    page.get_by_test_id("stMain").get_by_role("button", name=site.names[0]).click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.wait_for_url(f"{site.address}/?bundle={site.names[0]}")


def test_user_text_is_no_link_no_emoji_and_no_icon(probe: Site, vit: str, look: Callable) -> None:
    text = "http://a.example www.a.example a@b.example :smile: :material/home: -- -> <b>c</b>"
    page = look(f"{probe.address}/?bundle={vit}&search={quote(text)}")
    line = page.get_by_text(SAYS)
    assert line.inner_text().replace("\u2060", "").endswith(f"search {text}")
    assert page.get_by_test_id("stMain").locator("a[href]:visible").filter(has_text="example").count() == 0


def test_the_address_keeps_only_what_is_shown(probe: Site, vit: str, look: Callable) -> None:
    page = look(f"{probe.address}/?bundle={vit}&head=L1.H1&end=sideways&foreign=1")
    says(page, "L1.H1 end +")
    page.wait_for_url(f"{probe.address}/?bundle={vit}&head=L1.H1")
    assert "end cannot be shown" in page.get_by_test_id("stAlert").inner_text()


def test_captions_are_text(probe: Site, vit: str, look: Callable) -> None:
    page = look(f"{probe.address}/?bundle={vit}")
    assert page.locator(".caption").first.inner_text().startswith("<b>")
    assert page.locator(".caption b").count() == 0


def test_the_grid_by_keyboard(probe: Site, vit: str, look: Callable) -> None:
    page = look(f"{probe.address}/?bundle={vit}")
    cells = page.locator(".cell")
    cells.first.focus()
    page.keyboard.press("ArrowRight")
    wanted = cells.nth(1).get_attribute("data-id")
    page.keyboard.press("Enter")
    says(page, f"L0.H0 end + image {wanted}")  # the arrow moved the focus, not the head
    assert cells.nth(1).locator("img").get_attribute("alt")
    assert cells.nth(1).locator("img").get_attribute("src").endswith(f"/b/{vit}/t/{wanted}")


def test_figures_and_data_can_be_taken_along(probe: Site, vit: str, visit: Callable) -> None:
    page = visit(f"{probe.address}/?bundle={vit}")
    page.locator(".js-plotly-plot .modebar-btn").wait_for(state="attached")
    starts = {"PNG": b"\x89PNG", "SVG": b"<svg"}
    for kind, start in starts.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        assert download.value.suggested_filename == f"unitscope-probe.{kind.lower()}"
        assert download.value.path().read_bytes().startswith(start)
    with page.expect_download() as download:
        page.get_by_role("button", name="This page's data").click()
    assert json.loads(download.value.path().read_bytes())["head"] == "L0.H0"


@pytest.mark.parametrize("name", ["Break", "Break in a callback"])
def test_no_traceback_reaches_a_page(probe: Site, visit: Callable, name: str) -> None:
    page = visit(probe.address)
    page.get_by_role("button", name=name, exact=True).click()
    alert = page.get_by_test_id("stAlert").inner_text()
    tag = re.search(r"under (\w{8})", alert)
    assert tag and tag[1] in probe.log() and "Traceback" in probe.log()
    body = page.locator("body").inner_text()
    assert "Traceback" not in body and "secret-detail" not in body and "division" not in body


def test_two_sessions_at_once_load_the_model_once(probe: Site, vit: str, visit: Callable) -> None:
    pages = [visit(f"{probe.address}/?bundle={vit}") for _ in range(2)]
    for page in pages:
        page.get_by_role("button", name="Load the model").click(no_wait_after=True)
    for page in pages:
        page.get_by_text("the model is loaded").wait_for()
    assert probe.log().count(f"for {vit}") == 1


def test_thumbnails(site: Site) -> None:
    name = site.names[0]
    with urlopen(f"{site.address}/b/{name}/t/0") as response:
        assert response.read().startswith(b"\xff\xd8")
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["Content-Type"] == "image/jpeg"
    with ThreadPoolExecutor(8) as pool:  # one memory map under many threads
        found = list(pool.map(lambda i: urlopen(f"{site.address}/b/{name}/t/{i % 5}").read(), range(80)))
    assert len(set(found)) == 5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tab", ["methods", "cite", "bundle"])
def test_about_looks(site: Site, visit: Callable, tab: str, size: str) -> None:
    page = visit(f"{site.address}/about?bundle={site.names[0]}&tab={tab}", size)
    page.get_by_role("heading", name="About", exact=True).wait_for()
    page.get_by_text("data set").last.wait_for()
    looks(page, f"about-{tab}", size)


def test_below_a_path_links_thumbnails_and_permalinks_work(
    serve_once: Callable, bundles: Path, visit: Callable
) -> None:
    below = serve_once("tests.browser.serve_below", bundles)
    vit = next(name for name in below.names if "vit" in name)
    root = f"{below.address}/lens/"
    page = visit(f"{root}?bundle={vit}")
    page.locator(".head").nth(5).click()
    page.wait_for_url(f"{root}heads?bundle={vit}&head=L1.H1")
    page.get_by_role("heading", name="L1.H1", exact=True).wait_for()
    page.locator(".cell img").first.wait_for()
    address = page.locator(".cell img").first.get_attribute("src")
    assert address.startswith(f"/lens/b/{vit}/t/")
    assert urlopen(below.address + address).read().startswith(b"\xff\xd8")
    link = page.url
    page.go_back()
    page.get_by_role("heading", name="Overview", exact=True).wait_for()
    assert page.url == f"{root}?bundle={vit}"
    page.goto(link)
    page.get_by_role("heading", name="L1.H1", exact=True).wait_for()


def test_a_link_to_the_page_that_is_shown_changes_nothing(site: Site, visit: Callable) -> None:
    name = next(name for name in site.names if "vit" in name)
    page = visit(f"{site.address}/about?bundle={name}&tab=bundle")
    with rerun(page):
        page.get_by_test_id("stSidebar").get_by_role("link", name="About").click()
    page.get_by_role("heading", name="Versions").wait_for()
    assert page.url.endswith(f"/about?bundle={name}&tab=bundle")


def test_another_bundle_by_the_picker(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/about?bundle={site.names[0]}&tab=bundle")
    page.get_by_role("combobox", name=re.compile("Bundle")).click()
    page.get_by_role("option", name=site.names[1]).click()
    page.wait_for_url(re.compile(site.names[1]))
    settled(page)
    page.get_by_test_id("stMain").get_by_text(site.names[1].rsplit("-", 1)[1]).first.wait_for()


def test_the_first_visitor_of_a_page_gets_the_frame(serve_once: Callable, bundles: Path, visit: Callable) -> None:
    fresh = serve_once("pages._ui.server", bundles)
    page = visit(f"{fresh.address}/about")  # before any other session has run st.navigation
    page.get_by_text("data set").last.wait_for()
    assert page.get_by_test_id("stSidebar").count() == 1
