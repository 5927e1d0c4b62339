"""Activity, direct and indirect effects of neurons against models whose weights were edited instead."""

import copy

import pytest
import torch

from core.errors import AddressError, UnsupportedTower
from core.methods.first_order import FirstOrder
from core.methods.layernorm import Convention
from core.methods.neuron_effects import activity, direct_directions, direct_effects, direct_scalars, indirect_effects
from core.models.openclip_vit import OpenClipViT
from tests.reference.plain_second_order import plain_second_order
from tests.towers.tiny import images, tiny_clip, tiny_tower

CLOSE = {"rtol": 0, "atol": 3e-6}  # float32 passes of four layers, entries up to about 0.5


def test_activity_is_over_all_tokens() -> None:
    tower = tiny_tower()
    found = activity(tower.trace(images(tower), (), (1,)), 1)
    p_btn = plain_second_order(tower.visual, images(tower), 1, "own").p_btn
    torch.testing.assert_close(found.max_bn.double(), p_btn.amax(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.mean_bn.double(), p_btn.mean(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("convention", list(Convention))
@pytest.mark.parametrize("layer", [1, 3])
def test_direct_effects_sum_to_the_mlps_part(convention: Convention, layer: int) -> None:
    tower = OpenClipViT(tiny_clip(ls_init_value=0.5).visual)
    trace = tower.trace(images(tower), (3,), (layer,))
    every = range(tower.neuron_weights(layer).out_nd.shape[0])
    effects_bno = direct_effects(tower, trace, layer, every, convention)
    lens = FirstOrder(tower, (3,), convention)
    part_bo = lens.parts(trace).part_pbo[lens.names.index(f"mlp L{layer}")]
    if convention is Convention.OWN:
        bias_o = tower.readout.centred(tower.neuron_weights(layer).bias_d)
        part_bo = part_bo - bias_o / (trace.scale_b * trace.norm_b)[:, None]
        pair = direct_scalars(trace, layer)[..., None] * direct_directions(tower, layer)
        torch.testing.assert_close(effects_bno, pair, **CLOSE)
    torch.testing.assert_close(effects_bno.sum(1), part_bo, **CLOSE)
    torch.testing.assert_close(direct_effects(tower, trace, layer, [4], convention)[:, 0], effects_bno[:, 4])


@pytest.mark.parametrize(("quick_gelu", "ls"), [(False, None), (True, None), (False, 0.5)])
@pytest.mark.parametrize("layer", [0, 3])
def test_indirect_effects_equal_an_edited_model(quick_gelu: bool, ls: float | None, layer: int) -> None:
    tower = OpenClipViT(tiny_clip(quick_gelu=quick_gelu, ls_init_value=ls).visual)
    batch, neurons, means = images(tower), [5, 60], [0.0, 0.7]
    found = indirect_effects(tower, batch, layer, neurons, torch.tensor(means)[:, None])
    plain = tower.visual(batch)
    for i, (neuron, mean) in enumerate(zip(neurons, means, strict=True)):
        edited = copy.deepcopy(tower.visual)
        write = edited.transformer.resblocks[layer].mlp.c_proj
        write.bias += mean * write.weight[:, neuron]
        write.weight[:, neuron] = 0
        expected = (plain - edited(batch)) / plain.norm(dim=-1, keepdim=True)
        assert expected.abs().max() > 100 * CLOSE["atol"]
        torch.testing.assert_close(found[:, i], expected, **CLOSE)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in tower.visual.modules())
    torch.testing.assert_close(tower.visual(batch), plain, rtol=0, atol=0)


def test_a_mean_may_differ_from_token_to_token() -> None:
    tower = tiny_tower()
    batch = images(tower, 1)
    own_t = tower.trace(batch, (), (2,)).neurons[2][0, :, 9]
    assert indirect_effects(tower, batch, 2, [9], own_t[None]).abs().max() < 1e-6, "its own values change nothing"
    other_t = own_t.clone()
    other_t[3] += 5
    assert indirect_effects(tower, batch, 2, [9], other_t[None]).abs().max() > 1e-3


def test_of_the_last_layer_only_the_class_token_counts_and_its_effect_is_the_direct_one_nearly() -> None:
    tower = tiny_tower()
    batch = images(tower)
    mean_t = tower.trace(batch, (), (3,)).neurons[3][0, :, 2].clone()
    with_all = indirect_effects(tower, batch, 3, [2], mean_t[None])
    mean_t[1:] = 1000
    torch.testing.assert_close(indirect_effects(tower, batch, 3, [2], mean_t[None]), with_all, rtol=0, atol=0)


def test_what_cannot_be_ablated_is_refused() -> None:
    tower, resnet = tiny_tower(), tiny_tower("resnet")
    with pytest.raises(AddressError, match="neurons 0 to 95; 96"):
        indirect_effects(tower, images(tower), 0, [96], torch.zeros(1, 1))
    with pytest.raises(AddressError, match="layers 0 to 3; layer 4"):
        tower.intervene(images(tower), 4, [])
    with pytest.raises(UnsupportedTower, match="one layer of neurons"):
        resnet.intervene(images(resnet), 1, [])
