"""The released code's neuron-head pairs of a ResNet, where the golden arrays are at hand; and that they can differ."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.methods.neuron_head import PoolPairs
from core.methods.sparse_text import AtomScaling
from tests import golden_pairs, golden_pairs_rules
from tests.golden import check, compare
from tests.golden_pairs import resnet_pairs
from tests.golden_set import GoldenSet
from tests.golden_text import load_resnet

NAMES = 30
"""Arrays that `resnet_pairs` covers: attention pool, contributions, statistics, representations."""


@pytest.fixture(scope="module")
def golden(shared: Path) -> GoldenSet:
    torch.set_num_threads(1)
    return load_resnet(shared / "golden" / "resnet")


@pytest.fixture(scope="module")
def ours(golden: GoldenSet) -> dict[str, np.ndarray]:
    return resnet_pairs(golden, "resnet")


def test_every_array_matches(shared: Path, capsys: pytest.CaptureFixture[str], ours: dict[str, np.ndarray]) -> None:
    assert check(shared / "golden" / "resnet") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {name for word, name, *_ in lines if word == "ok"} >= set(ours) and len(ours) == NAMES


@pytest.mark.parametrize("mistake", ["position", "last token", "shuffled"])
def test_wrong_scalars_fail(golden: GoldenSet, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    real = PoolPairs.scalars

    def scalars(self: PoolPairs, trace: golden_pairs.Trace) -> torch.Tensor:
        s_bnm = real(self, trace)
        tokens = self.token_scalars(trace)
        wrong = {
            "position": s_bnm - (trace.carriers[0].attn_bht @ self._position_td).mT / trace.norm_b[:, None, None],
            "last token": s_bnm - tokens[..., -1],
            "shuffled": s_bnm.roll(1, dims=1),
        }
        return wrong[mistake]

    monkeypatch.setattr(PoolPairs, "scalars", scalars)
    made = resnet_pairs(golden, "resnet")
    for name in ("coef", "contrib_pair", "norm_pair", "top_norms", "neuron_pc0", "pair_order", "mask_percentile90",
                 "representation_meanablate80", "representation_neuron_pc0", "inertia_pair"):  # fmt: skip
        assert not compare(golden, name, made[name]).good, name


def test_unit_atoms_and_own_coefficients_fail(
    golden: GoldenSet, ours: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "representation_sparse6"
    assert compare(golden, name, ours[name]).good
    real = golden_pairs.text_atoms
    monkeypatch.setattr(golden_pairs, "text_atoms", lambda texts, scaling: real(texts, AtomScaling.UNIT))
    assert not compare(golden, name, resnet_pairs(golden, "resnet")[name]).good
    assert not compare(golden, name, golden.arrays["representation_rank1"]).good


def test_one_wrong_choice_fails(golden: GoldenSet, ours: dict[str, np.ndarray]) -> None:
    swapped, twice = ours["pair_order"].copy(), ours["pair_order"].copy()
    swapped[[3, 700]] = swapped[[700, 3]]
    twice[5] = twice[4]
    mask = ours["mask_percentile90"].copy()
    mask[1, 7] ^= True
    turned = ours["neuron_pc1"].copy()
    turned[9] *= -1
    shifted = ours["attention_logits_cls"] + 3  # what all tokens share says nothing
    assert compare(golden, "attention_logits_cls", shifted).good
    shifted[0, 1, 2] += 0.1
    for name, wrong in (("pair_order", swapped), ("pair_order", twice), ("mask_percentile90", mask),
                        ("neuron_pc1", turned), ("attention_logits_cls", shifted)):  # fmt: skip
        assert compare(golden, name, ours[name]).good and not compare(golden, name, wrong).good, name


def test_an_undecided_pair_may_change_its_own_part_alone(golden: GoldenSet, ours: dict[str, np.ndarray]) -> None:
    coef, direction = (golden.arrays[name].astype(np.float64) for name in ("coef", "direction"))
    tied_p = np.zeros(coef[0].size, bool)
    tied_p[17] = True
    x_b = (coef - coef.mean(0)).reshape(len(coef), -1)[:, 17]
    name = "representation_meanablate90"
    own = ours[name] + np.outer(x_b, direction.reshape(-1, direction.shape[-1])[17])
    other = ours[name] + np.outer(np.roll(x_b, 1), direction.reshape(-1, direction.shape[-1])[17])
    assert golden_pairs_rules._but_for(golden, name, own, tied_p).good
    assert not golden_pairs_rules._but_for(golden, name, own, ~tied_p & False).good
    assert not golden_pairs_rules._but_for(golden, name, other, tied_p).good
