"""TextSpan from moments makes the choices of the algorithm on the data matrix."""

import numpy as np
import pytest

from core.methods.textspan import best_explained, explained_in_order, head_subspace, textspan
from tests.reference.plain_textspan import plain_explained, plain_textspan


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


def test_texts_in_a_given_order_explain_what_their_span_holds() -> None:
    """Two sequences at once; in the second a text comes twice, nearly, and adds nothing the second time."""
    data, texts = example(11)
    orders = np.stack([texts[:12], texts[20:32]])
    orders[1, 5] = orders[1, 2] + 1e-8  # as far apart as float32 puts equal texts
    ours = explained_in_order(np.cov(data.T, bias=True), orders).cumsum(-1)
    for found, order in zip(ours, orders, strict=True):
        np.testing.assert_allclose(found, plain_explained(data, order), rtol=0, atol=1e-9)
    assert ours[0, -1] == pytest.approx(1, abs=1e-9)  # whatever they say, 12 texts span 12 dimensions
    assert ours[1, 5] == ours[1, 4] and ours[1, -1] < 1


def test_chosen_texts_lie_between_their_order_by_chance_and_the_best_directions() -> None:
    data, texts = example(12)
    cov = np.cov(data.T, bias=True)
    chosen = textspan(cov, texts, 12)
    np.testing.assert_allclose(explained_in_order(cov, texts[chosen.index_m][None])[0], chosen.explained_m, atol=1e-12)
    best = best_explained(cov, 12)
    singular = np.linalg.svd(data - data.mean(0), compute_uv=False) ** 2
    np.testing.assert_allclose(best, singular.cumsum() / singular.sum(), rtol=0, atol=1e-12)
    assert (chosen.cumulative_m <= best + 1e-12).all()
    assert (explained_in_order(np.zeros((12, 12)), texts[None, :3]) == 0).all()
