"""The shipped demo models: true open_clip models, small, and as good as their cards say."""

import json
import re

import numpy as np
import open_clip
import pytest
import torch
from safetensors import safe_open

from core.errors import WeightsError
from demo import recipe
from demo.evaluate import MARKS, evaluate, held_out, write_card
from demo.recipe import MODELS, NAMES, build, encode, model_config, token_ids, tokenize
from demo.ship import full_state, ship

FLOORS = {"object": 0.8, "place": 0.95, "style": 0.95, "count": 0.7}  # what both models are held to


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", NAMES)
def test_configs_are_open_clips_own(name: str) -> None:
    config = json.loads((MODELS / name / "open_clip_config.json").read_text())
    model = open_clip.CLIP(**config["model_cfg"])
    assert config["model_cfg"]["quick_gelu"] is False
    assert config["model_cfg"]["vision_cfg"]["head_width"] == 32
    side = config["preprocess_cfg"]["size"][0]
    with torch.no_grad():
        assert model.eval().encode_image(torch.zeros(1, 3, side, side)).shape == (1, 128)
    if name == "demo-rn":
        assert len(model.visual.attnpool.positional_embedding) == 1 + 4 * 4


def test_both_weights_together_stay_small() -> None:
    assert sum((MODELS / name / "open_clip_model.safetensors").stat().st_size for name in NAMES) < 40e6


@pytest.mark.parametrize("name", NAMES)
def test_words_never_trained_are_zero_and_trained_ones_are_not(name: str) -> None:
    with safe_open(MODELS / name / "open_clip_model.safetensors", "pt") as weights:
        table = weights.get_tensor("token_embedding.weight")
    spoken = table.abs().sum(1) > 0
    expected = torch.zeros(len(table), dtype=torch.bool)
    expected[token_ids()[1:]] = True
    assert token_ids()[0] == 0  # padding
    assert torch.equal(spoken, expected)
    assert table.dtype == torch.float16


@pytest.mark.parametrize("name", NAMES)
def test_the_real_path_reaches_the_floors_on_a_small_sample(name: str) -> None:
    result = evaluate(name, number=204, seed=5)
    for factor, floor in FLOORS.items():
        slack = (
            0.1 if factor == "object" else 0.05
        )  # two standard errors: a quarter of the 204 scenes are of one object
        assert result[factor] >= floor - slack, (factor, result)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_holds_an_evaluation_that_reaches_the_floors(name: str) -> None:
    text = (MODELS / name / "README.md").read_text(encoding="utf-8")
    found = re.search(f"{MARKS[0]}\n```json\n(.*)\n```\n{MARKS[1]}", text, flags=re.DOTALL)
    assert found, "run python -m demo.evaluate"
    result = json.loads(found.group(1))
    assert result["model"] == name
    assert result["images"] >= 2000
    assert all(result[factor] >= floor for factor, floor in FLOORS.items())


def test_missing_weights_say_what_to_do(tmp_path) -> None:
    (tmp_path / "demo-vit").mkdir()
    with pytest.raises(WeightsError, match=r"demo\.train"):
        evaluate("demo-vit", folder=tmp_path)


def test_a_result_is_written_between_the_marks_only(tmp_path) -> None:
    (tmp_path / "demo-vit").mkdir()
    card = tmp_path / "demo-vit" / "README.md"
    card.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    write_card({"model": "demo-vit", "object": 0.5}, tmp_path)
    text = card.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert '"object": 0.5' in text
    assert "old" not in text


def test_held_out_scenes_are_of_one_kind_and_seeds_differ() -> None:
    scenes = held_out(50, seed=1)
    assert len(scenes) == 50
    assert not any(scene.mixed for scene in scenes)
    assert scenes != held_out(50, seed=2)


def test_the_shipped_file_speaks_as_the_compact_model_does(tmp_path) -> None:
    """The full vocabulary is a relabelling: same texts, same embeddings up to float16."""
    model = build("demo-vit", seed=0).eval()
    (tmp_path / "demo-vit").mkdir()
    (tmp_path / "demo-vit" / "open_clip_config.json").write_text(
        (MODELS / "demo-vit" / "open_clip_config.json").read_text()
    )
    ship(model, "demo-vit", tmp_path)
    schema = f"local-dir:{tmp_path / 'demo-vit'}"
    loaded, _ = open_clip.create_model_from_pretrained(schema)
    texts = ["a photo of a dog", "three keys in the snow", "sepia"]
    with torch.no_grad():
        ours = encode(model, texts)
        theirs = loaded.eval().encode_text(open_clip.get_tokenizer(schema)(texts), normalize=True)
    np.testing.assert_allclose(ours, theirs, atol=5e-3)  # float16 holds 11 bits; two layers add up


def test_compact_tokens_keep_the_end_of_text_the_largest() -> None:
    rows = tokenize(["a dog", "a black and white picture of two owls in a forest"], 20)
    full = open_clip.SimpleTokenizer(context_length=20)(["a dog", "a black and white picture of two owls in a forest"])
    assert torch.equal(rows.argmax(1), full.argmax(1))
    assert torch.equal(token_ids()[rows], full)


def test_full_state_has_exactly_the_keys_and_shapes_of_the_architecture() -> None:
    for name in NAMES:
        model = build(name, seed=0)
        if name == "demo-rn":
            recipe.resize_pool(model, 4)
        expected = open_clip.CLIP(**model_config(name)).state_dict()
        state = full_state(model, name)
        assert {key: value.shape for key, value in state.items()} == {k: v.shape for k, v in expected.items()}
