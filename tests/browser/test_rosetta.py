"""The Rosetta and Universality pages, and the Image page's section, in a real browser: on a dictionary that three tiny
models made, beside the bundle of one of them."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from core.bundle.dictionary import open_dictionary
from core.store.dictionary import Dictionary
from tests.browser.conftest import SIZES, go, looks, pictured, settled
from tests.browser.serving import Site, among
from tests.browser.test_heads import WAIT, drawn
from tests.browser.test_neurons import asked
from tests.e2e.world import call, make_world
from tests.once import once
from tests.towers.zoo_models import save_timm


def make_dictionary(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNITSCOPE_CACHE", str(folder / "cache"))
        world, out = make_world(folder / "world"), folder / "bundles"
        cnn = save_timm(folder / "zoo" / "cnn")
        assert call(world.run(out)).code == 0
        words = ["rosetta", "--models", world.model("vit"), world.model("resnet"), cnn, "--images", world.images]
        words += ["--out", out, "--number", 48, "--batch", 16, "--pool", world.pool, "--torch-threads", 1, "--quiet"]
        done = call([str(word) for word in words])
        assert done.code == 0, done.err


@pytest.fixture(scope="module")
def shelf(serve_here: Callable, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A server over a bundle and a dictionary."""
    made = once(tmp_path_factory, "browser-dictionary", make_dictionary)
    return serve_here("pages._ui.server", among(made / "bundles", tmp_path_factory.mktemp("shelf") / "bundles"))


def folder(site: Site) -> Path:
    return next(path for path in site.bundles.iterdir() if path.name.startswith("rosetta-"))


def names(site: Site, hub: str = "vit") -> list[str]:
    return [concept.address for concept in Dictionary(open_dictionary(folder(site))).concepts(hub)]


def link(site: Site, **query: str) -> str:
    return f"{site.address}/rosetta?{'&'.join(f'{name}={quote(text)}' for name, text in query.items())}"


def test_from_the_list_to_a_concept_its_neighbours_and_back(shelf: Site, visit: Callable) -> None:
    known = names(shelf)
    page = visit(link(shelf))
    pictured(page, "img.thumb")
    page.locator(f".st-key-card-{re.sub('[:.]', '-', known[1])} button").first.click()
    page.wait_for_url(re.compile("concept="))
    assert asked(page, "concept") == known[1]
    drawn(page)
    for key, rank in (("j", 2), ("k", 1), ("k", 0)):
        page.keyboard.press(key)
        page.wait_for_url(
            re.compile(f"concept={quote(known[rank]).replace('.', '[.]')}$|concept={quote(known[rank])}&")
        )
        drawn(page)
    page.locator("img.overlay").nth(2 * 8 - 1).wait_for()
    page.get_by_text("Null level of vit with").wait_for()
    second = visit(page.url)  # the link is the whole view
    second.get_by_text(known[0]).first.wait_for()
    second.locator("img.overlay").first.wait_for()
    page.go_back()
    page.wait_for_url(re.compile(quote(known[1])))


def test_search_comes_by_its_key_and_images_lead_to_all_their_concepts(shelf: Site, visit: Callable) -> None:
    known = names(shelf)
    page = visit(link(shelf))
    drawn(page)
    page.keyboard.press("/")
    page.keyboard.type(known[0])
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("search="))
    settled(page)
    page.get_by_role("button", name="Next").click()  # keys are off while the field has them
    page.get_by_text("Null level of vit with").wait_for()  # no longer the list, whose images lead elsewhere
    drawn(page)
    image = page.locator("a.cell").first.get_attribute("data-id")
    page.locator("a.cell").first.click()
    page.wait_for_url(re.compile(f"image={image}"))
    page.get_by_role("link", name=re.compile(r"^vit:")).first.wait_for()  # the list, which needs no model
    page.locator("img.overlay").first.wait_for(timeout=WAIT)  # the maps, when the models are there
    page.get_by_text("Maps are computed now").wait_for(timeout=WAIT)


def test_concepts_of_ones_own_image_in_every_model(shelf: Site, visit: Callable) -> None:
    page = visit(f"{shelf.address}/image?tab=rosetta")
    picture = BytesIO()
    Image.effect_noise((96, 64), 80).convert("RGB").save(picture, "PNG")
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    page.locator('input[type="file"]').set_input_files(file)
    page.wait_for_url(re.compile("upload="))
    page.get_by_text("Your upload, 96 × 64 px").wait_for(timeout=WAIT)
    drawn(page)  # until then the concepts are those of the bundle's image
    page.get_by_text("of largest z among").wait_for(timeout=WAIT)
    page.locator("img.overlay").first.wait_for(timeout=WAIT)
    page.locator("a.cell").first.click()
    page.wait_for_url(re.compile("/rosetta.*concept="))
    page.get_by_text("How its units correlate").wait_for()


@pytest.mark.parametrize("size", SIZES)
def test_rosetta_looks(shelf: Site, visit: Callable, size: str) -> None:
    page = visit(link(shelf), size)
    for name, query in (("list", {}), ("concept", {"concept": names(shelf)[0]}), ("image", {"tab": "image"})):
        drawn(go(page, link(shelf, **query)))
        looks(page, f"rosetta-{name}", size)
    drawn(go(page, f"{shelf.address}/universal"))
    page.locator(".js-plotly-plot .bars path").first.wait_for(timeout=WAIT)
    looks(page, "universal", size)
