"""Members by name: where their weights come from, what is recorded of them, and every way in which they are refused."""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import safetensors.torch
import timm
import torch

from core.errors import ModelError, UnknownModel, UnsupportedTower, WeightsError
from core.models import zoo_known
from core.models.zoo import Member, load_member, load_recorded_member, load_zoo, zoo_names
from tests.towers.saved import save_model
from tests.towers.zoo_models import RESNET, picture, save_timm, small_timm

FACTS = {
    "name", "source", "weights", "family", "training", "licence", "weights_digest", "random_weights", "preprocessing",
    "layers", "clip",
}  # fmt: skip


def load(spec: str | Path, **options: object) -> Member:
    return load_member(str(spec), device="cpu", **options)


def digest(member: Member) -> str:
    return member.facts()["weights_digest"]


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_timm(tmp_path_factory.mktemp("zoo") / "cnn")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of timm's test_resnet, as a user may have them."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    torch.manual_seed(7)
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


def offline(*_: object, **options: object) -> None:
    raise ConnectionError("no route to host")


# --- names and facts


def test_every_kind_is_known_by_a_name() -> None:
    names = zoo_names()
    assert {"resnet50", "dino-resnet50", "dino-vit-b16", "mae-vit-b16", "clip-rn50", "demo-vit", "demo-rn"} <= set(
        names
    )
    assert all("\n" not in line and "(" in line for line in names.values())
    assert "not for commercial use" in names["mae-vit-b16"]
    for known in zoo_known.KNOWN.values():
        if known.clip:
            architecture, tag = known.model.split(":")
            assert open_clip.get_pretrained_cfg(architecture, tag)["quick_gelu"]
        else:
            config = timm.models.get_pretrained_cfg(known.model)
            licence = known.overlay.get("license", config.license)
            assert known.licence.lower().startswith(licence), "what is said differs from what timm records"


@pytest.mark.parametrize("spec", ["demo-vit", "timm:test_vit", "folder", "open_clip folder", "file"])
def test_a_recorded_member_is_found_again(spec: str, cnn: Path, weights: Path, tmp_path: Path) -> None:
    options = {"allow_random_weights": spec.startswith("timm:")}
    if spec == "file":
        spec = f"timm:test_resnet={weights}"
    elif spec == "open_clip folder":
        spec = str(save_model(tmp_path / "Tiny ViT"))
    elif spec == "folder":
        spec = str(cnn)
    member = load(spec, **options)
    facts = json.loads(json.dumps(member.facts()))
    assert set(facts) == FACTS and facts["random_weights"] == spec.startswith("timm:test_vit")
    assert [layer["name"] for layer in facts["layers"]] == [layer.name for layer in member.layers]
    assert facts["clip"] == (member.clip is not None)
    if spec.endswith("mine.safetensors"):
        assert facts["source"] == "timm:test_resnet" and facts["weights"] == "mine.safetensors"
        with pytest.raises(
            WeightsError, match=r"test_resnet was made with the weights file mine.safetensors, which is"
        ):
            load_recorded_member(facts, device="cpu")
        again = load_recorded_member(facts, device="cpu", weights=str(weights))
    else:
        again = load_recorded_member(facts, device="cpu")
    assert again.facts() == facts
    inputs = torch.stack([member.prepare(picture(80, 60))])
    for layer, found in again.maps(inputs).items():
        torch.testing.assert_close(found, member.maps(inputs)[layer], rtol=0, atol=0)


def test_a_member_whose_weights_changed_is_not_the_recorded_one(cnn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cnn"
    shutil.copytree(cnn, folder)
    facts = load(folder).facts()
    assert load_recorded_member(facts, device="cpu").facts() == facts
    safetensors.torch.save_file(small_timm(seed=1).state_dict(), folder / "model.safetensors")
    with pytest.raises(WeightsError, match="has other weights now than the model that was recorded"):
        load_recorded_member(facts, device="cpu")
    assert digest(load_recorded_member(facts, device="cpu", source=str(cnn))) == facts["weights_digest"]


def test_names_are_made_of_what_was_asked(cnn: Path, tmp_path: Path) -> None:
    assert load(cnn).name == "cnn" and load(cnn, name="my.cnn_2").name == "my.cnn_2"
    assert load("timm:test_vit", allow_random_weights=True).name == "test_vit"
    with pytest.raises(ModelError, match="cannot be called 'My CNN'; use lower-case"):
        load(cnn, name="My CNN")
    shutil.copytree(cnn, tmp_path / "My CNN")
    assert load(tmp_path / "My CNN").name == "my-cnn"


def test_what_a_folder_says_of_itself(cnn: Path) -> None:
    facts = load(cnn).facts()
    assert (facts["family"], facts["training"], facts["licence"]) == ("ResNet (timm)", "nothing at all", "MIT")
    assert facts["preprocessing"] == {
        "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.3], "size": [64, 64], "interpolation": "bilinear"
    }  # fmt: skip


def test_other_weights_may_lie_beside_the_models(cnn: Path, tmp_path: Path) -> None:
    shutil.copytree(cnn, tmp_path / "cnn")
    safetensors.torch.save_file({"enter.bias": torch.zeros(3)}, tmp_path / "cnn" / "decoder.safetensors")
    assert digest(load(tmp_path / "cnn")) == digest(load(cnn))


# --- weights


def test_random_weights_are_seeded_and_on_purpose_only(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = load("timm:test_resnet", allow_random_weights=True)
    assert torch.rand(1) == expected, "the generator was moved"
    assert digest(first) == digest(load("timm:test_resnet", allow_random_weights=True))  # from another state of it
    assert first.facts()["random_weights"] and first.facts()["training"] == "none: random weights"
    with pytest.raises(WeightsError, match=r"ViT-B-32:TAG \(known: .*openai.*ViT-B-32=FILE, or add --allow-random"):
        load("ViT-B-32")
    with pytest.raises(WeightsError, match=r"timm has no weights for botnet50ts_256.*timm:botnet50ts_256=FILE"):
        load("timm:botnet50ts_256")
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    for spec in ("timm:test_resnet.r160_in1k", "resnet50", "timm:test_resnet"):  # weights that were named stay named
        with pytest.raises(WeightsError, match=f"weights of {spec} could not be downloaded.*as {spec}=FILE"):
            load(spec, allow_random_weights=spec != "timm:test_resnet")


def test_a_download_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    with pytest.raises(WeightsError, match=r"ConnectionError: no route to host.*that is clip-rn50=FILE"):
        load("clip-rn50")
    monkeypatch.setitem(zoo_known.KNOWN["dino-resnet50"].overlay, "url", f"file://{tmp_path}/gone.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"dino-resnet50 could not be downloaded \(URLError.*as dino-resnet50=FILE"):
        load("dino-resnet50")


def test_dino_resnet50_from_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = timm.create_model("resnet50", num_classes=0)
    torch.save(model.state_dict(), tmp_path / "dino_resnet50_pretrain.pth")
    monkeypatch.setitem(
        zoo_known.KNOWN["dino-resnet50"].overlay, "url", f"file://{tmp_path}/dino_resnet50_pretrain.pth"
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    fetched = load("dino-resnet50")
    assert not fetched.facts()["random_weights"]
    assert digest(fetched) == digest(load("dino-resnet50", weights=str(tmp_path / "dino_resnet50_pretrain.pth")))
    broken = model.state_dict()
    broken["conv1.weight"][0, 0, 0, 0] = float("inf")
    torch.save(broken, tmp_path / "cache" / "hub" / "checkpoints" / "dino_resnet50_pretrain.pth")
    with pytest.raises(WeightsError, match=r"download of dino-resnet50 holds values that are not finite, in conv1"):
        load("dino-resnet50")


def test_the_same_weights_in_any_file(weights: Path, tmp_path: Path) -> None:
    state = safetensors.torch.load_file(weights)
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "parallel.pth")
    expected = digest(load(f"timm:test_resnet={weights}"))
    assert expected != digest(load("timm:test_resnet", allow_random_weights=True))
    for name in ("plain.pth", "parallel.pth"):
        member = load("timm:test_resnet", weights=str(tmp_path / name))
        assert digest(member) == expected and member.facts()["training"] == f"the weights file {name}"


class Payload:
    """What a pickle can do to whoever opens it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_weights_that_cannot_be_used(weights: Path, tmp_path: Path) -> None:
    state = safetensors.torch.load_file(weights)
    torch.save({"conv1.0.weight": Payload(tmp_path / "ran")}, tmp_path / "hostile.pth")
    torch.save({key: value for key, value in state.items() if key != "fc.bias"}, tmp_path / "lacking.pth")
    torch.save(state | {"decoder.weight": torch.zeros(1)}, tmp_path / "more.pth")
    torch.save(state | {"fc.bias": torch.zeros(3)}, tmp_path / "other.pth")
    safetensors.torch.save_file(state | {"fc.bias": state["fc.bias"] * float("nan")}, tmp_path / "nan.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:5000])
    (tmp_path / "weights.npz").write_bytes(b"PK")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, found in {
        "hostile.pth": "is a pickle that could run code when opened",
        "lacking.pth": "does not hold the weights of test_resnet; give the model.*fc.bias",
        "more.pth": "does not hold the weights of test_resnet.*decoder.weight",
        "other.pth": "does not hold the weights of test_resnet.*size mismatch for fc.bias",
        "nan.safetensors": "holds values that are not finite, in fc.bias",
        "cut.safetensors": "could not be read as weights",
        "weights.npz": "is a NumPy file; give safetensors",
        "list.pth": "could not be read as weights",
        "gone.pth": "There is no weights file .*gone.pth for timm:test_resnet",
    }.items():
        with pytest.raises(WeightsError, match=found):
            load(f"timm:test_resnet={tmp_path / name}")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(WeightsError, match="There is no weights file"):
        load("clip-rn50", weights=str(tmp_path / "gone.pth"))


# --- what is refused


def test_unknown_names_offer_near_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"no model named 'dino-resnet5' in the zoo. Did you mean dino-resnet50"):
        load("dino-resnet5")
    with pytest.raises(UnknownModel, match=r"timm has no model named 'resnet5'. Did you mean resnet50"):
        load("timm:resnet5")
    with pytest.raises(UnknownModel, match=r"no weights named 'resnet50.foo'. It has .*resnet50.tv_in1k"):
        load("timm:resnet50.foo")
    with pytest.raises(UnknownModel, match="no model named 'vit_base_patch16_224_dino'"):  # timm's name of 2022
        load("timm:vit_base_patch16_224_dino")
    with pytest.raises(UnknownModel, match=r"holds neither config.json"):
        load(tmp_path)
    with pytest.raises(UnknownModel, match="--device auto or cpu"):
        load_member("demo-vit", device="tpu")
    for wrong in ("=file", "resnet50="):
        with pytest.raises(ModelError, match="is not NAME=FILE"):
            load(wrong)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("timm:mixer_s32_224", r"mixer_s32_224 cannot be compared.*\(1, 49, 512\).*Compared are the stages of CNNs"),
        ("timm:coat_tiny", "coat_tiny runs without its module for layer1"),
        ("timm:xcit_nano_12_p16_224", "has no grid of patch tokens of a fixed size"),
        ("timm:vit_small_patch16_18x2_224", "cannot be compared"),
        ("timm:hrnet_w18_small", "has no module for each of its stages"),
    ],
)
def test_models_without_maps_are_refused_by_name(spec: str, found: str) -> None:
    with pytest.raises(UnsupportedTower, match=found):
        load(spec, allow_random_weights=True)


def test_folders_that_cannot_be_used(cnn: Path, tmp_path: Path) -> None:
    def changed(name: str, **entries: object) -> Path:
        shutil.copytree(cnn, tmp_path / name)
        config = json.loads((cnn / "config.json").read_text()) | entries
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        return tmp_path / name

    with pytest.raises(UnknownModel, match="its architecture 'resnet5' is not one of timm's"):
        load(changed("unknown", architecture="resnet5"))
    with pytest.raises(UnsupportedTower, match=r"could not build .*no_such_argument"):
        load(changed("impossible", model_args={"no_such_argument": 1}))
    with pytest.raises(UnsupportedTower, match="takes inputs of 1 channels"):
        folder = changed("grey", model_args=RESNET | {"in_chans": 1})
        safetensors.torch.save_file(small_timm(in_chans=1).state_dict(), folder / "model.safetensors")
        load(folder)
    with pytest.raises(WeightsError, match="does not hold the weights of wide"):
        load(changed("wide", model_args=RESNET | {"channels": [8, 16, 24, 40]}))
    with pytest.raises(WeightsError, match=r"brings its own weights; leave out =x.pth"):
        load(cnn, weights="x.pth")
    empty = changed("empty")
    (empty / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="holds a model config but no weights file"):
        load(empty, allow_random_weights=True)
    (empty / "config.json").write_text("{")
    with pytest.raises(UnknownModel, match=r"config.json is not a timm model config"):
        load(empty)
    (empty / "config.json").write_text("[]")
    with pytest.raises(UnknownModel, match=r"config.json is not a timm model config"):
        load(empty)


# --- several


def test_a_zoo_has_each_model_once_under_its_own_name(weights: Path, cnn: Path, tmp_path: Path) -> None:
    other = tmp_path / "Other seed.safetensors"
    torch.manual_seed(8)
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), other)
    zoo = load_zoo(["demo-vit", f"timm:test_resnet={weights}", str(cnn), f"timm:test_resnet={other}"], device="cpu")
    assert [member.name for member in zoo] == ["demo-vit", "test_resnet-mine", "cnn", "test_resnet-other-seed"]
    assert load_recorded_member(zoo[3].facts(), device="cpu", weights=str(other)).facts() == zoo[3].facts()
    with pytest.raises(ModelError, match="Two members would be called demo-vit"):
        load_zoo(["demo-vit", "demo-vit"], device="cpu")
    shutil.copy(weights, tmp_path / "copy.safetensors")
    with pytest.raises(ModelError, match="test_resnet-mine and test_resnet-copy are one model, with the same weights"):
        load_zoo([f"timm:test_resnet={weights}", f"timm:test_resnet={tmp_path / 'copy.safetensors'}"], device="cpu")
