import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and faiss are imported: tests measure numbers, not speed

import hypothesis
import open_clip
import torch
from streamlit.components.v2 import manifest_scanner

hypothesis.settings.register_profile("busy", deadline=None)  # 200 ms by the clock: a busy machine is late now and then
hypothesis.settings.load_profile("busy")

FSYNC = os.fsync
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    """What takes long, is the same each time, and no test is about.

    Streamlit reads the metadata of all installed packages, for components in them, once a server, but AppTest does so
    for each app: two thirds of a second. open_clip parses its vocabulary for each model: a tenth. And no test cuts the
    power, so files need not reach the disk; `real_fsync` is for tests of that.
    """
    with pytest.MonkeyPatch.context() as patch:
        found = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", found)
        patch.setattr(open_clip.factory, "SimpleTokenizer", functools.cache(open_clip.factory.SimpleTokenizer))
        patch.setattr(os, "fsync", os.fstat)  # which a closed file makes fail as well
        yield


@pytest.fixture
def real_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", FSYNC)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Material that isn't part of the repository: real photographs, golden arrays, word lists."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared (photographs, golden arrays) is not beside this checkout")
    return SHARED
