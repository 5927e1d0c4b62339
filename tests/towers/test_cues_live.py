"""What cues ask of a live model: representations as encode_image gives them, and indirect effects by definition."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import InputError
from core.explain.cues import indirect, represent
from core.models.load import LoadedModel, load_model

IMAGES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8).astype(np.uint8))
    for seed in range(3)
]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("demo-vit", device="cpu")


@pytest.fixture
def explainer(model: LoadedModel) -> Any:
    def run(compute: Callable[[], Any]) -> Any:
        with torch.inference_mode():
            return compute()

    return SimpleNamespace(model=model, run=run)


@pytest.mark.parametrize("number", [0, 3, 40])
def test_representations_are_those_of_encode_image(explainer: Any, model: LoadedModel, number: int) -> None:
    images, seen = [IMAGES[n % 3] for n in range(number)], []
    found = represent(explainer, images, lambda *done: seen.append(done))
    assert found.shape == (number, 128) and (not number or seen[-1] == (number, number))
    for n, image in enumerate(images):
        with torch.inference_mode():
            expected = model.clip.encode_image(model.transform(image)[None], normalize=True)[0]
        np.testing.assert_allclose(found[n], expected, rtol=0, atol=1e-6)  # fp32, in other batches


def test_indirect_effects_are_what_ablation_by_hand_takes_away(explainer: Any, model: LoadedModel) -> None:
    rng = np.random.default_rng(0)
    mean_lnt = 10 * rng.standard_normal((2, 3, 65)).astype(np.float32)
    table: Any = SimpleNamespace(traced=(0, 2), layers=(0, 2), neurons=3, array=lambda name: mean_lnt)
    seen: list[tuple[int, int]] = []
    found = indirect(explainer, table, IMAGES[:2], lambda *done: seen.append(done))
    assert found.shape == (6, 128) and seen[-1] == (6, 6)
    pixels = torch.stack([model.transform(image) for image in IMAGES[:2]])
    with torch.inference_mode():
        plain = model.clip.encode_image(pixels)
        for row in range(6):
            layer, neuron = (0, 2)[row // 3], row % 3

            def ablated(module: Any, inputs: Any, out: torch.Tensor, at: tuple = (row // 3, neuron)) -> torch.Tensor:
                changed = out.clone()
                changed[..., at[1]] = torch.from_numpy(mean_lnt[at])
                return changed

            hook = model.clip.visual.transformer.resblocks[layer].mlp.gelu.register_forward_hook(ablated)
            without = model.clip.encode_image(pixels)
            hook.remove()
            lost = (plain - without) / plain.norm(dim=-1, keepdim=True)
            assert lost.abs().max() > 1e-3
            np.testing.assert_allclose(found[row], lost.mean(0), rtol=0, atol=1e-6)  # fp32


def test_indirect_effects_need_an_image(explainer: Any) -> None:
    with pytest.raises(InputError, match="there is none"):
        indirect(explainer, SimpleNamespace(traced=(0,), layers=(0,), neurons=1), [])  # type: ignore[arg-type]  # a stand-in
