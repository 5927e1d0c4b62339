"""Rosetta matching: what is refused and why, clusters, the null level, and concepts on tables small enough to see."""

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.methods.rosetta import (
    BLOCK,
    MIN_IMAGES,
    SELF_R,
    Correlator,
    Neighbours,
    best,
    clusters,
    concepts,
    level,
    mutual,
    nearest,
    tile_bytes,
    tuples,
)
from tests.reference.plain_rosetta import plain_clusters

A, B = ("cnn", "layer1"), ("vit", "L3")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def maps(images: int, seed: int = 0) -> dict[tuple[str, str], torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {A: torch.randn(images, 3, 4, 6, generator=rng), B: torch.randn(images, 2, 5, 5, generator=rng)}


def test_a_batch_that_cannot_be_added_is_refused_and_changes_nothing() -> None:
    made = Correlator([(A, B)])
    with pytest.raises(InputError, match="No image has been compared yet"):
        made.correlation(A, B)
    made.update(maps(BLOCK))
    before = made.state()
    good = maps(BLOCK)
    nan = good[B].clone()
    nan[3, 1, 0, 0] = torch.nan
    for bad, sentence in (
        ({A: good[A]}, "no maps of"),
        ({**good, B: good[B][:3]}, "the same images"),
        ({**good, B: nan}, "NaN or infinity"),
        ({**good, A: good[A][:, :2]}, r"are \(2, 4, 6\) an image; expected units, height, width: \(3, 4, 6\)"),
        ({**good, A: good[A].flatten(2)}, "expected units, height, width"),
    ):
        with pytest.raises(ValueError, match=sentence):
            made.update(bad)
    assert all(np.array_equal(before[name], value) for name, value in made.state().items())
    made.update(maps(0))
    made.update(maps(5))
    with pytest.raises(ValueError, match="21 images so far, no multiple of 16"):
        made.update(maps(BLOCK))


def test_a_null_needs_images() -> None:
    made = Correlator([(A, B)], null=[(B, A)])
    made.update(maps(MIN_IMAGES - 1))
    made.correlation(A, B)
    with pytest.raises(InputError, match="31 images are too few to tell a match from chance: at least 32"):
        made.shuffled(A, B)
    with pytest.raises(ValueError, match="which are no tiles"):
        Correlator([(A, A)], null=[(A, B)])
    plain = Correlator([(A, B)])
    plain.update(maps(MIN_IMAGES))
    with pytest.raises(KeyError):
        plain.shuffled(A, B)


def test_states_of_other_passes_are_refused() -> None:
    made = Correlator([(A, B)])
    made.update(maps(BLOCK))
    state = made.state()
    other = Correlator([(A, B)])
    other.update({**maps(BLOCK), B: torch.randn(BLOCK, 2, 3, 3)})
    for into, bad, sentence in (
        (Correlator([(A, A)]), state, "other layers"),
        (Correlator([(A, B)], null=[(A, B)]), state, "other layers"),
        (Correlator([(A, B)]), {k: v for k, v in state.items() if k != "sums.0"}, "damaged state of a Correlator"),
        (Correlator([(A, B)]), {**state, "sums.0": state["sums.0"][:1]}, "damaged state of a Correlator"),
        (other, state, "another size"),
    ):
        with pytest.raises(ValueError, match=sentence):
            into.load(bad)
    empty = Correlator([(A, B)])
    empty.load(Correlator([(A, B)]).state())
    assert empty.count == 0


def test_sums_made_in_inference_mode_go_on_outside_of_it() -> None:
    made = Correlator([(A, B)])
    with torch.inference_mode():
        made.update(maps(BLOCK))
    made.update(maps(BLOCK))
    assert made.count == 2 * BLOCK


def test_a_tile_takes_what_is_said() -> None:
    made = Correlator([(A, B)], null=[(A, B)])
    made.update(maps(BLOCK))
    held = sum(value.nbytes for name, value in made.state().items() if name.startswith("sums"))
    assert held == 3 * 2 * 8 * 2 and tile_bytes(3, 2, null=True) == held + 3 * 2 * 12


def test_many_units_are_multiplied_in_strips() -> None:
    given = {A: torch.randn(2, 600, 1, 2), B: torch.randn(2, 520, 2, 2)}
    made = Correlator([(A, B)])
    made.update(given)
    wide = torch.nn.functional.interpolate(given[A], size=(2, 2), mode="bilinear")
    rows = [each.transpose(0, 1).flatten(1).double() for each in (wide, given[B])]
    want = torch.corrcoef(torch.cat(rows))[:600, 600:]
    torch.testing.assert_close(made.correlation(A, B), want, rtol=0, atol=3e-6)


def test_a_large_offset_costs_no_digits() -> None:
    given = maps(64)
    shifted = {key: each + 1000 for key, each in given.items()}
    one, other = Correlator([(A, B)]), Correlator([(A, B)])
    one.update({key: each - 1000 for key, each in shifted.items()})  # the same rounding of the maps
    other.update(shifted)
    torch.testing.assert_close(one.correlation(A, B), other.correlation(A, B), rtol=0, atol=1e-6)


def test_clusters_are_those_of_walking_and_named_by_first_appearance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        units = rng.permutation(20)[: rng.integers(0, 12)]
        pairs = rng.integers(0, 20, (rng.integers(0, 12), 2))
        assert clusters(units, pairs).tolist() == plain_clusters(units.tolist(), pairs.tolist())


def test_constant_units_are_nobodys_neighbour_and_count_for_no_level() -> None:
    r = np.array([[0.0, -0.2, -0.5], [0.0, 0.9, 0.3]])
    assert nearest(r, 2)[0].tolist() == [[1, 2], [1, 2]] and nearest(r.T, 2)[0].tolist() == [[-1, -1], [1, 0], [1, 0]]
    by_row, by_column = best(r)
    np.testing.assert_array_equal(by_column, np.float32([np.nan, 0.9, 0.3]))
    assert level(by_row, by_column) == pytest.approx(np.quantile([0.3, 0.9], 0.99))  # the larger side's
    assert np.isnan(level(np.full(3, np.nan), np.full(2, np.nan)))
    assert not len(mutual(*(nearest(np.zeros((2, 3)), 5)[0] for _ in range(2))))
    assert tuples([np.empty((0, 2), np.int32)] * 2).shape == (0, 3)


def neighbours(r: np.ndarray, shuffled: np.ndarray | float = 0.0, chance: float = 0.3) -> Neighbours:
    index, value = nearest(r, 2)
    null = np.take_along_axis(np.broadcast_to(np.float32(shuffled), r.shape), index, 1)
    return Neighbours(index, value, null, nearest(r.T, 2)[0], chance)


def test_concepts_by_hand() -> None:
    """Hub units 0 and 1 are alike; 2 is alone; 3 matches below chance; 4 matches where the shuffle does as well."""
    first = np.full((5, 4), 0.01)
    first[0, 0], first[1, 0], first[2, 1], first[3, 2], first[4, 3] = 0.8, 0.9, 0.5, 0.2, 0.6
    shuffled = np.zeros((5, 4))
    shuffled[4, 3], shuffled[0, 0] = 0.7, 0.4
    second = np.full((5, 2), 0.01)
    second[0, 1] = 0.7
    own = np.eye(5)
    own[0, 1] = own[1, 0] = 0.75
    own[2, 3] = own[3, 2] = 0.95
    own[1, 2] = own[2, 1] = 0.6
    index, value = nearest(own, 2, own=True)
    found = concepts([neighbours(first, shuffled), neighbours(second)], index, value)
    one, other = found
    assert (one.anchor, one.models, one.hub_u.tolist()) == (0, 3, [0, 1])
    assert one.strength == pytest.approx((0.6 + 0.4) / 2)  # unit 1's 0.9 and unit 0's 0.7, each above 0.3
    assert (one.model_p.tolist(), one.unit_p.tolist(), one.hub_p.tolist()) == ([0, 1], [0, 1], [1, 0])
    np.testing.assert_allclose(one.r_p, [0.9, 0.7], atol=1e-7)
    np.testing.assert_allclose(one.null_p, [0.3, 0.3], atol=1e-7)
    assert (other.anchor, other.models, other.hub_u.tolist(), other.unit_p.tolist()) == (2, 2, [2], [1])
    assert other.strength == pytest.approx(0.2 / 2)
    joined = concepts([neighbours(first, shuffled), neighbours(second)], index, value, self_r=0.5)
    assert [each.hub_u.tolist() for each in joined] == [[0, 1, 2]] and SELF_R > 0.5


def test_models_that_share_nothing_have_no_concepts() -> None:
    index, value = nearest(np.eye(3), 2, own=True)
    assert concepts([], index, value) == []
    assert concepts([neighbours(np.full((3, 2), 0.25)), neighbours(np.zeros((3, 4)))], index, value) == []
    assert concepts([neighbours(np.full((3, 2), 0.25), chance=float("nan"), shuffled=0.3)], index, value) == []
