import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.bundle.read import open_bundle
from core.store import Store
from pages._ui import figures, labels, live, resources
from tests.e2e.plain_case import SHOWN, Case
from tests.e2e.rosetta_case import made, words
from tests.e2e.world import World, call, make_world
from tests.e2e.zygote import Zygote
from tests.reference.plain_neurons import PlainNeurons, plain_neurons
from tests.towers.zoo_models import save_timm


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Embeddings are cached by the user; a test must not see what another program left there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNITSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="world-") as folder:  # pytest's own are closed to other users
        os.chmod(folder, 0o755)
        yield make_world(Path(folder))


@pytest.fixture(scope="session")
def vit_bundle(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run, for reading only."""
    return call(world.run(tmp_path_factory.mktemp("vit"))).bundle


@pytest.fixture(scope="session")
def vit_neurons(world: World, vit_bundle: Path) -> dict[int, PlainNeurons]:
    """The neurons of its layers by definition, over its usable images; half a minute, so once for all tests."""
    bundle = open_bundle(vit_bundle)
    files = [world.images / row["path"] for row in bundle.table("images").to_pylist() if row["status"] == "ok"]
    return {layer: plain_neurons(world.model("vit"), files, layer) for layer in bundle.axes["neuron_layer"].labels}


@pytest.fixture(scope="session")
def resnet_bundle(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return call(world.run(tmp_path_factory.mktemp("resnet"), kind="resnet")).bundle


@pytest.fixture(scope="session")
def rosetta_cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third member beside the world's two CLIP models."""
    return save_timm(tmp_path_factory.mktemp("zoo") / "cnn")


@pytest.fixture(scope="session")
def rosetta_whole(world: World, rosetta_cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed dictionary, for reading only."""
    return made(words(world, rosetta_cnn, tmp_path_factory.mktemp("rosetta")))


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Starts commands that are killed."""
    made = Zygote(tmp_path_factory.mktemp("zygote") / "log")
    yield made
    made.close()


@pytest.fixture(scope="module", params=["vit", "resnet"])
def page_case(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Case, resources.Opened]]:
    """A bundle that pages have open, its live model there, and what is true of the image SHOWN, whose thumbnail the
    model is shown."""
    bundle: Path = request.getfixturevalue(f"{request.param}_bundle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(resources.BUNDLES_VARIABLE, str(bundle.parent))
        patch.setattr(resources, "MODELS", live.LiveModels(resources._load, resources._weight, resources._memory))
        opened = resources.open_named(bundle.name)
        file = tmp_path_factory.mktemp("thumbnail") / "it.jpg"
        file.write_bytes(opened.store.thumbnail(SHOWN))
        resources.explainer(opened)  # waits, so that pages are drawn whole at once
        yield Case(world.model(request.param), request.param, [file]), opened


@pytest.fixture
def bundle(vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a bundle in a folder of its own, so that the database of labels beside it is new."""
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / vit_bundle.name).symlink_to(vit_bundle)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path / "bundles"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("UNITSCOPE_CACHE", str(tmp_path / "cache"))
    yield vit_bundle.name
    labels._database.clear()
    labels._ledger.clear()


@pytest.fixture
def store(bundle: str) -> Store:
    """Its store."""
    return resources.open_named(bundle).store


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What gives the page's data, as the download button gets it."""
    seen: list[Any] = []
    monkeypatch.setattr(figures, "page_data", lambda data, name: seen.append(data))
    return seen
