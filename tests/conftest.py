import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and faiss are imported: tests measure numbers, not speed

import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Material that isn't part of the repository: real photographs, golden arrays, word lists."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared (photographs, golden arrays) is not beside this checkout")
    return SHARED
