"""The demo zoo's models without texts: what they are trained on and for, resuming, and the shipped files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from core.errors import WeightsError
from demo import drawn, evaluate_zoo, train_zoo, zoo
from demo.evaluate import FIGURES, MARKS, held_out
from demo.recipe import CLIP_NAMES, MODELS, SECOND, model_config
from demo.ship import DECODER_FILE, ship_timm
from demo.stream import train_scene
from demo.train_zoo import ZooTrainer
from demo.vocabulary import OBJECT_NAMES

FEW = 24


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(drawn.scenes_file, "__defaults__", (FEW, 64))
    monkeypatch.setattr(drawn.object_shares, "__defaults__", (FEW,))
    monkeypatch.setattr(zoo, "BATCH", dict.fromkeys(zoo.NAMES, 8))


def test_the_file_of_scenes_is_drawn_once_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn.scenes_file(tmp_path, 3, 4, 32)
    assert first.shape == (4, 32, 32, 3)
    monkeypatch.setattr(drawn, "shipped_view", lambda *_: pytest.fail("drawn again"))
    assert np.array_equal(drawn.scenes_file(tmp_path, 3, 4, 32), first)
    shares = drawn.object_shares(3, 4)
    for row in range(4):
        scene, _ = train_scene(3, drawn.FIRST + row)
        assert shares[row].sum() == pytest.approx(1)
        assert {OBJECT_NAMES[i] for i in shares[row].nonzero()} == set(scene.kinds)


def test_every_scene_is_seen_once_before_any_is_seen_again() -> None:
    rows = np.concatenate([drawn.rows_of(0, start, 8, 20) for start in range(0, 40, 8)])
    assert rows[:20].tolist() == list(range(20))
    assert rows[20:].min() >= 0 and rows[20:].max() < 20
    assert np.array_equal(rows[32:], drawn.rows_of(0, 32, 8, 20))


def test_varied_pictures_are_mirrored_and_moved_windows_of_themselves() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(12, 16, 16, 3), dtype=np.uint8)
    given = drawn.varied(pictures, np.random.default_rng(1), shift=2).numpy()
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    mirrored = 0
    for picture, each in zip(padded, given, strict=True):
        windows = [picture[y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
        plain = any(np.array_equal(each, window) for window in windows)
        turned = any(np.array_equal(each, window[:, ::-1]) for window in windows)
        assert plain != turned
        mirrored += turned
    assert 0 < mirrored < 12


def test_the_autoencoder_never_sees_what_it_must_draw() -> None:
    learner = zoo.learner("demo-mae", 0).eval()
    images = torch.randn(2, 3, 64, 64)
    draw = lambda x: learner(x, torch.Generator().manual_seed(5))
    with torch.no_grad():
        first, hidden = draw(images)
        patch = hidden[0].nonzero()[0].item()
        y, x = 8 * (patch // 8), 8 * (patch % 8)
        changed = images.clone()
        changed[0, :, y : y + 8, x : x + 8] += 1
        assert torch.equal(draw(changed)[0], first)
        assert torch.equal(hidden.sum(1), torch.tensor([48, 48]))
        seen = (~hidden[0]).nonzero()[0].item()
        y, x = 8 * (seen // 8), 8 * (seen % 8)
        changed[0, :, y : y + 8, x : x + 8] = torch.randn(3, 8, 8)
        assert not torch.equal(draw(changed)[0][0], first[0])


def test_aims_are_each_patchs_own_pixels_standardised() -> None:
    learner = zoo.learner("demo-mae", 0)
    images = torch.randn(1, 3, 64, 64)
    aims = learner.aims(images)
    patch = images[0, :, 16:24, 40:48].reshape(-1)  # row 2, column 5 of the grid, in the order of unfold
    twin = (patch - patch.mean()) / (patch.var() + 1e-4).sqrt()
    torch.testing.assert_close(aims[0, 2 * 8 + 5], twin, rtol=0, atol=1e-5)  # float32 sums of 192 values


@pytest.mark.parametrize("name", zoo.NAMES)
def test_interrupted_and_resumed_is_the_same_as_straight_through(name: str, tmp_path: Path) -> None:
    straight = train_zoo.train_zoo(name, 0, 24, None, tmp_path / "straight")
    broken = ZooTrainer(name, 0, tmp_path / "broken", torch.device("cpu"))
    broken.step()  # 8 of 24 samples
    broken.progress = 8 / 24
    broken.save()
    resumed = train_zoo.train_zoo(name, 0, 24, None, tmp_path / "broken")
    assert straight.seen == resumed.seen == 24
    for key, value in straight.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[key], value, rtol=0, atol=1e-6)
    assert "held-out" not in straight.held_out(4)
    assert "loss" in straight.held_out(4)


@pytest.mark.parametrize("name", zoo.NAMES)
def test_what_is_shipped_is_what_timm_loads(name: str, tmp_path: Path) -> None:
    learner = zoo.learner(name, 4)
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text((MODELS / name / "config.json").read_text())
    ship_timm(learner, name, tmp_path)
    assert (tmp_path / name / DECODER_FILE).exists() == (name == "demo-mae")
    loaded, _ = evaluate_zoo.load(name, tmp_path)
    for key, value in learner.member.state_dict().items():
        # float16 keeps 11 bits
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=2**-11, atol=1e-6)


def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"demo\.train"):
        evaluate_zoo.load("demo-cnn", tmp_path)


def test_a_probe_finds_what_is_linear_in_the_features() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    features = np.eye(3)[labels] @ rng.normal(size=(3, 10)) + 0.1 * rng.normal(size=(300, 10))
    assert (evaluate_zoo.probe(features[:200], labels[:200], features[200:]) == labels[200:]).mean() > 0.95


def test_the_shipped_models_are_small_and_half_precise() -> None:
    files = [path for name in (*zoo.NAMES, *SECOND) for path in (MODELS / name).glob("*.safetensors")]
    assert len(files) == 4
    assert sum(path.stat().st_size for path in files) < 30e6
    for path in files:
        assert {value.dtype for value in load_file(path).values()} <= {torch.float16, torch.int64}


def test_the_second_seed_has_the_architecture_of_the_first_and_other_weights() -> None:
    for second, first in SECOND.items():
        assert model_config(second) == model_config(first)
        a, b = (load_file(MODELS / name / "open_clip_model.safetensors") for name in (second, first))
        assert a.keys() == b.keys()
        assert not torch.equal(a["visual.proj"], b["visual.proj"])


def test_the_shipped_cnn_names_objects() -> None:
    figures = evaluate_zoo.evaluate_cnn("demo-cnn", held_out(150, seed=5))
    assert figures["object_any_count"] > 0.82  # its card says 0.91; three standard errors of 150 images are 0.07
    assert zoo.config("demo-cnn")["label_names"] == list(OBJECT_NAMES)


def test_the_shipped_autoencoder_draws_better_than_flat_patches() -> None:
    model = timm.create_model(f"local-dir:{MODELS / 'demo-mae'}", pretrained=True)
    error = evaluate_zoo.drawing(model, held_out(60, seed=5), MODELS / "demo-mae")
    assert error["drawing_error"] < 0.6 * error["mean_patch_error"]
    assert error["mean_patch_error"] < error["flat_error"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_card_holds_its_evaluation(name: str) -> None:
    text = (MODELS / name / "README.md").read_text("utf-8")
    found = re.search(f"{MARKS[0]}\n```json\n(.*)\n```\n{MARKS[1]}", text, flags=re.DOTALL)
    assert found, "run python -m demo.evaluate"
    result = json.loads(found.group(1))
    assert result["model"] == name and result["images"] >= 2000
    if name in CLIP_NAMES:
        assert result["object"] > 0.8
    if name == "demo-mae":
        assert all(result[factor] > result[f"random_{factor}"] for factor in ("object", "place", "style", "category"))
