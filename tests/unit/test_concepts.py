"""Concept discovery: sums over active neurons, who is behind them, and images that excite nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.methods.concepts import discover
from tests.reference.plain_concepts import plain_concepts


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(1, 8), st.integers(2, 20), st.integers(0, 4))
def test_same_as_summing_text_by_text(seed: int, active: int, picks: int, pool: int, behind: int) -> None:
    rng = np.random.default_rng(seed)
    picks = min(picks, pool)
    index = np.array([rng.permutation(pool)[:picks] for _ in range(active)], int).reshape(active, picks)
    index[rng.random(index.shape) < 0.2] = -1
    # dyadic numbers: sums are exact in any order, so equal weights are equal
    coefficient = np.where(index < 0, 0, rng.integers(-8, 9, index.shape) / 8)
    strength = rng.integers(-2 if seed % 2 else 0, 9, active) / 4
    ours = discover(index, coefficient, strength, behind)
    plain = plain_concepts(index, coefficient, strength, behind)
    assert ours.text_c.tolist() == [text for text, _, _ in plain]
    assert ours.weight_c.tolist() == [weight for _, weight, _ in plain]
    for row, (_, _, with_it) in enumerate(plain):
        empty = behind - len(with_it)
        assert ours.neuron_cb[row].tolist() == [neuron for neuron, _ in with_it] + [-1] * empty
        assert ours.part_cb[row].tolist() == [part for _, part in with_it] + [0] * empty


def test_a_small_image() -> None:
    """Two neurons agree on text 7, one speaks against text 2 and is behind it."""
    found = discover(np.array([[7, 2], [7, -1]]), np.array([[0.5, -1.0], [1.0, 0.0]]), np.array([2.0, 3.0]), 2)
    assert found.text_c.tolist() == [7, 2]
    assert found.weight_c.tolist() == [4.0, -2.0]
    assert found.neuron_cb.tolist() == [[1, 0], [0, -1]]
    assert found.part_cb.tolist() == [[3.0, 1.0], [-2.0, 0.0]]


def test_what_does_not_fit_is_refused() -> None:
    index, ones = np.zeros((3, 2), int), np.ones((3, 2))
    for strength, coefficient, says in (
        (np.ones(2), ones, "expected"),
        (np.ones(3), ones[:, :1], "expected"),
        (np.array([1, np.nan, 1]), ones, "not measured"),
    ):
        with pytest.raises(ValueError, match=says):
            discover(index, coefficient, strength)
