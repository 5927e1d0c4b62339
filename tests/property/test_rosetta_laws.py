"""Laws of Rosetta matching: the streamed correlations are those of the plain twin, however the images come."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.methods.rosetta import BLOCK, MIN_IMAGES, Correlator, Key, merge_nearest, mutual, nearest, tuples
from core.methods.rosetta_resize import Resize, smaller_first
from tests.reference import plain_rosetta as plain

#: What float32 products leave of r; about ten times the largest that was seen here.
TOLERANCE = 3e-6
GRID = st.tuples(st.integers(1, 7), st.integers(1, 7))
SEED = st.integers(0, 2**32 - 1)
LAYERS = st.lists(st.tuples(st.integers(1, 4), GRID), min_size=2, max_size=3)
A, B = ("m", "0"), ("m", "1")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def draw(layers: list[tuple[int, tuple[int, int]]], images: int, seed: int) -> dict[Key, torch.Tensor]:
    """Maps with something in common, rectified, with offsets, as networks make them; the first unit is constant."""
    rng = torch.Generator().manual_seed(seed)
    shared = torch.randn(images, 1, 9, 9, generator=rng)
    made = {}
    for i, (units, grid) in enumerate(layers):
        common = torch.nn.functional.interpolate(shared, size=grid, mode="bilinear")
        maps = (torch.randn(images, units, *grid, generator=rng) + common).relu() + 3 * i
        maps[:, 0] = 0.1 * i
        made["m", str(i)] = maps
    return made


def tiles(maps: dict[Key, torch.Tensor]) -> list[tuple[Key, Key]]:
    return [(a, b) for a in maps for b in maps]


def run(maps: dict[Key, torch.Tensor], cuts: tuple[int, ...] = (), null: bool = False) -> Correlator:
    made = Correlator(tiles(maps), tiles(maps) if null else ())
    ends = [0, *sorted(set(cuts)), len(next(iter(maps.values())))]
    for first, last in pairwise(ends):
        made.update({key: each[first:last] for key, each in maps.items()})
    return made


def close(ours: torch.Tensor, theirs: torch.Tensor | np.ndarray, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), rtol=0, atol=tolerance)


@given(GRID, GRID, SEED)
@settings(max_examples=60, deadline=None)
def test_the_adjoint_is_the_adjoint_of_interpolate(one: tuple[int, int], other: tuple[int, int], seed: int) -> None:
    """⟨Ux, y⟩ = ⟨x, Uᵀy⟩, Σ Ux and Σ (Ux)², with U as torch resizes."""
    small, large = smaller_first(one, other)
    rng = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(2, 3, *grid, generator=rng, dtype=torch.float64) for grid in (small, large))
    enlarged = torch.nn.functional.interpolate(x, size=large, mode="bilinear", align_corners=False)
    resize = Resize.of(small, large)
    torch.testing.assert_close((enlarged * y).sum(), (x * resize.adjoint(y)).sum())
    total, square = resize.moments(x)
    torch.testing.assert_close(total, enlarged.sum((1, 2, 3)))
    torch.testing.assert_close(square, (enlarged**2).sum((1, 2, 3)))


@given(LAYERS, st.integers(2, 20), SEED)
@settings(max_examples=40, deadline=None)
def test_equal_to_resizing_pair_by_pair(layers: list[tuple[int, tuple[int, int]]], images: int, seed: int) -> None:
    """Any sizes and aspects, down to one position; constant units correlate with nothing; tiles turn."""
    maps = draw(layers, images, seed)
    made = run(maps)
    for a, b in tiles(maps):
        want = plain.plain_pearson(maps[a], maps[b])
        close(made.correlation(a, b), want)
        assert torch.equal(made.correlation(a, b), made.correlation(b, a).T)
        assert not made.correlation(a, b)[0].any() and not made.alive(a)[0]
    for key, each in maps.items():
        mean, std = made.mean_std(key)
        flat = each.transpose(0, 1).flatten(1).double()
        torch.testing.assert_close(mean, flat.mean(1), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(std, flat.std(1), rtol=1e-6, atol=1e-7)


@given(LAYERS, st.integers(0, 20), SEED)
@settings(max_examples=20, deadline=None)
def test_the_null_is_of_the_next_image_of_the_block(
    layers: list[tuple[int, tuple[int, int]]], more: int, seed: int
) -> None:
    """Also where the last block is short, or a single image, which has no other."""
    maps = draw(layers, MIN_IMAGES + more, seed)
    made = run(maps, null=True)
    for a, b in made.null:
        close(made.shuffled(a, b), plain.plain_shuffled(maps[a], maps[b], BLOCK))
        if a != b:
            assert torch.equal(made.shuffled(b, a), made.shuffled(a, b).T)


@given(LAYERS, st.lists(st.integers(1, 3), max_size=3), st.integers(1, BLOCK), SEED)
@settings(max_examples=25, deadline=None)
def test_batching_changes_nothing(
    layers: list[tuple[int, tuple[int, int]]], cuts: list[int], last: int, seed: int
) -> None:
    """Not a bit: blocks are the same however they come."""
    maps = draw(layers, 3 * BLOCK + last, seed)
    whole, parts = (run(maps, at, null=True).state() for at in ((), tuple(BLOCK * c for c in cuts)))
    assert whole.keys() == parts.keys() and all(np.array_equal(whole[name], parts[name]) for name in whole)


@given(LAYERS, st.integers(2, 40), SEED)
@settings(max_examples=25, deadline=None)
def test_the_order_of_images_changes_rounding_alone(
    layers: list[tuple[int, tuple[int, int]]], images: int, seed: int
) -> None:
    maps = draw(layers, images, seed)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    one, other = run(maps), run({key: each[order] for key, each in maps.items()})
    for a, b in one.tiles:
        close(one.correlation(a, b), other.correlation(a, b))


@given(LAYERS, st.integers(1, 2), st.integers(1, BLOCK), SEED)
@settings(max_examples=25, deadline=None)
def test_a_pass_resumes_where_it_was_and_states_add_up(
    layers: list[tuple[int, tuple[int, int]]], cut: int, last: int, seed: int
) -> None:
    """Into an empty one exactly; two halves of a pass, whose provisional means differ, up to rounding."""
    maps = draw(layers, 2 * BLOCK + last, seed)
    head, tail = ({k: m[part] for k, m in maps.items()} for part in (slice(cut * BLOCK), slice(cut * BLOCK, None)))
    whole, first, second = run(maps, null=True), run(head, null=True), run(tail, null=True)
    resumed, added = (Correlator(whole.tiles, whole.null) for _ in range(2))
    resumed.load(first.state())
    resumed.update(tail)
    state = whole.state()
    assert all(np.array_equal(state[name], value) for name, value in resumed.state().items())
    added.load(first.state())
    added.load(second.state())
    assert added.count == whole.count
    for a, b in whole.tiles:
        close(added.correlation(a, b), whole.correlation(a, b))
        close(added.shuffled(a, b), whole.shuffled(a, b))


@given(LAYERS, SEED)
@settings(max_examples=20, deadline=None)
def test_units_in_another_order_are_the_same_units(layers: list[tuple[int, tuple[int, int]]], seed: int) -> None:
    maps = draw(layers, 6, seed)
    order = torch.randperm(maps[A].shape[1], generator=torch.Generator().manual_seed(seed))
    one, other = run(maps), run({**maps, A: maps[A][:, order]})
    close(other.correlation(A, B), one.correlation(A, B)[order])
    close(other.correlation(A, A), one.correlation(A, A)[order][:, order])


TABLES = st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 6), SEED)


def table(n: int, m: int, seed: int) -> np.ndarray:
    """With many ties, zeros and negative entries."""
    return np.random.default_rng(seed).integers(-3, 6, (n, m)) / 8


@given(TABLES)
def test_nearest_and_mutual_are_those_of_sorting(sizes: tuple[int, int, int, int]) -> None:
    n, m, k, seed = sizes
    r_nm = table(n, m, seed)
    index_nk, value_nk = nearest(r_nm, k)
    for row, index_k, value_k in zip(r_nm, index_nk, value_nk, strict=True):
        want = plain.plain_nearest(row, k)
        assert index_k.tolist() == want + [-1] * (k - len(want))
        np.testing.assert_array_equal(value_k, np.append(row[want], [np.nan] * (k - len(want))).astype(np.float32))
    pairs = mutual(index_nk, nearest(r_nm.T, k)[0])
    assert list(map(tuple, pairs.tolist())) == plain.plain_mutual(r_nm, k)
    turned = mutual(nearest(r_nm.T, k)[0], index_nk)
    assert sorted((i, j) for j, i in turned.tolist()) == list(map(tuple, pairs.tolist()))


@given(TABLES, st.integers(0, 12))
def test_tiles_merge_to_the_whole_table(sizes: tuple[int, int, int, int], cut: int) -> None:
    n, m, k, seed = sizes
    r_nm, cut = table(n, m, seed), min(cut, m)
    parts = nearest(r_nm[:, :cut], k), nearest(r_nm[:, cut:], k, first=cut)
    for merged in (merge_nearest(*parts), merge_nearest(*reversed(parts))):
        for ours, whole in zip(merged, nearest(r_nm, k), strict=True):
            np.testing.assert_array_equal(ours, whole)


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8), min_size=1, max_size=4))
def test_tuples_are_every_combination(pairs: list[list[tuple[int, int]]]) -> None:
    each = [sorted(set(p)) for p in pairs]
    assume(each[0])
    made = tuples([np.array(p, np.int32).reshape(-1, 2) for p in each])
    assert made.dtype == np.int32 and list(map(tuple, made.tolist())) == plain.plain_tuples(each)
