"""The laws of core/stats: any batching, any split, any order of merging, and a way through state, change nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from core.stats import CrossMoments, Moments, Quantiles, TopK
from tests.reference.plain_stats import batches, exact_moments, plain_quantile, plain_topk

U = 2.0**-53
few = settings(max_examples=60, deadline=None)
cuts = st.lists(st.integers(0, 1000), max_size=5)
# a handful of values, so that ties, zeros and repeats are common, beside arbitrary ones
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5]),
    st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=True),
)


def through_state(thing: Any) -> Any:
    return type(thing).from_state(thing.state())


def fill(thing: Any, update: Callable[[Any, slice], None], n: int, places: list[int]) -> Any:
    for part in batches(n, places):
        update(thing, part)
    return thing


def split(make: Callable[[], Any], update: Callable[[Any, slice], None], n: int, places: list[int], data: Any) -> Any:
    """One object a part, each through its state, merged in an order and a tree that hypothesis draws."""
    parts = []
    for part in batches(n, places):
        one = make()
        update(one, part)
        parts.append(through_state(one))
    while len(parts) > 1:
        left = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        right = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        left.merge(right)
        parts.append(left)
    return parts[0]


def same_bits(a: Any, b: Any) -> None:
    left, right = a.state(), b.state()
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype, name
        assert left[name].shape == right[name].shape, name
        assert left[name].tobytes() == right[name].tobytes(), name


# -- TopK


@few
@given(st.data(), array_shapes(max_dims=2, max_side=3), st.integers(1, 6), st.booleans(), st.integers(0, 20), cuts)
def test_topk_any_way_equals_sorting_everything(data, shape, k, largest, n, places):
    scores = data.draw(arrays(np.float32, (n, *shape), elements=values | st.sampled_from([np.inf, -np.inf])))
    ids = np.array(data.draw(st.lists(st.integers(0, 2**32 - 2), min_size=n, max_size=n, unique=True)), np.int64)
    order = np.array(data.draw(st.permutations(range(n))), int)

    def update(thing: TopK, part: slice) -> None:
        thing.update(scores[order[part]], ids[order[part]])

    make = lambda: TopK(shape, k, largest)
    streamed, merged = fill(make(), update, n, places), split(make, update, n, places, data)
    same_bits(streamed, merged)
    same_bits(streamed, through_state(streamed))
    for cell in np.ndindex(shape):
        want = plain_topk(scores[(slice(None), *cell)], ids, k, largest)
        assert (streamed.scores[cell].tolist(), streamed.ids[cell].tolist()) == want


# -- Quantiles


@few
@given(st.data(), st.sampled_from([0.005, 0.02, 0.2]), st.integers(1, 40), cuts)
def test_quantiles_any_way_and_within_the_error(data, error, n, places):
    x = data.draw(arrays(np.float32, (n, 2), elements=values))
    order = np.array(data.draw(st.permutations(range(n))), int)

    def update(thing: Quantiles, part: slice) -> None:
        thing.update(x[order[part]])

    make = lambda: Quantiles((2,), error)
    streamed, merged = fill(make(), update, n, places), split(make, update, n, places, data)
    same_bits(streamed, merged)
    same_bits(streamed, through_state(streamed))
    assert streamed.relative_error <= error
    assert streamed.min.tolist() == x.min(axis=0).tolist()
    assert streamed.max.tolist() == x.max(axis=0).tolist()
    for q in ("0", "0.01", "0.07", "0.25", "0.5", "0.9", "0.999", "1"):
        answer = streamed.quantile(float(q))
        for cell in range(2):
            true = plain_quantile(x[:, cell], q)
            # 8 u: the midpoint itself is rounded in float64
            allowed = (streamed.relative_error + 8 * U) * abs(true) if abs(true) >= Quantiles.floor else Quantiles.floor
            assert abs(answer[cell] - true) <= allowed


@few
@given(st.data(), st.integers(1, 40), values)
def test_share_above_is_the_true_share_of_a_threshold_nearby(data, n, threshold):
    x = data.draw(arrays(np.float32, (n, 1), elements=values))
    sketch = Quantiles((1,))
    sketch.update(x)
    near = max(2 * sketch.relative_error * abs(threshold) * 1.01, Quantiles.floor)  # 1 %: of the neighbour, not of x
    share = sketch.share_above(threshold)[0]
    assert (x > threshold + near).mean() <= share <= (x > threshold - near).mean()
    assert sketch.cdf(threshold)[0] == 1 - share


# -- Moments and CrossMoments


def moment_tolerance(x: np.ndarray) -> np.ndarray:
    """The bound in core/stats/moments.py with a factor of 4 for its constants; x (n, k) -> (k, k)."""
    n, s, m = len(x), x.std(axis=0, dtype=np.float64), np.abs(x.astype(np.float64)).max(axis=0)
    return 4 * n * U * (np.outer(s, s) + np.outer(m, s) + np.outer(s, m)) + np.outer(m, m) * (4 * n * U) ** 2


@few
@given(st.data(), st.integers(1, 3), st.integers(1, 12), cuts, st.sampled_from([0.0, 1e3, 1e6]))
def test_moments_any_way_equal_exact_arithmetic(data, k, n, places, offset):
    x = data.draw(arrays(np.float32, (n, 2, k), elements=st.floats(-8, 8, width=32))) + np.float32(offset)

    def update(thing: Moments, part: slice) -> None:
        thing.update(x[part])

    make = lambda: Moments((2, k))
    streamed = fill(make(), update, n, places)
    same_bits(streamed, through_state(streamed))
    for got in (streamed, split(make, update, n, places, data)):
        assert got.count == n
        for cell in range(2):
            mean, cov = exact_moments(x[:, cell])
            assert np.abs(got.mean[cell] - np.array(mean, float)).max() <= 4 * n * U * np.abs(x[:, cell]).max()
            assert (np.abs(got.cov[cell] - np.array(cov, float)) <= moment_tolerance(x[:, cell])).all()


@few
@given(st.data(), st.integers(1, 12), cuts, st.sampled_from([0.0, 1e6]))
def test_cross_moments_any_way_equal_exact_arithmetic(data, n, places, offset):
    xy = data.draw(arrays(np.float32, (n, 2, 2), elements=st.floats(-8, 8, width=32))) + np.float32(offset)

    def update(thing: CrossMoments, part: slice) -> None:
        thing.update(xy[part, :, 0], xy[part, :, 1])

    make = lambda: CrossMoments((2,))
    streamed = fill(make(), update, n, places)
    same_bits(streamed, through_state(streamed))
    for got in (streamed, split(make, update, n, places, data)):
        assert got.count == n
        for cell in range(2):
            mean, cov = exact_moments(xy[:, cell])
            tolerance = moment_tolerance(xy[:, cell])
            pairs = ((got.var_x, 0, 0), (got.var_y, 1, 1), (got.cov, 0, 1))
            for value, i, j in pairs:
                assert abs(value[cell] - float(cov[i][j])) <= tolerance[i, j]
            assert abs(got.mean_x[cell] - float(mean[0])) <= 4 * n * U * np.abs(xy).max()
            assert abs(got.mean_y[cell] - float(mean[1])) <= 4 * n * U * np.abs(xy).max()


@pytest.mark.parametrize("make", [lambda: Moments((2, 3)), lambda: TopK((2,), 3), lambda: Quantiles((2,))])
def test_merging_leaves_the_other_alone(make):
    def update(thing: Any, seed: int) -> Any:
        batch = np.random.default_rng(seed).normal(size=(5, *thing.shape)).astype(np.float32)
        thing.update(batch, np.arange(5) + 10 * seed) if isinstance(thing, TopK) else thing.update(batch)
        return thing

    ours, theirs, untouched = update(make(), 1), update(make(), 2), update(make(), 2)
    ours.merge(theirs)
    update(ours, 3)  # later updates must not reach into what was merged
    same_bits(theirs, untouched)
