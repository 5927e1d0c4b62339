"""A whole picture is the model's own input, where that is all of it; longer pictures keep their shape."""

from pathlib import Path

import pytest
import torch

from core.models.load import load_model
from core.models.whole import whole_image
from tests.hostile import noise
from tests.towers.saved import save_model


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_a_square_picture_is_the_models_input(kind: str, tmp_path: Path) -> None:
    model = load_model(str(save_model(tmp_path / kind, kind)), device="cpu")
    picture = noise(150, 150, seed=3)
    size = min(model.tower.grid) * {"vit": 8, "resnet": 32}[kind]
    torch.testing.assert_close(whole_image(picture, size, model.preprocessing), model.transform(picture))
    assert whole_image(noise(90, 30, seed=1), 20, model.preprocessing).shape == (3, 20, 60)
