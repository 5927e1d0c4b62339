"""TextSpan from moments makes the choices of the algorithm on the data matrix."""

import numpy as np
import pytest

from core.methods.textspan import head_subspace, textspan
from tests.reference.plain_textspan import plain_textspan


def example(seed: int, n: int = 200, c: int = 12, w: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((n, c)) * np.exp(-np.arange(c) / 4) + rng.standard_normal(c)
    texts = rng.standard_normal((w, c))
    return data, texts / np.linalg.norm(texts, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_same_choices_as_on_the_data_matrix(seed: int) -> None:
    data, texts = example(seed)
    ours = textspan(np.cov(data.T, bias=True), texts, 12)
    index, explained = plain_textspan(data, texts, 12)
    assert ours.index_m.tolist() == index
    np.testing.assert_allclose(ours.explained_m, explained, rtol=0, atol=1e-12)
    assert ours.cumulative_m[-1] == pytest.approx(1, abs=1e-9)  # 12 picks span 12 dimensions


def test_same_choices_in_a_truncated_subspace() -> None:
    data, texts = example(7)
    cov = np.cov(data.T, bias=True)
    inside = texts @ head_subspace(data.mean(0), cov, 6)
    # the plain algorithm truncates by the singular vectors of the uncentred data
    top = np.linalg.svd(data, full_matrices=False)[2][:6]
    assert textspan(cov, inside, 6).index_m.tolist() == plain_textspan(data, texts @ top.T @ top, 6)[0]


def test_stops_when_nothing_is_left() -> None:
    data, texts = example(3, c=4)
    result = textspan(np.cov(data.T, bias=True), texts, 10)
    assert (result.index_m[:4] >= 0).all()
    assert (result.index_m[4:] == -1).all()
    assert (result.explained_m[4:] == 0).all()


def test_a_constant_head_gets_no_texts() -> None:
    assert (textspan(np.zeros((4, 4)), np.eye(4), 3).index_m == -1).all()


def test_ties_go_to_the_earlier_text_and_duplicates_are_picked_once() -> None:
    data, texts = example(5)
    doubled = np.concatenate([texts, texts])
    picks = textspan(np.cov(data.T, bias=True), doubled, 8).index_m
    assert picks.max() < len(texts)
    assert len(set(picks.tolist())) == 8
