"""Second-order effects against the plain definition, for both conventions and activations, and with LayerScale."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AddressError, UnsupportedTower
from core.methods.layernorm import Convention
from core.methods.neuron_head import Principal
from core.methods.second_order import SecondOrder
from core.models.openclip_vit import OpenClipViT
from tests.reference.plain_second_order import plain_second_order
from tests.towers.tiny import images, tiny_clip, tiny_tower

# float32 against float64: a pass of up to four layers, then sums of up to 400 terms (tokens, heads, width)
RELATIVE = 3e-6  # of the largest entry; measured: up to 7e-7
CLOSE = {"rtol": 0, "atol": 3e-7}  # the same, where the largest is about 0.1
KINDS = [(False, None), (True, None), (False, 0.5)]


@pytest.mark.parametrize(("quick_gelu", "ls"), KINDS)
@pytest.mark.parametrize("convention", list(Convention))
@pytest.mark.parametrize("layer", [0, 2])
def test_effects_equal_the_plain_ones(quick_gelu: bool, ls: float | None, convention: Convention, layer: int) -> None:
    tower = OpenClipViT(tiny_clip(quick_gelu=quick_gelu, ls_init_value=ls).visual)
    lens = SecondOrder(tower, layer, convention)
    trace = tower.trace(images(tower), (), (layer,))
    s_bnm = lens.scalars(trace)
    plain = plain_second_order(tower.visual, images(tower), layer, convention)
    torch.testing.assert_close(trace.neurons[layer].double(), plain.p_btn, rtol=0, atol=1e-5)
    close = {"rtol": 0, "atol": RELATIVE * float(plain.phi_bno.abs().max())}
    torch.testing.assert_close(lens.phi(s_bnm).double(), plain.phi_bno, **close)
    torch.testing.assert_close(lens.phi(s_bnm, [5, 0]).double(), plain.phi_bno[:, [5, 0]], **close)
    # all neurons and, where it is a part of its own, the MLP's bias: what later heads make of the MLP's output
    torch.testing.assert_close(lens.phi(s_bnm).sum(1).double() + plain.bias_bo, plain.carried_bo, **CLOSE)


@pytest.mark.parametrize("layer", [0, 2])
def test_a_pair_is_a_scalar_times_a_direction(layer: int) -> None:
    tower = tiny_tower()
    lens = SecondOrder(tower, layer)
    s_bnm = lens.scalars(tower.trace(images(tower), (), (layer,)))
    plain = plain_second_order(tower.visual, images(tower), layer, "own")
    pair_bnmo = s_bnm[..., None] * lens.directions()
    torch.testing.assert_close(pair_bnmo.double(), plain.pair_bnmo, **CLOSE)
    torch.testing.assert_close(lens.pair_norms(s_bnm), pair_bnmo.norm(dim=-1), **CLOSE)
    assert [str(pair) for pair in lens.pairs][:5] == [f"L{layer + 1 + i // 4}.H{i % 4}" for i in range(5)][
        : s_bnm.shape[2]
    ]
    assert len(lens.pairs) == s_bnm.shape[2]


def test_the_bias_is_carried_like_a_neuron() -> None:
    tower = tiny_tower()
    lens = SecondOrder(tower, 1)
    trace = tower.trace(images(tower), (), (1,))
    trace.neurons[1] = torch.ones_like(trace.neurons[1])  # a neuron that is always at one writes as a bias does
    direction_mo = lens.directions_of(tower.neuron_weights(1).bias_d[None])[0]
    plain = plain_second_order(tower.visual, images(tower), 1, "own")
    torch.testing.assert_close((lens.scalars(trace)[:, 0] @ direction_mo).double(), plain.bias_bo, **CLOSE)


def fitted(lens: SecondOrder, s_bnm: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor, Principal]:
    """b_n's scalars, the images of S_n (n, k) and the first components."""
    mean_nm = s_bnm.mean(0)
    top_nk = lens.norms(s_bnm, mean_nm).topk(k, dim=0).indices.T
    return mean_nm, top_nk, lens.principal(s_bnm[top_nk, torch.arange(lens.neurons)[:, None]], mean_nm)


@pytest.mark.parametrize("convention", list(Convention))
@pytest.mark.parametrize(("layer", "out"), [(2, 24), (0, 24), (0, 8)])  # m below, around and above o
def test_the_small_space_is_exact(
    monkeypatch: pytest.MonkeyPatch, convention: Convention, layer: int, out: int
) -> None:
    monkeypatch.setattr("core.methods.neuron_head._CHUNK", 5_000)  # several chunks, and a last one that is shorter
    monkeypatch.setattr("core.methods.neuron_head._CACHED", 20 * 100)
    monkeypatch.setattr("tests.towers.tiny.OUT", out)
    tower = tiny_tower()
    lens = SecondOrder(tower, layer, convention)
    s_bnm = lens.scalars(tower.trace(images(tower, 20), (), (layer,)))
    mean_nm, top_nk, principal = fitted(lens, s_bnm, 7)
    formed = plain_second_order(tower.visual, images(tower, 20), layer, convention).phi_bno
    centred_bno = formed - formed.mean(0)
    torch.testing.assert_close(lens.norms(s_bnm, mean_nm).double(), centred_bno.norm(dim=-1), **CLOSE)
    y_nbc = lens.coordinates(s_bnm, mean_nm).double()
    inner = torch.einsum("bno,cno->nbc", centred_bno, centred_bno)
    torch.testing.assert_close(y_nbc @ y_nbc.transpose(1, 2), inner, **CLOSE)
    d_nmo = lens.directions()
    torch.testing.assert_close(lens.gram([3, 1]), (d_nmo @ d_nmo.transpose(1, 2))[[3, 1]], rtol=1e-5, atol=1e-5)
    for n in range(lens.neurons):
        rows = centred_bno[top_nk[n], n].numpy()
        _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
        sign = 1 if ((rows @ axes[0]) > 0).sum() > 3 else -1
        # a direction is known to the rounding of φ over the distance of the first two components' sizes
        atol = 1e-6 / (sizes[0] - sizes[1])
        np.testing.assert_allclose(principal.direction_no[n].numpy(), sign * axes[0], rtol=0, atol=atol)
        np.testing.assert_allclose(principal.explained_n[n], sizes[0] ** 2 / (sizes**2).sum(), rtol=1e-3)
    x_bn = torch.einsum("bno,no->bn", centred_bno, principal.direction_no.double())
    torch.testing.assert_close(lens.coefficients(s_bnm, mean_nm, principal).double(), x_bn, **CLOSE)


def test_an_even_vote_is_decided_by_the_mean() -> None:
    lens = SecondOrder(tiny_tower(), 2)
    base = torch.randn(lens.neurons, 1, 4, generator=torch.Generator().manual_seed(0))
    top_nim = base * torch.tensor([3.0, 1.0, -1.0, -1.0])[:, None]  # two against two, and more on the + side
    for turned in (1, -1):
        made = lens.principal(turned * top_nim, torch.zeros(lens.neurons, 4))
        x_n = (turned * base[:, 0] * made.read_nm).sum(-1)
        assert (x_n > 0).all()


def test_a_neuron_that_never_fires_has_no_direction() -> None:
    tower = tiny_tower()
    fc = tower.visual.transformer.resblocks[1].mlp.c_fc
    fc.weight[7], fc.bias[7] = 0, -100
    lens = SecondOrder(tower, 1)
    s_bnm = lens.scalars(tower.trace(images(tower, 6), (), (1,)))
    mean_nm, _, principal = fitted(lens, s_bnm, 3)
    assert (principal.direction_no[7] == 0).all() and principal.explained_n[7] == 0
    assert (lens.norms(s_bnm, mean_nm)[:, 7] == 0).all() and (lens.pair_norms(s_bnm)[:, 7] == 0).all()
    assert torch.isfinite(principal.direction_no).all()
    torch.testing.assert_close(principal.direction_no[8].norm(), torch.tensor(1.0))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    layers=st.integers(2, 4),
    heads=st.sampled_from([1, 2, 3]),
    convention=st.sampled_from(list(Convention)),
    data=st.data(),
)
def test_laws_of_any_tower(seed: int, layers: int, heads: int, convention: Convention, data: st.DataObject) -> None:
    shape = {"layers": layers, "width": 8 * heads, "head_width": 8, "mlp_ratio": 1.5, "image_size": 16}
    tower = tiny_tower(seed=seed, **shape)
    layer = data.draw(st.integers(0, layers - 2))
    lens = SecondOrder(tower, layer, convention)
    batch = images(tower, 5, seed)
    s_bnm = lens.scalars(tower.trace(batch, (), (layer,)))
    phi_bno = lens.phi(s_bnm)
    plain = plain_second_order(tower.visual, batch, layer, convention)
    scale = float(plain.phi_bno.abs().max())
    torch.testing.assert_close(phi_bno.double(), plain.phi_bno, rtol=0, atol=1e-5 * max(scale, 0.1))
    # images one at a time, and a mean that was taken elsewhere, change nothing
    alone = torch.cat([lens.scalars(tower.trace(image[None], (), (layer,))) for image in batch])
    torch.testing.assert_close(alone, s_bnm, rtol=1e-4, atol=1e-5 * float(s_bnm.abs().max()))
    mean_nm = s_bnm[:2].mean(0)
    centred = phi_bno - lens.phi(mean_nm[None])
    torch.testing.assert_close(lens.norms(s_bnm, mean_nm), centred.norm(dim=-1), rtol=1e-3, atol=1e-5 * max(scale, 0.1))


def test_the_trace_keeps_what_neurons_need_and_no_more() -> None:
    tower = tiny_tower()
    trace = tower.trace(images(tower), (3,), (2, 0))
    assert sorted(trace.neurons) == [0, 2] and sorted(trace.carriers) == [1, 2, 3] and sorted(trace.heads) == [3]
    every = tower.trace(images(tower), (0, 1, 2, 3), (0,))
    for layer, carrier in trace.carriers.items():
        torch.testing.assert_close(carrier.attn_bht, every.heads[layer].attn_bht)
        torch.testing.assert_close(carrier.attn_bht, every.carriers[layer].attn_bht)
        assert carrier.attn_bht.shape == (3, 4, 17) and carrier.scale_bt.shape == carrier.mean_bt.shape == (3, 17)
    nothing = tower.trace(images(tower), (3,))
    assert not nothing.neurons and not nothing.carriers


def test_what_has_no_second_order_effect_is_refused() -> None:
    tower = tiny_tower()
    with pytest.raises(UnsupportedTower, match=r"Layer 3 is the last .* from 0 to 2"):
        SecondOrder(tower, 3)
    for ask in (
        lambda: SecondOrder(tower, 4),
        lambda: SecondOrder(tower, -1),
        lambda: tower.trace(images(tower), (), (9,)),
    ):
        with pytest.raises(AddressError, match="MLP layers 0 to 3"):
            ask()
    for neuron in (-1, 96):
        with pytest.raises(AddressError, match="neurons 0 to 95"):
            SecondOrder(tower, 0).directions([neuron])
    resnet = tiny_tower("resnet")
    with pytest.raises(UnsupportedTower, match="no MLP layers"):
        SecondOrder(resnet, 0)
    with pytest.raises(UnsupportedTower, match=r"one layer of neurons, 0.* layer 1 was asked for"):
        resnet.trace(images(resnet), (0,), (1,))
