import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.bundle.read import open_bundle
from tests.e2e.world import World, call, make_world
from tests.reference.plain_neurons import PlainNeurons, plain_neurons


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
