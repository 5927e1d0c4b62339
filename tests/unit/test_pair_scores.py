"""Scores, signs and inertia of pairs from scalars, against contributions written out in full."""

import numpy as np
import pytest

from core.methods import pair_scores
from core.methods.pair_scores import (
    fit_pairs,
    inertia,
    largest_images,
    mask_percentile,
    order,
    uncentred_norms,
)
from tests.reference.plain_pairs import plain_components, plain_contributions, plain_inertia, plain_score

N, IMAGES, M, OUT, K = 5, 23, 3, 8, 6
FP32 = 2e-6  # a few roundings of float32 numbers around one


class Case:
    def __init__(self, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.s_nim = (rng.standard_normal((N, IMAGES, M)) ** 3).astype(np.float32)  # skewed, so that signs differ
        self.direction_nmo = rng.standard_normal((N, M, OUT))
        self.constant_mo = 0.5 * rng.standard_normal((M, OUT))
        self.length_nm = np.linalg.norm(self.direction_nmo, axis=-1)
        unit_io = rng.standard_normal((IMAGES, OUT))
        self.unit_io = unit_io / np.linalg.norm(unit_io, axis=1, keepdims=True)
        self.mean_nm = self.s_nim.mean(1, dtype=np.float64)

    def contributions(self, constant: bool = False) -> np.ndarray:
        return plain_contributions(
            self.s_nim.transpose(1, 0, 2), self.direction_nmo, self.constant_mo if constant else 0
        )


@pytest.fixture(params=[2**22, 100])  # all at once, and a neuron at a time
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(pair_scores, "_ENTRIES", request.param)
    return Case()


@pytest.mark.parametrize("largest", [1, K, K - 1, IMAGES, 99])
def test_scores_and_signs_are_those_of_contributions(case: Case, largest: int) -> None:
    fit, r_inmo = fit_pairs(case.s_nim, case.mean_nm, case.length_nm, largest), case.contributions()
    assert len(np.unique(fit.sign_nm)) == 2
    for n, m in np.ndindex(N, M):
        r_io = r_inmo[:, n, m]
        assert fit.score_nm[n, m] == pytest.approx(plain_score(r_io, largest), rel=FP32)
        (direction_o,) = plain_components(r_io, largest, 1)
        ours_o = case.direction_nmo[n, m] * fit.sign_nm[n, m] / case.length_nm[n, m]
        np.testing.assert_allclose(ours_o, direction_o, atol=1e-6)
        x_i = (r_io - r_io.mean(0)) @ direction_o
        assert fit.length_nm[n, m] * (case.s_nim[n, :, m] - case.mean_nm[n, m]) == pytest.approx(x_i, abs=1e-5)
        assert fit.std_nm[n, m] == pytest.approx(x_i.std(), rel=FP32)


def test_an_even_vote_goes_by_the_mean() -> None:
    s_nim = np.array([[3.0, 2.0, -1.0, -1.0, -1.0, -2.0]], np.float32)[..., None]  # of the four largest, two and two
    s_nim = np.concatenate([s_nim, -s_nim])
    fit = fit_pairs(s_nim, np.array([[-0.9], [0.9]]), np.ones((2, 1)), 4)
    assert fit.sign_nm[:, 0].tolist() == [1, -1]


def test_a_pair_that_writes_nothing_or_never_varies_scores_nothing() -> None:
    s_nim = np.stack([np.ones((4, 1)), np.arange(4.0)[:, None]]).astype(np.float32)
    fit = fit_pairs(s_nim, s_nim.mean(1), np.array([[1.0], [0.0]]), 3)
    assert fit.sign_nm[0, 0] == 1 and not fit.length_nm[1, 0]
    assert not fit.score_nm.any() and not fit.std_nm.any()


def test_what_does_not_fit_is_refused(case: Case) -> None:
    for s, mean, length, largest in (
        (case.s_nim[:, :0], case.mean_nm, case.length_nm, 3),
        (case.s_nim, case.mean_nm[:1], case.length_nm, 3),
        (case.s_nim, case.mean_nm, case.length_nm.T, 3),
        (case.s_nim, case.mean_nm, case.length_nm, 0),
    ):
        with pytest.raises(ValueError, match=r"expected \(n, i, m\)"):
            fit_pairs(s, mean, length, largest)


def test_order_and_masks() -> None:
    score_nm = np.array([[3.0, 1.0], [3.0, 2.0], [5.0, 0.0]])
    assert order(score_nm).tolist() == [4, 0, 2, 3, 1, 5]
    assert mask_percentile(score_nm, 0).all() and mask_percentile(score_nm, 100).sum() == 1
    assert mask_percentile(score_nm, 80).tolist() == [[True, False], [True, False], [True, False]]  # the 80th is 3
    assert mask_percentile(np.arange(100.0), 90).sum() == 10


@pytest.mark.parametrize("constant", [False, True])
def test_inertia_over_the_largest_uncentred_norms(case: Case, constant: bool) -> None:
    r_inmo = case.contributions(constant)
    extra = ()
    if constant:
        along_nm = np.einsum("nmo,mo->nm", case.direction_nmo, case.constant_mo)
        extra = (along_nm, np.linalg.norm(case.constant_mo, axis=1))
    norm_nim = uncentred_norms(case.s_nim, case.length_nm, *extra)
    np.testing.assert_allclose(norm_nim, np.linalg.norm(r_inmo, axis=-1).transpose(1, 0, 2), rtol=1e-5)
    for top in (1, 4, 99):
        found_nm = inertia(case.unit_io, largest_images(norm_nim, top))
        for n, m in np.ndindex(N, M):
            expected = plain_inertia(r_inmo[:, n, m], case.unit_io, top)
            assert found_nm[n, m] == pytest.approx(expected, abs=FP32 * min(top, IMAGES))


def test_half_precision_representations_go_by_their_true_norms(case: Case) -> None:
    half_io = case.unit_io.astype(np.float16)
    images_nmk = largest_images(uncentred_norms(case.s_nim, case.length_nm), 4)
    chosen_nmko = half_io.astype(np.float64)[images_nmk]
    expected_nm = ((chosen_nmko - chosen_nmko.mean(2, keepdims=True)) ** 2).sum((2, 3))
    np.testing.assert_allclose(inertia(half_io, images_nmk), expected_nm, atol=1e-5)
