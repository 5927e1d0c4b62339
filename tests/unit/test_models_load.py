"""Loading a model: every silent mistake is an error, and the same weights have the same name."""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from PIL import Image

from core.bundle.fields import field_problems
from core.bundle.schema import FIELDS
from core.errors import ActivationMismatch, UnknownModel, UnsupportedTower, WeightsError
from core.methods.first_order import FirstOrder
from core.models.load import LoadedModel, demo_models, load_model
from precompute.worker import CLOSING
from tests.towers.saved import PREPROCESS, TEXT, build_in, save_model
from tests.towers.tiny import OUT, images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "vit")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> LoadedModel:
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module")
def rn50() -> LoadedModel:
    return load_model("RN50", device="cpu", allow_random_weights=True)


def changed(folder: Path, to: Path, **config: object) -> Path:
    """A copy of a saved model with entries of its model_cfg replaced; None removes the weights."""
    shutil.copytree(folder, to)
    stored = json.loads((to / "open_clip_config.json").read_text())
    stored["model_cfg"] |= config
    (to / "open_clip_config.json").write_text(json.dumps(stored))
    return to


# --- names


def test_a_folder(tiny: LoadedModel, folder: Path) -> None:
    tower = tiny.tower
    assert (tower.kind, tower.layers, tower.heads, tower.head_width, tower.out_dim) == ("vit", 4, 4, 12, OUT)
    assert tiny.activation == "gelu" and not tiny.random_weights and not tiny.clip.training
    reference, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    batch = images(tower)
    torch.testing.assert_close(tower.trace(batch, ()).representation_bo, reference.eval().encode_image(batch).detach())


@pytest.mark.parametrize("name", demo_models())
def test_the_demo_models_by_name(name: str) -> None:
    if not list((Path(__file__).parents[2] / "demo" / "models" / name).glob("*.safetensors")):
        pytest.skip(f"the weights of {name} are not in this checkout")
    model = load_model(name, device="cpu")
    assert model.name == name and not model.random_weights
    assert model.tower.kind == ("vit" if name.startswith("demo-vit") else "resnet")


def test_a_built_in_architecture_with_random_weights(rn50: LoadedModel) -> None:
    assert rn50.random_weights and rn50.pretrained is None
    assert (rn50.tower.heads, rn50.tower.width, rn50.tower.out_dim, rn50.tower.grid) == (32, 2048, 1024, (7, 7))


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    name = build_in(monkeypatch)
    first = load_model(name, device="cpu", allow_random_weights=True)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again = load_model(name, device="cpu", allow_random_weights=True)
    assert torch.rand(1) == expected
    assert again.weights_digest == first.weights_digest and again.digest == first.digest


def test_random_weights_only_on_purpose() -> None:
    with pytest.raises(WeightsError, match=r"given no weights.*known: .*openai.*--allow-random-weights"):
        load_model("ViT-B-32", device="cpu")


def test_unknown_names_offer_near_ones(folder: Path) -> None:
    with pytest.raises(UnknownModel, match="Did you mean ViT-B-32"):
        load_model("ViT-B32")
    with pytest.raises(UnknownModel, match="Did you mean demo-vit"):
        load_model("demo-vti")
    with pytest.raises(UnknownModel, match=r"no weights named 'laion'.*laion400m_e31"):
        load_model("ViT-B-32", "laion")
    with pytest.raises(UnknownModel, match="Precision 'int8'"):
        load_model(str(folder), precision="int8")
    with pytest.raises(UnknownModel, match="--device auto or cpu"):
        load_model(str(folder), device="tpu")


# --- activation


def test_a_tag_of_another_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *_, **__: pytest.fail("not before the check"))
    with pytest.raises(ActivationMismatch, match=r"ViT-B-32 computes gelu.*with quickgelu: use --model ViT-B-32-quick"):
        load_model("ViT-B-32", "openai")
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: {"url": "x"})
    with pytest.raises(ActivationMismatch, match=r"quickgelu, but .* with gelu: use --model ViT-B-32"):
        load_model("ViT-B-32-quickgelu", "laion400m_e31")


def test_what_the_user_says_of_a_file_counts(folder: Path, tmp_path: Path) -> None:
    assert load_model(str(folder), activation="gelu").activation == "gelu"
    with pytest.raises(ActivationMismatch, match=r"computes gelu, but the weights .* were trained with quickgelu"):
        load_model(str(folder), activation="quickgelu")
    quick = changed(folder, tmp_path / "quick", quick_gelu=True)
    assert load_model(str(quick), activation="quickgelu").activation == "quickgelu"
    with pytest.raises(ActivationMismatch):
        load_model(str(quick), activation="gelu")


def test_a_download_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(
        WeightsError, match=r"could not be downloaded \(ConnectionError: no route to host\).*a weights file"
    ):
        load_model("RN50-quickgelu", "openai")


# --- towers


@pytest.mark.parametrize(
    ("vision", "found"),
    [
        ({"pool_type": "avg"}, "pools its tokens by 'avg'"),
        ({"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2}, "pools its tokens by attention"),
        ({"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"}, "'TimmModel'.*Supported are"),
    ],
)
def test_other_towers_are_refused_by_name(vision: dict, found: str, folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    other = changed(folder, tmp_path / "other", vision_cfg=config["vision_cfg"] | vision)
    torch.manual_seed(0)
    clip = open_clip.create_model(f"local-dir:{other}", load_weights=False)
    safetensors.torch.save_file(clip.state_dict(), other / "open_clip_model.safetensors")
    with pytest.raises(UnsupportedTower, match=found):
        load_model(str(other))


def test_what_open_clip_cannot_build_is_told(folder: Path, tmp_path: Path) -> None:
    broken = changed(folder, tmp_path / "broken", vision_cfg={"layers": 2, "width": 50, "head_width": 0})
    with pytest.raises(UnsupportedTower, match="could not build"):
        load_model(str(broken))


# --- identity


def test_the_digest_names_the_numbers(tiny: LoadedModel, folder: Path, tmp_path: Path) -> None:
    digests = {
        "weights": tiny.digest,
        "other weights": load_model(str(save_model(tmp_path / "seed", seed=1))).digest,
        "precision": load_model(str(folder), precision="bf16").digest,
        "activation": load_model(str(changed(folder, tmp_path / "quick", quick_gelu=True))).digest,
    }
    stored = json.loads((folder / "open_clip_config.json").read_text())
    stored["preprocess_cfg"]["mean"] = [0.5, 0.5, 0.5]
    other = changed(folder, tmp_path / "mean")
    (other / "open_clip_config.json").write_text(json.dumps(stored))
    digests["preprocessing"] = load_model(str(other)).digest
    assert len(set(digests.values())) == len(digests)
    # the same numbers under another name and in another file format
    moved = changed(folder, tmp_path / "moved")
    state = safetensors.torch.load_file(moved / "open_clip_model.safetensors")
    (moved / "open_clip_model.safetensors").unlink()
    torch.save(state, moved / "open_clip_model.bin")
    assert load_model(str(moved)).digest == tiny.digest


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_facts_are_what_a_bundle_records(kind: str, tiny: LoadedModel, tmp_path: Path) -> None:
    model = tiny if kind == "vit" else load_model(str(save_model(tmp_path / "resnet", "resnet")))
    facts = json.loads(json.dumps(model.facts()))
    specs = tuple(spec for spec in FIELDS if spec.name.startswith("model."))
    assert len(specs) > 10 and field_problems({"model": facts}, specs) == []
    assert set(facts) == {spec.name.removeprefix("model.") for spec in specs}
    details = facts["details"]
    assert len(details["probe"]) == 8 and details["logit_scale"] == pytest.approx(float(model.clip.logit_scale.exp()))
    assert model.probe() == details["probe"]


# --- preprocessing


def test_preprocessing_of_a_folder(tiny: LoadedModel, folder: Path) -> None:
    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
    torch.testing.assert_close(tiny.transform(picture), transform(picture), rtol=0, atol=0)
    assert {key: tiny.preprocessing[key] for key in PREPROCESS} == PREPROCESS
    assert tiny.batch([picture, picture]).shape == (2, 3, 32, 32)


def test_preprocessing_of_a_tag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights of a tag bring their own mean and deviation; `download_pretrained` gives random ones here."""
    name = build_in(monkeypatch)
    untrained = load_model(name, allow_random_weights=True)
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(untrained.clip.state_dict(), weights)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *_, **__: str(weights))
    tagged = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 3.0), "interpolation": "bilinear", "url": "x"}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: tagged)
    model = load_model(name, "tag")
    assert model.preprocessing["mean"] == [0.1, 0.2, 0.3] and model.preprocessing["interpolation"] == "bilinear"
    grey = Image.new("RGB", (300, 300), (51, 51, 51))
    torch.testing.assert_close(
        model.transform(grey)[:, 0, 0], (0.2 - torch.tensor([0.1, 0.2, 0.3])) / torch.arange(1.0, 4)
    )
    assert not model.random_weights and model.pretrained == "tag"
    # a file on disk has no such facts: the defaults stand
    local = load_model(name, str(weights))
    assert local.preprocessing == untrained.preprocessing and local.weights_digest == untrained.weights_digest


# --- texts

TEXTS = [
    "",
    "dog",
    "a photo of a red square over a blue sea",
    "word " * 40,  # longer than the context: cut, with the end-of-text token kept
    "ünïcode 雪 🐙",
    "!",
]


def test_texts_without_padding_are_texts_with_it(tiny: LoadedModel, folder: Path) -> None:
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    tokens = tokenizer(TEXTS)
    assert tokens.shape == (len(TEXTS), TEXT["context_length"]) and (tokens[3] != 0).all()
    with torch.inference_mode():
        plain = torch.nn.functional.normalize(tiny.clip.encode_text(tokens), dim=-1).numpy()
    found = tiny.encode_texts(TEXTS)
    # both are fp32 of the same products; a shorter product is summed in another order
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-6)
    one_by_one = np.concatenate([tiny.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-6)
    assert np.abs(plain[:, None] - plain[None]).max(-1)[~np.eye(len(TEXTS), dtype=bool)].min() > 1e-3
    assert tiny.encode_texts([]).shape == (0, OUT)


def test_padding_is_really_dropped(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    real = type(tiny.clip).encode_text
    monkeypatch.setattr(
        type(tiny.clip), "encode_text", lambda self, tokens: lengths.append(tokens.shape[1]) or real(self, tokens)
    )
    tiny.encode_texts(["dog", "a cat"])
    assert lengths == [4]  # start, two words, end
    assert tiny.clip.positional_embedding.shape[0] == TEXT["context_length"]  # and put back


def test_a_bidirectional_text_tower_keeps_its_padding(folder: Path, tmp_path: Path) -> None:
    """Without a causal mask padding is read too, so it must stay."""
    text = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    other = changed(folder, tmp_path / "other", text_cfg=text | {"no_causal_mask": True})
    model = load_model(str(other))
    tokens = open_clip.get_tokenizer(f"local-dir:{other}")(TEXTS)
    with torch.inference_mode():
        plain = torch.nn.functional.normalize(model.clip.encode_text(tokens), dim=-1).numpy()
    np.testing.assert_allclose(model.encode_texts(TEXTS), plain, rtol=0, atol=1e-6)


# --- precision


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_parts_close_in_every_precision(kind: str, precision: str, tmp_path: Path) -> None:
    for seed in range(3):
        model = load_model(str(save_model(tmp_path / f"{seed}", kind, seed=seed)), device="cpu", precision=precision)
        layers = tuple(range(model.tower.layers))
        parts = FirstOrder(model.tower, layers).parts(model.tower.trace(images(model.tower, 8), layers))
        assert parts.residual_b.max() < CLOSING[precision]
        if precision != "fp32":
            assert parts.residual_b.max() > CLOSING["fp32"], "the pass was not in half precision"
        assert parts.coords_blhc.dtype == torch.float32
        norms = np.linalg.norm(model.encode_texts(["a dog", "snow"]), axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-6)
