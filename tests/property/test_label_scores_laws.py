"""Laws of label scores, with ties as common as in what labels name: order alone counts, and ends are mirror images."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.methods import label_scores as method
from core.methods.label_scores import NAMES
from tests.reference.plain_label_scores import plain_figures

few = settings(max_examples=80, deadline=None)
EXACT = 1e-9  # float64 over at most sixty images
RANKED = ("auprc", "f1", "auroc")
values = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5]), st.floats(-8, 8, width=16))
pairs = st.lists(st.tuples(values, values), min_size=4, max_size=60)


def arrays(drawn: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    p_i, x_i = np.array(drawn).T
    return p_i + 0.0, x_i + 0.0  # no negative zeros, which a sort keeps apart and nobody means


def same(a: dict, b: dict, names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        assert a[name][0] == pytest.approx(b[name][0], abs=EXACT, nan_ok=True), name


@few
@given(pairs)
def test_figures_are_the_plain_ones(drawn: list) -> None:
    p_i, x_i = arrays(drawn)
    positive_i = method.positives(x_i)
    plain = plain_figures(p_i.tolist(), x_i.tolist(), positive_i.tolist())
    found = method.figures(p_i, x_i, positive_i)
    for name in RANKED:
        assert found[name][0] == pytest.approx(plain[name], abs=EXACT, nan_ok=True), name
    assume(np.std(p_i) > 1e-3 and np.std(x_i) > 1e-3)
    assert found["pearson"][0] == pytest.approx(plain["pearson"], abs=1e-7, nan_ok=True)


@few
@given(pairs, st.floats(0.1, 5), st.floats(-3, 3))
def test_only_the_order_of_the_predictor_counts(drawn: list, scale: float, shift: float) -> None:
    p_i, x_i = arrays(drawn)
    rank_i = np.unique(p_i, return_inverse=True)[1].astype(np.float64)
    moved_i = np.exp(scale * rank_i / len(rank_i)) + shift  # of ranks, so that rounding makes no new ties
    positive_i = method.positives(x_i)
    same(method.figures(p_i, x_i, positive_i), method.figures(moved_i, x_i, positive_i), RANKED)


@few
@given(pairs, st.floats(0.1, 5), st.floats(-3, 3))
def test_a_scale_and_an_offset_change_nothing(drawn: list, scale: float, shift: float) -> None:
    p_i, x_i = arrays(drawn)
    assume(np.std(p_i) > 1e-2 and np.std(x_i) > 1e-2)
    positive_i = method.positives(x_i)
    moved = method.figures(p_i * scale + shift, x_i * scale - shift, positive_i)
    assert moved["pearson"][0] == pytest.approx(method.figures(p_i, x_i, positive_i)["pearson"][0], abs=1e-7)


@few
@given(pairs)
def test_the_ends_are_mirror_images(drawn: list) -> None:
    p_i, x_i = arrays(drawn)
    plus, minus = method.positives(x_i), method.positives(-x_i)
    same(method.figures(p_i, x_i, plus), method.figures(-p_i, -x_i, plus), ("pearson",))
    against = method.figures(p_i, -x_i, minus)
    assert against["pearson"][0] == pytest.approx(-method.figures(p_i, x_i, plus)["pearson"][0], nan_ok=True, abs=EXACT)
    turned = method.figures(-p_i, -x_i, minus)["auroc"][0]
    assert turned == pytest.approx(1 - against["auroc"][0], abs=EXACT, nan_ok=True)


@few
@given(st.lists(st.tuples(values, values, st.integers(0, 3)), min_size=4, max_size=40))
def test_a_count_is_so_many_copies(drawn: list) -> None:
    """Counts of a draw, in float64 so that no rounding is in the way, are the images repeated."""
    p_i, x_i = arrays([(p, x) for p, x, _ in drawn])
    count_i = np.array([times for *_, times in drawn])
    assume(count_i.sum() > 0 and np.std(p_i) > 1e-2 and np.std(x_i) > 1e-2)
    positive_i = method.positives(x_i)
    counted = method.figures(p_i, x_i, positive_i, count_i[:, None].astype(np.float64))
    p, x, y = (np.repeat(values, count_i) for values in (p_i, x_i, positive_i))
    same(counted, method.figures(p, x, y), RANKED)
    assume(np.std(p) > 1e-2 and np.std(x) > 1e-2)
    assert counted["pearson"][0] == pytest.approx(method.figures(p, x, y)["pearson"][0], abs=1e-6)


@few
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_the_images_counts_for_nothing(drawn: list, random: object) -> None:
    p_i, x_i = arrays(drawn)
    order = np.array(sorted(range(len(p_i)), key=lambda _: random.random()))  # type: ignore[attr-defined] # hypothesis's own
    same(
        method.figures(p_i, x_i, method.positives(x_i)),
        method.figures(p_i[order], x_i[order], method.positives(x_i)[order]),
    )
