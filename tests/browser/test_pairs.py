"""The Pairs page in a real browser."""

import re
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image

from core.bundle.read import open_bundle
from core.ids import parse
from core.store import Store
from tests.browser.conftest import SIZES, go, looks, settled
from tests.browser.serving import Site
from tests.browser.test_heads import WAIT, drawn, heading, named
from tests.browser.test_neurons import asked, row


def best(site: Site, kind: str, rank: int = 0) -> str:
    table = Store(open_bundle(site.bundles / named(site, kind))).pairs
    assert table is not None
    return table.address(table.columns().row_p[rank])


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_from_the_table_to_a_pair_its_heatmaps_its_neuron_and_back(site: Site, visit: Callable, kind: str) -> None:
    page = visit(f"{site.address}/pairs?bundle={named(site, kind)}")
    page.get_by_test_id("stDataFrame").wait_for()
    row(page, 1, "pair", 330)
    name = best(site, kind, 1)
    heading(page, re.escape(name))
    drawn(page)
    page.get_by_role("radio", name="Where it comes from").click()
    page.wait_for_url(re.compile("map=on"))
    page.locator(".frame img.overlay").first.wait_for(timeout=WAIT)
    page.get_by_role("radio", name="Three levels").click()
    page.wait_for_url(re.compile("tab=levels"))
    page.get_by_text("The finer the unit").wait_for(timeout=WAIT)
    drawn(page)
    second = visit(page.url)  # the link is the whole view
    heading(second, re.escape(name))
    second.get_by_text("The finer the unit").wait_for(timeout=WAIT)
    second.locator(".frame img.overlay").first.wait_for(timeout=WAIT)
    neuron = str(parse(name).neuron)
    page.get_by_role("link", name=f"Neuron {neuron}", exact=True).click()
    heading(page, re.escape(neuron))
    head = str(parse(name).head)
    page.get_by_role("row", name=re.compile(rf"^{re.escape(head)}\b")).get_by_role("link", name="pair").click()
    heading(page, re.escape(name))
    page.go_back()
    heading(page, re.escape(neuron))


def test_keys_step_and_an_image_opens_the_pair_in_it(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/pairs?bundle={named(site, 'resnet')}&pair={best(site, 'resnet')}")
    drawn(page)
    for key, rank in (("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        heading(page, re.escape(best(site, "resnet", rank)))
        drawn(page)
    wanted = page.locator(".cell").nth(2).get_attribute("data-id")
    page.locator(".cell").nth(2).click()
    page.wait_for_url(re.compile(f"image={wanted}"))
    assert asked(page, "tab") == "image"
    page.get_by_text("quantile of the images").wait_for(timeout=WAIT)
    page.locator("img.overlay").nth(2).wait_for(timeout=WAIT)
    page.keyboard.press("/")
    page.keyboard.type("H1")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("head=H1"))
    page.get_by_text("read by head H1").wait_for()
    settled(page)


def test_a_text_finds_pairs(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/pairs?bundle={named(site, 'vit')}")
    page.get_by_role("textbox", name="Nearest to a text").fill("a red wall")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("near=a"))
    page.get_by_text("nearest to “a red wall”").wait_for(timeout=WAIT)
    second = visit(page.url)
    second.get_by_text("nearest to “a red wall”").wait_for(timeout=WAIT)


def test_a_pair_in_an_image_of_ones_own(site: Site, visit: Callable) -> None:
    page = visit(f"{site.address}/pairs?bundle={named(site, 'resnet')}&pair={best(site, 'resnet')}&tab=image")
    page.get_by_text("quantile").first.wait_for(timeout=WAIT)
    page.get_by_text("An image of your own").first.click()
    picture = BytesIO()
    Image.effect_noise((96, 64), 80).convert("RGB").save(picture, "PNG")
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    page.locator('input[type="file"]').set_input_files(file)
    page.wait_for_url(re.compile("upload="))
    page.get_by_text("Your upload, 96 × 64 px").wait_for(timeout=WAIT)
    page.locator("img.overlay").nth(2).wait_for(timeout=WAIT)
    page.get_by_text("x = ").wait_for()


@pytest.mark.parametrize("size", SIZES)
def test_pairs_look(site: Site, visit: Callable, size: str) -> None:
    page = visit(f"{site.address}/pairs?bundle={named(site, 'resnet')}", size)
    page.get_by_test_id("stDataFrame").wait_for()
    looks(page, "pairs-table", size)
    name = best(site, "resnet")
    go(page, f"{site.address}/pairs?bundle={named(site, 'resnet')}&pair={name}&tab=sub&map=on")
    page.get_by_text("found without a language model").wait_for(timeout=WAIT)
    drawn(page)
    tops = [page.locator(f".st-key-key-{each}").bounding_box()["y"] for each in ("previous", "next", "random")]
    assert max(tops) - min(tops) < 2
    looks(page, "pairs", size)
