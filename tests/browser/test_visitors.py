"""Four visitors who upload different images at once get what each would get alone (the bench does it 100 times)."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bench_visitors import VISITORS, at_once, on_pages
from tests.browser.serving import Site
from tests.hostile import encode, noise

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_through_the_live_model(bundles: Path, kind: str) -> None:
    bundle = next(path for path in bundles.iterdir() if kind in path.name)
    assert at_once(bundle, [encode(noise(seed=n), "PNG") for n in range(VISITORS * 10)]) == []


def test_on_pages(site: Site, visit: Callable[[str], "Page"]) -> None:
    name = next(each for each in site.names if "vit" in each)
    images = [encode(noise(seed=1000 + n), "PNG") for n in range(VISITORS * 2)]
    address = f"{site.address}/image?bundle={name}&tab=where"
    assert on_pages([visit(address) for _ in range(VISITORS)], address, images) == []
