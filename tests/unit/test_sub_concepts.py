"""Sub-concepts against their plain twin, and the properties that the score promises."""

import numpy as np
import pytest

from core.methods.sub_concepts import sub_concepts
from tests.reference.plain_sub_concepts import plain_sub_concepts


def drawn(seed: int) -> tuple[np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pairs, images = 12, 6
    inertia = rng.uniform(0.1, 1.5, pairs)
    inertia[rng.random(pairs) < 0.2] = np.nan
    share = rng.dirichlet(np.ones(pairs)) * rng.choice([1, -1], pairs, p=[0.9, 0.1])
    image = np.stack([rng.choice(20, images, replace=False) for _ in range(pairs)])
    image[::5, 4:] = -1
    active = rng.random((pairs, images)) < rng.random((pairs, 1))
    return inertia, 1.0, share, active, image


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("k", [1, 4, 50])
def test_it_is_what_the_plain_twin_says(seed: int, k: int) -> None:
    inertia, whole, share, active, image = drawn(seed)
    found = sub_concepts(inertia, whole, share, active, image, k)
    seen = [row >= 0 for row in image]
    expected = plain_sub_concepts(
        [None if np.isnan(x) else float(x) for x in inertia], whole, share.tolist(),
        [p[s].tolist() for p, s in zip(active, seen, strict=True)],
        [i[s].tolist() for i, s in zip(image, seen, strict=True)], k,
    )  # fmt: skip
    assert found.pair_c.tolist() == [m for m, _ in expected]
    np.testing.assert_allclose(found.score_c, [score for _, score in expected], rtol=1e-12)  # a sum of six numbers
    np.testing.assert_allclose(found.tightness_c * found.inside_c, found.score_c)


def test_a_tight_cluster_of_something_else_is_none() -> None:
    inertia, share = np.array([0.2, 0.5, 0.9]), np.array([0.3, 0.3, 0.4])
    image = np.arange(15).reshape(3, 5)
    none, every = np.zeros(5, bool), np.ones(5, bool)
    found = sub_concepts(inertia, 1.0, share, np.stack([none, every, every]), image, 3)
    assert found.pair_c.tolist() == [1, 2]
    np.testing.assert_allclose(found.score_c, [0.5, 0.1])


def test_the_same_images_are_shown_once_and_a_small_share_never() -> None:
    inertia, share = np.array([0.2, 0.3, 0.4, 0.1]), np.array([0.5, 0.3, 0.18, 0.02])
    image = np.array([[0, 1, 2, 3], [3, 2, 1, 9], [0, 1, 8, 9], [20, 21, 22, 23]])
    found = sub_concepts(inertia, 1.0, share, np.ones((4, 4), bool), image, 4)
    assert found.pair_c.tolist() == [0, 2]  # the second has three of four in common; half is allowed


@pytest.mark.parametrize("whole", [0.0, np.nan])
def test_a_neuron_without_effect_has_none(whole: float) -> None:
    found = sub_concepts(np.full(3, np.nan), whole, np.zeros(3), np.zeros((3, 2), bool), np.full((3, 2), -1), 3)
    assert not len(found.pair_c)
    found = sub_concepts(np.ones(3), whole, np.ones(3), np.ones((3, 2), bool), np.ones((3, 2), int), 3)
    assert not len(found.pair_c)
