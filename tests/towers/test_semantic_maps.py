"""Logits of windows through towers, against attention written out: all methods, both families and conventions."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.methods.layernorm import Convention
from core.methods.semantic_maps import METHODS, Classes, SemanticMaps, choose, head_layers
from core.models.tower import Tower
from tests.reference import plain_pair_segmentation as plain
from tests.reference.plain_attention import own_share, pool_contributions, vit_residual_terms
from tests.reference.plain_pool import plain_pool
from tests.reference.plain_second_order import plain_second_order
from tests.towers.tiny import OUT, images, tiny_tower

TEXTS = torch.nn.functional.normalize(torch.randn(3, OUT, generator=torch.Generator().manual_seed(2)), dim=-1)
# a cosine divides by a norm: float32 of small contributions, times activations up to about 3
CLOSE = {"rtol": 0, "atol": 2e-4}
ZEROED = tuple(range(0, 256, 2))


@dataclass(frozen=True)
class Plain:
    """Of each image: contributions (t, m, o), activations (t, n) and MaskCLIP's values (t, o), class token dropped."""

    contribution_btmo: np.ndarray
    activation_btn: np.ndarray
    value_bto: np.ndarray


def of_resnet(tower: Tower, pixels: torch.Tensor, convention: Convention, zeroed: tuple[int, ...] = ()) -> Plain:
    visual, pool = tower.visual, tower.visual.attnpool
    written = plain_pool(visual, pixels, zeroed)
    activation_btn = (written.z_btd - pool.positional_embedding)[:, 1:]
    map_bchw = activation_btn.transpose(1, 2).unflatten(-1, tower.grid)
    contribution_btho = pool_contributions(pool, map_bchw)
    if convention is Convention.EQUAL:
        contribution_btho = contribution_btho + pool.c_proj.bias / contribution_btho[0, :, :, 0].numel()
    else:  # whatever the attention
        contribution_btho = contribution_btho / written.attn_bht.double().transpose(1, 2)[..., None]
    values_bto = pool.c_proj(pool.v_proj(written.z_btd.double()))[:, 1:]
    out = [x.detach().numpy() for x in (contribution_btho[:, 1:], activation_btn, values_bto)]
    visual.float()
    return Plain(*out)


def of_vit(tower: Tower, pixels: torch.Tensor, neuron_layers: tuple[int, ...]) -> Plain:
    visual = tower.visual
    active = [plain_second_order(visual, pixels, layer, "own").p_btn[:, 1:] for layer in neuron_layers]
    terms = vit_residual_terms(visual, pixels)
    later = range(min(neuron_layers) + 1, tower.layers)
    contribution = torch.cat([own_share(visual, terms["attention"][:, i], terms["final"]) for i in later], dim=2)
    seen: list[torch.Tensor] = []
    last = visual.transformer.resblocks[-1]
    handle = last.ln_1.register_forward_hook(lambda _m, _args, out: seen.append(out))
    visual(pixels.double())
    handle.remove()
    attention, width = last.attn, tower.width
    value = seen[0] @ attention.in_proj_weight[2 * width :].T + attention.in_proj_bias[2 * width :]
    values_bto = visual.ln_post(attention.out_proj(value)) @ visual.proj
    out = contribution[:, 1:], torch.cat(active, dim=-1), values_bto[:, 1:]
    visual.float()
    return Plain(*(x.detach().double().numpy() for x in out))


def some_classes(heads: int, neurons: int) -> Classes:
    generator = torch.Generator().manual_seed(5)
    pair_wmn = torch.rand(3, heads, neurons, generator=generator) < 0.03
    return Classes(TEXTS, pair_wmn, torch.rand(3, neurons, generator=generator) < 0.1)


def check(maps: SemanticMaps, pixels: torch.Tensor, plainly: Plain, repaired: bool) -> None:
    made, grid = maps(pixels), maps.tower.grid
    assert set(made) == set(METHODS)
    query_wo, classes = plain.plain_query(TEXTS.double().numpy()), maps.classes
    fix = plain.plain_repair if repaired else np.array
    for b in range(len(pixels)):
        parts = (plainly.contribution_btmo, plainly.activation_btn, plainly.value_bto)
        c_yxmo, a_yxn, v_yxo = (part[b].reshape(*grid, *part.shape[2:]) for part in parts)
        c_yxmo, a_yxn = fix(c_yxmo), fix(a_yxn)
        for w, query_o in enumerate(query_wo):
            pairs = [(n, m) for m, n in classes.pair_wmn[w].nonzero().tolist()]
            text_o = TEXTS[w].double().numpy()
            want = {
                "pairs": plain.plain_pair_logits(c_yxmo, a_yxn, query_o, pairs),
                "heads": plain.plain_head_logits(c_yxmo, query_o),
                "neurons": plain.plain_neuron_logits(a_yxn, classes.neuron_wn[w].nonzero()[:, 0].tolist()),
                "maskclip": [[plain.plain_cosine(v_o, text_o) for v_o in v_xo] for v_xo in v_yxo],
            }
            for name, logits_bwyx in made.items():
                np.testing.assert_allclose(logits_bwyx[b, w], want[name], **CLOSE, err_msg=name)


@pytest.mark.parametrize("zeroed", [(), ZEROED])
@pytest.mark.parametrize("convention", list(Convention))
def test_a_resnet(convention: Convention, zeroed: tuple[int, ...]) -> None:
    tower = tiny_tower("resnet")
    pixels, classes = images(tower, 2), some_classes(tower.heads, tower.width)
    maps = SemanticMaps(
        tower, classes, tuple(METHODS), layers=(0,), neuron_layers=(0,), convention=convention, zeroed=zeroed
    )
    check(maps, pixels, of_resnet(tower, pixels, convention, zeroed), repaired=True)


def test_a_vit() -> None:
    tower, neuron_layers = tiny_tower("vit"), (0, 2)
    pixels, layers = images(tower, 2), (1, 2, 3)
    neurons = 2 * tower.neuron_weights(0).out_nd.shape[0]
    classes = some_classes(len(layers) * tower.heads, neurons)
    maps = SemanticMaps(tower, classes, tuple(METHODS), layers=layers, neuron_layers=neuron_layers, sink=None)
    check(maps, pixels, of_vit(tower, pixels, neuron_layers), repaired=False)


def test_windows_of_another_size_are_resized() -> None:
    tower = tiny_tower("resnet")
    maps = SemanticMaps(tower, Classes(TEXTS), ("heads", "maskclip"), layers=(0,))
    pixels = images(tower, 1)
    large = torch.nn.functional.interpolate(pixels, scale_factor=2, mode="bicubic", antialias=True)
    small = torch.nn.functional.interpolate(large, pixels.shape[-2:], mode="bicubic", antialias=True)
    stacked = maps.stacked(large)
    assert stacked.shape == (1, 6, *tower.grid)
    assert list(maps.split(stacked[0])) == ["heads", "maskclip"]
    torch.testing.assert_close(maps.split(stacked[0])["maskclip"], maps(small)["maskclip"][0])


def test_units_are_chosen_from_a_bundles_arrays() -> None:
    arrays = {
        "pair_basis": torch.linalg.qr(torch.randn(4, OUT, 3)).Q.numpy(),
        "pair_coords": torch.nn.functional.normalize(torch.randn(2, 50, 4, 3), dim=-1).numpy(),
        "neuron_direction": torch.nn.functional.normalize(torch.randn(2, 50, OUT), dim=-1).numpy(),
    }
    arrays["pair_coords"][1, :, :2] = 0
    made = choose(TEXTS, ("pairs", "neurons"), arrays.__getitem__)
    assert made.pair_wmn is not None and made.neuron_wn is not None
    # 20,000 of 262,144: of the 300 pairs that there are, and of 100 neurons
    assert made.pair_wmn.sum((1, 2)).tolist() == [23] * 3 and made.neuron_wn.sum(1).tolist() == [8] * 3
    assert not made.pair_wmn[:, :2, 50:].any()
    query_o = plain.plain_query(TEXTS.double().numpy())[0]
    cosine_n = arrays["neuron_direction"].reshape(100, OUT) @ query_o
    assert set(made.neuron_wn[0].nonzero()[:, 0].tolist()) == set(np.argsort(-cosine_n)[:8].tolist())
    assert choose(TEXTS, ("heads",), {}.__getitem__) == Classes(TEXTS)
    with pytest.raises(InputError, match="301 pairs"):
        choose(TEXTS, ("pairs",), arrays.__getitem__, pairs=301)


def test_layers_of_heads() -> None:
    assert head_layers(["L2.H0", "L2.H1", "L3.H0"], []) == (2, 3) and head_layers(["H0", "H1"], []) == (0,)
    assert head_layers(None, [None]) == (0,) and head_layers(None, [1, 3]) == (1, 3)


def test_what_cannot_be_zeroed() -> None:
    for kind, zeroed, told in (("vit", (1,), "this is a ViT"), ("resnet", (5, 4096), "not 4096")):
        with pytest.raises(InputError, match=told):
            SemanticMaps(tiny_tower(kind), Classes(TEXTS), ("heads",), layers=(0,), zeroed=zeroed)
    with pytest.raises(ValueError, match="not chosen"):
        maps = SemanticMaps(tiny_tower("resnet"), Classes(TEXTS), ("pairs",), layers=(0,), neuron_layers=(0,))
        maps(images(maps.tower, 1))
