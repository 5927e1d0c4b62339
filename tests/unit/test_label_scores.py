"""Figures of label scores against scikit-learn's, drawn samples as lists of images, and the small rules."""

import numpy as np
import pytest

from core.methods import label_scores as method
from core.methods.label_scores import NAMES, Estimate
from tests.reference.plain_label_scores import plain_drawn, plain_figures

EXACT = 1e-9  # float64 sums of at most a few hundred numbers
SINGLE = 2e-5  # draws are counted in float32, whose products are summed over a few hundred images


def case(images: int, values: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A predictor of few values, so that ties abound, and a number that goes with it."""
    rng = np.random.default_rng(seed)
    predictor_i = rng.integers(0, values, images).astype(np.float64)
    number_i = rng.normal(size=images) + predictor_i / values
    return predictor_i, number_i, method.positives(number_i)


@pytest.mark.parametrize(("images", "values"), [(40, 3), (60, 2), (200, 9), (200, 100_000)])
def test_figures_are_scikit_learns(images: int, values: int) -> None:
    for seed in range(8):
        predictor_i, number_i, positive_i = case(images, values, seed)
        found = method.figures(predictor_i, number_i, positive_i)
        plain = plain_figures(predictor_i.tolist(), number_i.tolist(), positive_i.tolist())
        for name in NAMES:
            assert found[name][0] == pytest.approx(plain[name], abs=EXACT, nan_ok=True), name


@pytest.mark.parametrize(("images", "values"), [(30, 3), (150, 8), (150, 100_000)])
def test_a_draw_is_the_images_it_drew(images: int, values: int) -> None:
    predictor_i, number_i, positive_i = case(images, values, 1)
    count_ir = method.drawn_counts(images, 25)
    found = method.figures(predictor_i, number_i, positive_i, count_ir)
    for r in range(25):
        plain = plain_drawn(predictor_i, number_i, positive_i, count_ir[:, r])
        for name in NAMES:
            assert found[name][r] == pytest.approx(plain[name], abs=SINGLE, nan_ok=True), (name, r)


def test_draws_are_bootstrap_samples_and_always_the_same() -> None:
    count_ir = method.drawn_counts(50, 40)
    assert (count_ir.sum(0) == 50).all() and (count_ir[:, 0] != count_ir[:, 1]).any()
    assert count_ir.mean() == 1 and count_ir.var() == pytest.approx(1, abs=0.1)  # binomial: 1 - 1 / 50
    assert (method.drawn_counts.__wrapped__(50, 40) == count_ir).all()


def test_intervals_are_percentiles_of_the_draws() -> None:
    predictor_i, number_i, positive_i = case(120, 50, 4)
    made = method.estimates(predictor_i, number_i, positive_i, 200)
    drawn = method.figures(predictor_i, number_i, positive_i, method.drawn_counts(120, 200))
    for name in NAMES:
        assert made[name].low == np.percentile(drawn[name], 2.5) and made[name].high == np.percentile(drawn[name], 97.5)
        assert made[name].low < made[name].value < made[name].high


def test_the_interval_covers_what_it_should() -> None:
    """Of 200 samples of numbers with correlation 0.5, the interval of 95 % holds it in 95 % ± 4 % (two and a half
    standard errors)."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        x_i = rng.normal(size=200)
        p_i = 0.5 * x_i + np.sqrt(0.75) * rng.normal(size=200)
        found = method.estimates(p_i, x_i, method.positives(x_i), 200)["pearson"]
        inside += found.low <= 0.5 <= found.high
    assert 0.91 <= inside / 200 <= 0.99


@pytest.mark.parametrize("predictor_i", [np.zeros(30), np.arange(30.0)])
@pytest.mark.parametrize("number_i", [np.ones(30), np.arange(30.0)])
def test_what_does_not_vary_has_no_correlation(predictor_i: np.ndarray, number_i: np.ndarray) -> None:
    found = method.figures(predictor_i, number_i, method.positives(number_i))
    varies = np.ptp(predictor_i) > 0 and np.ptp(number_i) > 0
    assert np.isnan(found["pearson"][0]) == (not varies)
    assert np.isnan(found["auroc"][0]) == (np.ptp(number_i) == 0)
    if not np.ptp(predictor_i) and np.ptp(number_i):  # a predictor that says nothing scores by chance
        assert found["auroc"][0] == 0.5 and found["auprc"][0] == found["f1"][0] == pytest.approx(2 / 30)


def test_positives_are_the_top_share_with_ties() -> None:
    assert np.flatnonzero(method.positives(np.arange(100.0))).tolist() == [95, 96, 97, 98, 99]
    assert method.positives(np.arange(5.0)).tolist() == [False] * 4 + [True]
    tied = np.array([0.0] * 90 + [1.0] * 10)
    assert method.positives(tied).sum() == 10  # the fifth largest is one of ten
    rare = np.array([0.0] * 98 + [1.0, 2.0])
    assert np.flatnonzero(method.positives(rare)).tolist() == [98, 99]  # not everybody who ties at zero
    assert not method.positives(np.ones(40)).any() and not method.positives(np.zeros(0)).any()


def test_chance_is_the_median_over_predictors() -> None:
    rng = np.random.default_rng(2)
    predictor_wi, number_i = rng.normal(size=(31, 80)), rng.normal(size=80)
    positive_i = method.positives(number_i)
    made = method.baseline(predictor_wi, number_i, positive_i)
    each = [plain_figures(p.tolist(), number_i.tolist(), positive_i.tolist()) for p in predictor_wi]
    for name in NAMES:
        values = [one[name] for one in each]
        assert made[name].value == pytest.approx(np.median(values), abs=EXACT)
        assert (made[name].low, made[name].high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=EXACT)


def test_correlations_by_row_are_numpys() -> None:
    rng = np.random.default_rng(3)
    p_ui, x_ui, kept_ui = rng.normal(2, 1, (6, 50)), rng.normal(-3, 1, (6, 50)), rng.random((6, 50)) < 0.7
    p_ui[4], x_ui[5], kept_ui[3] = 0.1, -7.3, False
    found_u = method.pearson_rows(p_ui.astype(np.float32), x_ui.astype(np.float32), kept_ui)
    for u in range(3):
        expected = np.corrcoef(p_ui[u, kept_ui[u]], x_ui[u, kept_ui[u]])[0, 1]
        assert found_u[u] == pytest.approx(expected, abs=1e-6)  # float32 numbers of size three
    assert np.isnan(found_u[3:]).all()


def test_the_largest_have_their_ties_and_no_zeros() -> None:
    size_ui = np.array([[5, 1, 3, 3, 0.0], [0, 0, 2, 0, 0]], np.float16)
    assert method.largest(size_ui, 2).tolist() == [[True, False, True, True, False], [False, False, True, False, False]]
    assert not method.largest(size_ui, 0).any() and method.largest(size_ui, 99).sum() == 5


def test_samples_are_spread_evenly() -> None:
    assert method.evenly(7, 10).tolist() == list(range(7))
    places = method.evenly(1000, 10)
    assert len(places) == 10 and places[0] == 0 and places[-1] == 999 and set(np.diff(places)) <= {111}


def test_an_estimate_reads_as_it_is_shown() -> None:
    assert str(Estimate(0.413, 0.361, 0.449)) == "0.41 [0.36, 0.45]" and str(Estimate(*[np.nan] * 3)) == "–"
