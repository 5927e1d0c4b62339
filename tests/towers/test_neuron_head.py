"""A ResNet's neuron-head pairs against the attention pool written out token by token (tests.reference.plain_pool)."""

import pytest
import torch

from core.errors import AddressError, UnsupportedTower
from core.methods.neuron_head import PoolPairs
from core.methods.neuron_lens import neuron_lens
from core.methods.second_order import SecondOrder
from core.models.modified_resnet import ModifiedResNetTower
from tests.reference.plain_pool import plain_pairs, plain_pool
from tests.towers.tiny import OUT, images, tiny_tower

ROUNDING = 2e-5  # fp32 sums of up to 256 products of numbers of order one, relative to the largest number compared


@pytest.fixture(scope="module", params=[32, 8])
def tower(request: pytest.FixtureRequest) -> ModifiedResNetTower:
    """Heads wider than the joint space (24), and narrower ones."""
    made = tiny_tower("resnet", head_width=request.param)
    assert isinstance(made, ModifiedResNetTower)
    return made


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) <= ROUNDING * max(1e-3, float(b.abs().max()))


def test_pairs_are_those_of_the_pool_written_out_and_close(tower: ModifiedResNetTower) -> None:
    lens, pixels = PoolPairs(tower), images(tower)
    trace = tower.trace(pixels, (), neurons=(0,))
    plain_bnmo = plain_pairs(tower.visual, pixels) / trace.norm_b[:, None, None, None]
    s_bnm = lens.scalars(trace)
    assert close(s_bnm[..., None] * lens.directions(), plain_bnmo)
    assert close(lens.phi(s_bnm), plain_bnmo.sum(2)) and close(lens.total(s_bnm), plain_bnmo.sum((1, 2)))
    unit_bo = trace.representation_bo / trace.norm_b[:, None]
    constant_bo = lens.constant_ho.sum(0) / trace.norm_b[:, None]
    assert close(lens.total(s_bnm) + constant_bo, unit_bo)


def test_tokens_sum_to_scalars(tower: ModifiedResNetTower) -> None:
    for lens, made in ((PoolPairs(tower), tower), (SecondOrder(tiny_tower(), 1), tiny_tower())):
        trace = made.trace(images(made), (), neurons=(lens.layer,))
        by_token_bnmt = lens.token_scalars(trace, [5, 2])
        assert by_token_bnmt.shape[-1] == 1 + made.grid[0] * made.grid[1]
        assert close(by_token_bnmt.sum(-1), lens.scalars(trace)[:, [5, 2]])
        with pytest.raises(AddressError):
            lens.token_scalars(trace, [lens.neurons])


def test_coordinates_of_directions_are_exact(tower: ModifiedResNetTower) -> None:
    for lens in (PoolPairs(tower), SecondOrder(tiny_tower(), 1)):
        d_nmo, basis_mok = lens.directions(), lens.basis_mok
        assert close(torch.einsum("mok,nmk->nmo", basis_mok, lens.coords(basis_mok)), d_nmo)
        columns = basis_mok.shape[2]
        assert close(basis_mok.transpose(1, 2) @ basis_mok, torch.eye(columns).expand(len(basis_mok), -1, -1))
        assert close(lens.lengths_nm, d_nmo.norm(dim=-1))
        text_o = torch.nn.functional.normalize(torch.randn(OUT, generator=torch.Generator().manual_seed(3)), dim=0)
        assert close(lens.along(text_o), d_nmo @ text_o)


def test_a_trace_with_neurons_is_the_plain_pass(tower: ModifiedResNetTower) -> None:
    pixels = images(tower)
    trace = tower.trace(pixels, (0,), neurons=(0,))
    plain = plain_pool(tower.visual, pixels)
    assert close(trace.neurons[0] + tower.position_td, plain.z_btd) and close(trace.heads[0].attn_bht, plain.attn_bht)
    assert close(trace.carriers[0].attn_bht, plain.attn_bht) and close(trace.representation_bo, plain.out_bo)
    assert torch.equal(trace.neurons[0][:, 0], trace.neurons[0][:, 1:].mean(1)) and (trace.neurons[0] >= 0).all()
    assert not tower.trace(pixels, (0,)).neurons  # only where they are asked for


def test_an_intervention_is_the_pool_run_on_the_changed_map(tower: ModifiedResNetTower) -> None:
    pixels = images(tower)
    keep, zero = (lambda p_btn: p_btn), (lambda p_btn: p_btn.index_fill(2, torch.tensor([3, 11]), 0.0))
    plain_bo, (same_bo, without_bo) = tower.intervene(pixels, 0, [keep, zero])
    assert close(same_bo, plain_bo) and close(plain_bo, plain_pool(tower.visual, pixels).out_bo)
    assert close(without_bo, plain_pool(tower.visual, pixels, zeroed=[3, 11]).out_bo)
    assert not close(without_bo, plain_bo)


def test_the_lens_is_of_the_towers_family(tower: ModifiedResNetTower) -> None:
    assert isinstance(neuron_lens(tower, 0), PoolPairs) and isinstance(neuron_lens(tiny_tower(), 1), SecondOrder)
    assert str(PoolPairs(tower).pairs[1]) == "H1" and len(PoolPairs(tower).pairs) == tower.heads
    with pytest.raises(UnsupportedTower, match="no attention pool"):
        PoolPairs(tiny_tower())
