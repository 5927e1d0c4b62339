"""The zoo's maps are what the models compute: held against plain passes through timm's and open_clip's own modules.

Maps and plain passes are fp32 of the same operations: equal, unless the batch differs, which may sum in another order.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from core.errors import AddressError, InputError, UnsupportedTower
from core.models.load import DEMO_MODELS
from core.models.zoo import Member, load_member, square
from core.models.zoo_member import channel_map, token_map
from tests.towers.zoo_models import DATA, picture, save_timm, small_timm

ROUNDING = {"rtol": 0, "atol": 1e-5}  # of activations of order one, in fp32, summed over a few hundred terms
REGISTERS = {"reg_tokens": 4}
EVA = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 0}
SWIN = {"img_size": 64, "window_size": 2, "depths": (1, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 2, 2)}
NAMES = ("demo-vit", "demo-rn", "cnn", "vit", "registers", "gated", "swin")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Member]:
    folder = tmp_path_factory.mktemp("zoo")
    kinds = {
        "cnn": save_timm(folder / "cnn"),
        "vit": save_timm(folder / "vit", "vit_tiny_patch16_224"),
        "registers": save_timm(folder / "registers", "vit_tiny_patch16_224", **REGISTERS),
        "gated": save_timm(folder / "gated", "eva02_tiny_patch14_224", **EVA),
        "swin": save_timm(folder / "swin", "swin_tiny_patch4_window7_224", **SWIN),
    }
    return {name: load_member(str(kinds.get(name, name)), device="cpu", name=name) for name in NAMES}


def batch(member: Member, n: int = 3) -> Tensor:
    return torch.stack([member.prepare(picture(90, 70, seed)) for seed in range(n)])


def hooked(model: nn.Module, modules: list[nn.Module], inputs: Tensor) -> list[Tensor]:
    """Outputs of modules in one plain pass, copied at once."""
    seen: list[Tensor] = []
    handles = [m.register_forward_hook(lambda _m, _i, out: seen.append(out.clone())) for m in modules]
    with torch.no_grad():
        model(inputs)
    for handle in handles:
        handle.remove()
    return seen


def stages(model: nn.Module, x: Tensor) -> Iterator[Tensor]:
    for i in range(1, 5):
        x = getattr(model, f"layer{i}")(x)
        yield x


def plain(name: str, inputs: Tensor) -> list[Tensor]:
    """Every layer's map (b, c, h, w), without a line of core/."""
    if name == "demo-vit":
        clip, _ = open_clip.create_model_from_pretrained(f"local-dir:{DEMO_MODELS / name}")
        seen = hooked(clip.visual, [block.mlp.gelu for block in clip.visual.transformer.resblocks], inputs)
        return [x[:, 1:].transpose(1, 2).reshape(len(inputs), -1, 8, 8) for x in seen]
    if name == "demo-rn":
        clip, _ = open_clip.create_model_from_pretrained(f"local-dir:{DEMO_MODELS / name}")
        clip.eval()
        return [x.detach() for x in stages(clip.visual, clip.visual.stem(inputs))]
    if name == "cnn":
        cnn = small_timm()
        return list(stages(cnn, cnn.maxpool(cnn.act1(cnn.bn1(cnn.conv1(inputs))))))
    if name == "swin":
        swin = small_timm("swin_tiny_patch4_window7_224", **SWIN)
        x, seen = swin.patch_embed(inputs), []
        for stage in swin.layers:
            x = stage(x)
            seen.append(x.permute(0, 3, 1, 2))
        return seen
    if name == "gated":
        eva = small_timm("eva02_tiny_patch14_224", **EVA)
        seen = hooked(eva, [block.mlp.fc1 for block in eva.blocks], inputs)
        gated = [gate * torch.nn.functional.silu(x) for x, gate in (y.chunk(2, -1) for y in seen)]
        if not eva.blocks[0].mlp.gate_last:
            gated = [torch.nn.functional.silu(gate) * x for gate, x in (y.chunk(2, -1) for y in seen)]
        return [x[:, 1:].transpose(1, 2).reshape(len(inputs), -1, 4, 4) for x in gated]
    vit = small_timm("vit_tiny_patch16_224", **(REGISTERS if name == "registers" else {}))
    prefix = 5 if name == "registers" else 1
    seen = hooked(vit, [block.mlp.act for block in vit.blocks], inputs)
    return [x[:, prefix:].transpose(1, 2).reshape(len(inputs), -1, 4, 4) for x in seen]


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_those_of_a_plain_pass(name: str, zoo: dict[str, Member]) -> None:
    member = zoo[name]
    inputs = batch(member)
    maps, expected = member.maps(inputs), plain(name, inputs)
    assert list(maps) == [layer.name for layer in member.layers] and len(maps) == len(expected)
    for layer, reference in zip(member.layers, expected, strict=True):
        found = maps[layer.name]
        assert found.shape == (3, layer.units, *layer.grid) and found.dtype == torch.float32 and found.is_contiguous()
        torch.testing.assert_close(found, reference, **ROUNDING)
        assert found.flatten(1).std() > 1e-3, "nothing to compare"
    depths = [layer.depth for layer in member.layers]
    assert depths == sorted(set(depths)) and depths[0] > 0 and depths[-1] == 1


@pytest.mark.parametrize("name", ["demo-rn", "cnn"])
def test_a_resnet_is_read_after_its_last_relu(name: str, zoo: dict[str, Member]) -> None:
    for found in zoo[name].maps(batch(zoo[name])).values():
        assert found.min() == 0 and (found == 0).float().mean() < 0.99


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_the_right_way_up(name: str, zoo: dict[str, Member]) -> None:
    """What is changed in one cell of the picture changes the first layer most there."""
    member = zoo[name]
    first = member.layers[0]
    rows, columns = first.grid
    cell = member.input_size[0] // rows
    before = torch.zeros(1, 3, *member.input_size)
    after = before.clone()
    row, column = 1, columns - 2
    after[:, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = 2
    maps = member.maps(torch.cat([before, after]), [first.name])[first.name]
    change = (maps[1] - maps[0]).abs().mean(0)
    found = divmod(int(change.argmax()), columns)
    assert abs(found[0] - row) <= 1 and abs(found[1] - column) <= 1  # convolutions spread a change by a cell
    if first.name == "L0":
        assert found == (row, column)


@pytest.mark.parametrize("name", NAMES)
def test_maps_do_not_depend_on_the_batch(name: str, zoo: dict[str, Member]) -> None:
    member = zoo[name]
    inputs = batch(member, 4)
    together = member.maps(inputs)
    for i in (2, 0):
        alone = member.maps(inputs[i : i + 1])
        for layer, found in together.items():
            torch.testing.assert_close(found[i : i + 1], alone[layer], **ROUNDING)


def test_only_what_was_asked_for(zoo: dict[str, Member]) -> None:
    member = zoo["vit"]
    inputs = batch(member)
    everything = member.maps(inputs)
    some = member.maps(inputs, ["L2", "L0"])
    assert list(some) == ["L0", "L2"]
    for layer, found in some.items():
        torch.testing.assert_close(found, everything[layer], rtol=0, atol=0)
    assert member.maps(inputs, []) == {}


def test_what_cannot_be_asked_for(zoo: dict[str, Member]) -> None:
    member = zoo["vit"]
    with pytest.raises(AddressError, match="vit has no layer 'L3'; its layers are L0, L1, L2"):
        member.maps(batch(member), ["L1", "L3"])
    with pytest.raises(InputError, match="takes inputs of b×3×32×32, not 3×32×32"):
        member.maps(batch(member)[0])
    with pytest.raises(InputError, match="not 2×3×64×64"):
        member.maps(torch.zeros(2, 3, 64, 64))


def test_threads_do_not_mix_their_maps(zoo: dict[str, Member]) -> None:
    member = zoo["cnn"]
    inputs = batch(member, 4)
    expected = [member.maps(inputs[i : i + 1])["layer2"] for i in range(4)]
    wrong: list[int] = []

    def look(i: int) -> None:
        for _ in range(30):
            if not torch.equal(member.maps(inputs[i : i + 1])["layer2"], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=look, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_map_outlives_what_the_next_module_does_to_it() -> None:
    x = torch.rand(1, 2, 3, 3)
    kept, before = channel_map(2)(x), x.clone()
    x.zero_()
    assert torch.equal(kept, before)


def test_tokens_that_do_not_fill_a_grid() -> None:
    keep = token_map((2, 3), 2)
    tokens = torch.arange(8.0).reshape(1, 8, 1)
    assert keep(tokens).tolist() == [[[[2, 3, 4], [5, 6, 7]]]]
    assert keep(tokens[:, 2:]).tolist() == [[[[2, 3, 4], [5, 6, 7]]]]  # blocks that never see the class token
    for wrong in (tokens[:, 1:], tokens[:, :5], torch.zeros(1, 2, 3, 1)):
        with pytest.raises(UnsupportedTower, match="no grid of 2×3 patch tokens after 2 others"):
            keep(wrong)


# --- pictures


@pytest.mark.parametrize(("width", "height", "left", "top"), [(90, 70, 10, 0), (40, 100, 0, 30), (33, 33, 0, 0)])
def test_the_centre_square(width: int, height: int, left: int, top: int) -> None:
    whole = picture(width, height)
    side = min(width, height)
    expected = np.asarray(whole)[top : top + side, left : left + side]
    assert np.array_equal(np.asarray(square(whole)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_all_members_see_the_same_square(name: str, zoo: dict[str, Member]) -> None:
    member, whole = zoo[name], picture(90, 70)
    seen = member.prepare(whole)
    assert seen.shape == (3, *member.input_size) and seen.dtype == torch.float32
    torch.testing.assert_close(seen, member.prepare(square(whole)), rtol=0, atol=0)
    marked = np.asarray(whole).copy()
    marked[:, :10] = 0  # left of the square
    torch.testing.assert_close(seen, member.prepare(Image.fromarray(marked)), rtol=0, atol=0)
    marked[:, 10:20] = 0
    assert not torch.equal(seen, member.prepare(Image.fromarray(marked)))


def test_inputs_are_what_the_libraries_make_of_a_square(zoo: dict[str, Member]) -> None:
    part = square(picture(90, 70))
    for name in ("demo-vit", "demo-rn"):
        _, transform = open_clip.create_model_from_pretrained(f"local-dir:{DEMO_MODELS / name}")
        torch.testing.assert_close(zoo[name].prepare(part), transform(part), rtol=0, atol=0)
    transform = timm.data.create_transform((3, 64, 64), crop_mode="squash", **DATA)
    torch.testing.assert_close(zoo["cnn"].prepare(part), transform(part), rtol=0, atol=1e-6)


# --- real sizes


def test_dino_resnet50_is_torchvisions(tmp_path: Path) -> None:
    """The official state dict is of a torchvision resnet50 without its classifier."""
    torch.manual_seed(0)
    model = torchvision.models.resnet50().eval()
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "dino.pth")
    member = load_member(f"dino-resnet50={tmp_path / 'dino.pth'}", device="cpu")
    assert [(layer.units, layer.grid) for layer in member.layers] == [
        (256, (56, 56)), (512, (28, 28)), (1024, (14, 14)), (2048, (7, 7))
    ]  # fmt: skip
    assert [layer.depth for layer in member.layers] == [3 / 16, 7 / 16, 13 / 16, 1]
    inputs = torch.stack([member.prepare(picture(300, 260))])
    with torch.no_grad():
        expected = list(stages(model, model.maxpool(model.relu(model.bn1(model.conv1(inputs))))))
    for found, reference in zip(member.maps(inputs).values(), expected, strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-5, atol=1e-4)
    assert member.facts()["preprocessing"] == {
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "size": [224, 224], "interpolation": "bicubic"
    }  # fmt: skip


@pytest.mark.slow
def test_mae_vit_b16_in_the_format_of_its_release(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch16_224", num_classes=0).eval()
    torch.save({"model": model.state_dict()}, tmp_path / "mae.pth")
    member = load_member(f"mae-vit-b16={tmp_path / 'mae.pth'}", device="cpu")
    assert len(member.layers) == 12 and sum(layer.units for layer in member.layers) == 36_864
    inputs = torch.stack([member.prepare(picture(300, 260))])
    (expected,) = hooked(model, [model.blocks[11].mlp.act], inputs)
    found = member.maps(inputs, ["L11"])["L11"]
    torch.testing.assert_close(found, expected[:, 1:].transpose(1, 2).reshape(1, 3072, 14, 14), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["demo-cnn", "demo-mae", "demo-vit-2"])
def test_the_other_demo_models(name: str) -> None:
    if not list((DEMO_MODELS / name).glob("*.safetensors")):
        pytest.skip(f"the weights of {name} are not in this checkout")
    member = load_member(name, device="cpu")
    facts = member.facts()
    assert facts["name"] == name and facts["licence"] == "MIT" and not facts["random_weights"]
    assert facts["clip"] == (name == "demo-vit-2") and "demo world" in facts["training"]
    for found in member.maps(batch(member)).values():
        assert torch.isfinite(found).all() and found.std() > 0
