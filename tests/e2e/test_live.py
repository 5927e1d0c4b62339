"""A bundle's live model: loaded as the bundle says, freed when let go of, and at home on the CPU when a GPU is full."""

import weakref
from pathlib import Path

import pytest
import torch

from core.bundle.read import open_bundle
from core.errors import ModelError
from core.explain import live
from core.explain.explainer import Explainer
from core.images import decode
from tests.e2e.world import World


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_it_is_the_bundles_and_is_freed_at_once(kind: str, world: World, request: pytest.FixtureRequest) -> None:
    bundle = open_bundle(request.getfixturevalue(f"{kind}_bundle"))
    explainer = live.load_explainer(bundle.facts, lambda: None)
    labels = bundle.facts["axes"]["layer"]["labels"]
    assert explainer.layers == (tuple(labels) if kind == "vit" else (0,))
    image = explainer.read(decode(next(world.images.rglob("12.*")).read_bytes()))
    explainer.heatmap(image, "a red wall")
    where, size = live.weight(explainer)
    parameters = sum(each.nbytes for each in explainer.model.clip.parameters())
    assert where == explainer.model.device.type and size >= parameters + 64 * 2**20
    assert size < live.memory(where)
    gone = weakref.ref(explainer)
    del explainer
    assert gone() is None  # without waiting for the garbage collector: on a GPU that would be memory lost meanwhile


def _pretend_gpu(monkeypatch: pytest.MonkeyPatch, free_after: int) -> list[str]:
    """A machine whose GPU refuses `free_after` times; returns the devices tried."""
    tried: list[str] = []
    load = live._load

    def attempt(facts: dict, device: torch.device) -> Explainer:
        tried.append(device.type)
        if device.type == "meta" and tried.count("meta") <= free_after:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return load(facts, torch.device("cpu"))

    monkeypatch.setattr(live, "pick_device", lambda _: torch.device("meta"))
    monkeypatch.setattr(live, "_load", attempt)
    return tried


def test_a_full_gpu_is_emptied_first_and_then_left(vit_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, rooms = open_bundle(vit_bundle).facts, []
    tried = _pretend_gpu(monkeypatch, free_after=1)
    assert live.load_explainer(facts, lambda: rooms.append(1)).notice is None
    assert (tried, rooms) == (["meta", "meta"], [1])
    monkeypatch.undo()
    tried = _pretend_gpu(monkeypatch, free_after=9)
    assert "runs on the CPU" in (live.load_explainer(facts, lambda: None).notice or "")
    assert tried == ["meta", "meta", "cpu"]


def test_no_memory_anywhere_gets_a_sentence(vit_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Explainer:
        raise MemoryError

    monkeypatch.setattr(live, "_load", full)
    with pytest.raises(ModelError, match="not enough memory"):
        live.load_explainer(open_bundle(vit_bundle).facts, lambda: None)
