"""Drift and attention sink against their slow, plain twins, and against the released code's arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.methods.attention_sink import attention_without, register_order, sink_change, sink_token
from core.methods.drift import (
    choose_pairs,
    correlation,
    group_means,
    point_biserial,
    unevenness,
    written_share,
)
from tests import golden_drift, golden_text
from tests.golden import check, compare
from tests.reference.plain_drift import plain_point_biserial, plain_share
from tests.reference.plain_sink import plain_attention, plain_sink_change
from tests.towers.tiny import images, tiny_tower

torch.set_num_threads(1)
# float32 sums over at most a few hundred products of numbers of order one, against float64
FP32 = 1e-5


@pytest.fixture(scope="module")
def pool() -> dict:
    """A tiny ResNet's pool with tokens from real passes, and its weights as NumPy float64."""
    tower = tiny_tower("resnet")
    for name in ("q_proj", "k_proj"):
        getattr(tower.pool, name).weight.data *= 6  # or the attention is flat and no neuron matters
    z_btd = tower.trace(images(tower), (0,)).heads[0].z_btd
    position = tower.pool.positional_embedding.detach().float()
    linear = {
        f"{kind}{short}": getattr(getattr(tower.pool, f"{short}_proj"), name).detach().double().numpy()
        for short in "qk"
        for kind, name in (("w", "weight"), ("b", "bias"))
    }
    return {"tower": tower, "x": z_btd - position, "position": position, "linear": linear}


def plain_pool(pool: dict) -> tuple:
    linear = pool["linear"]
    return linear["wq"], linear["bq"], linear["wk"], linear["bk"], pool["tower"].heads


def test_sink_change_is_that_of_zeroing_each_neuron(pool: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    x, position = pool["x"].double().numpy(), pool["position"].double().numpy()
    for token in (1, x.shape[1] - 1):
        expected = plain_sink_change(x, position, *plain_pool(pool), token)
        found = sink_change(pool["tower"].head_weights(0), pool["x"], pool["position"], token)
        assert np.abs(expected).max() > 1e-3, "the neurons must matter for this to test anything"
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=FP32)
    monkeypatch.setattr("core.methods.attention_sink._CHUNK", 1)  # a neuron at a time gives the same
    again = sink_change(pool["tower"].head_weights(0), pool["x"], pool["position"], x.shape[1] - 1)
    np.testing.assert_allclose(again.numpy(), found.numpy(), rtol=0, atol=FP32)


def test_attention_without_neurons_is_that_of_the_plain_pool(pool: dict) -> None:
    weights, chosen = pool["tower"].head_weights(0), [3, 17, 40]
    found = attention_without(weights, pool["x"], pool["position"], chosen).numpy()
    x = pool["x"].double().numpy().copy()
    x[:, :, chosen] = 0
    for b in range(len(x)):
        expected = plain_attention(x[b], pool["position"].double().numpy(), *plain_pool(pool))
        np.testing.assert_allclose(found[b], expected, rtol=0, atol=FP32)
    whole = weights.attention(pool["x"] + pool["position"]).numpy()
    np.testing.assert_allclose(
        attention_without(weights, pool["x"], pool["position"], []).numpy(), whole, rtol=0, atol=0
    )
    assert np.abs(found - whole).max() > 1e-3


def test_the_sink_is_never_the_class_token() -> None:
    attention = torch.tensor([[[0.9, 0.0, 0.06, 0.04], [0.9, 0.0, 0.0, 0.1]]])
    assert sink_token(attention).tolist() == [3], "the mean over heads decides, the class token apart"
    assert register_order(torch.tensor([[0.1, -0.5, 0.5], [0.1, -0.3, 0.3]])).tolist() == [1, 2, 0]


def test_written_share_is_the_norm_of_the_sum() -> None:
    rng = np.random.default_rng(0)
    s, direction, constant = rng.normal(size=(7, 5)), rng.normal(size=(5, 24)), rng.normal(size=(5, 24))
    representation = rng.normal(size=(7, 24))
    contributions = s[:, :, None] * direction + constant
    length, norm = np.linalg.norm(direction, axis=1), np.linalg.norm(representation, axis=1)
    amount = s * length / norm[:, None]
    found = written_share(amount, direction / length[:, None], constant.sum(0), norm)
    # float64 throughout: rounding of a few dozen operations
    np.testing.assert_allclose(found, plain_share(contributions, representation), rtol=1e-12)
    without = written_share(amount, direction / length[:, None])
    np.testing.assert_allclose(without, plain_share(contributions - constant, representation), rtol=1e-12)


def test_pairs_that_write_against_each_other_cancel() -> None:
    direction = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert written_share(np.array([[0.3, -0.3], [0.3, 0.3]]), direction) == pytest.approx([0.0, 0.6])


def test_choose_pairs_takes_the_largest_and_breaks_ties_by_position() -> None:
    assert choose_pairs(np.array([0.2, 0.9, np.nan, 0.9, -1.0]), 3).tolist() == [1, 3, 0]
    assert choose_pairs(np.array([np.nan, 0.5]), 5).tolist() == [1], "no more than there are, and never NaN"


def test_point_biserial_is_its_own_formula() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random(200) < 0.2).astype(float)
    score = rng.normal(size=200) + truth
    assert point_biserial(score, truth) == pytest.approx(plain_point_biserial(score, truth), abs=1e-12)
    assert np.isnan(point_biserial(score, np.zeros(200))), "nothing to compare with"
    assert np.isnan(point_biserial(np.ones(200), truth))
    score[3] = np.nan
    known = np.isfinite(score)
    expected = plain_point_biserial(score[known], truth[known])
    assert point_biserial(score, truth) == pytest.approx(expected, abs=1e-12)


def test_correlation_of_one_or_no_pair_of_numbers_is_unknown() -> None:
    assert np.isnan(correlation(np.array([1.0]), np.array([2.0])))
    assert np.isnan(correlation(np.array([1.0, np.nan]), np.array([2.0, 3.0])))
    assert correlation(np.array([1.0, 2.0, 3.0]), np.array([6.0, 4.0, 2.0])) == -1


def test_group_means_leave_out_what_has_no_group_or_score() -> None:
    score = np.array([1.0, 3.0, 5.0, 7.0, np.nan, 9.0])
    means = group_means(score, np.array([0, 0, 2, -1, 0, 2]), 4)
    assert means.count_g.tolist() == [2, 0, 2, 0]
    np.testing.assert_allclose(means.mean_g, [2.0, np.nan, 7.0, np.nan])
    np.testing.assert_allclose(means.error_g, [1.0, np.nan, 2.0, np.nan])  # s = √2 and √8, over √2


def test_unevenness_is_one_by_chance_and_large_for_a_drift() -> None:
    rng = np.random.default_rng(2)
    code = rng.integers(0, 15, 30_000)
    by_chance = [unevenness(code, rng.random(30_000) < 0.1, 15) for _ in range(20)]
    assert 0.6 < np.mean(by_chance) < 1.4  # χ²/14 has deviation √(2/14) = 0.38, its mean of 20 0.08
    assert unevenness(code, rng.random(30_000) < 0.05 + 0.01 * code, 15) > 10
    assert unevenness(code, np.ones(30_000), 15) == 0 and unevenness(np.zeros(9, int), np.eye(9)[0], 1) == 0


def test_goldens_match(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(shared / "golden" / "resnet") == 0
    printed = capsys.readouterr().out.splitlines()
    for name in ("shift_pairs", "shift_similarity", "shift_score", "sink_attention", "sink_diff", "register_order"):
        assert any(f" {name} " in line and "ok " in line for line in printed), name


def test_goldens_can_fail(shared: Path) -> None:
    golden = golden_text.load_resnet(shared / "golden" / "resnet")
    ours = golden_drift.drift(golden, "resnet") | golden_drift.sink(golden, "resnet")
    for name in ("shift_similarity", "shift_score", "sink_attention", "sink_diff"):
        off = ours[name].copy()
        off.flat[3] += 1e-3 * np.abs(off).max()
        assert compare(golden, name, ours[name]).good and not compare(golden, name, off).good, name
    for name in ("shift_pairs", "register_order"):
        swapped = ours[name].copy()
        swapped.flat[:2] = swapped.flat[1::-1]
        assert not compare(golden, name, swapped).good, name
