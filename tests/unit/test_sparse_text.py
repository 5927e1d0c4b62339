"""Sparse text at its edges: pools that repeat or end, directions with nothing in them, scores too close to screen."""

import numpy as np
import pytest
import torch

from core.errors import PoolError
from core.methods.sparse_text import AtomScaling, pursue, reconstruct, text_atoms
from tests.reference.plain_sparse_text import plain_pursuit


def texts(seed: int, w: int, o: int) -> torch.Tensor:
    return torch.randn(w, o, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("pool", "says"),
    [
        (torch.ones(1, 4), "has 1 text and no two differ"),
        (texts(0, 1, 6).repeat(5, 1), "has 5 texts and no two differ"),
        (torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), "not finite"),
        (torch.zeros(0, 4), "one row a text"),
    ],
)
def test_a_pool_that_says_nothing_is_refused(pool: torch.Tensor, says: str) -> None:
    for scaling in AtomScaling:
        with pytest.raises(PoolError, match=says):
            text_atoms(pool, scaling)


def test_what_does_not_fit_is_refused() -> None:
    atoms = text_atoms(texts(1, 9, 4))
    for directions, picks, says in (
        (torch.ones(2, 5), 3, "expected"),
        (torch.ones(2, 4), 0, "at least one"),
        (torch.full((2, 4), torch.inf), 3, "NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=says):
            pursue(directions, atoms, picks)


def test_a_constant_dimension_and_a_text_at_the_mean_are_no_division_by_zero() -> None:
    pool = texts(2, 8, 5).double()
    pool[:, 3] = 0.5
    pool[7] = pool[:7].mean(0)
    for scaling in AtomScaling:
        atoms = text_atoms(pool, scaling)
        assert atoms.isfinite().all() and (atoms[:, 3] == 0).all()
        result = pursue(texts(3, 4, 5), atoms, 8)
        assert 7 not in result.index_nm
        assert (result.residual_nm[:, -1] > 0).all(), "the constant dimension cannot be written"


def test_of_equal_texts_the_first_is_picked_and_only_once() -> None:
    pool = texts(4, 12, 30)
    result = pursue(texts(5, 20, 30), text_atoms(torch.cat([pool, pool, pool])), 30)
    assert result.index_nm.max() < 12
    for index in result.index_nm:
        assert len(set(index[index >= 0].tolist())) == 11, "twelve centred texts span eleven dimensions"
    assert (result.coefficient_nm[result.index_nm < 0] == 0).all()
    assert result.residual_nm.isfinite().all()


def test_a_direction_that_is_written_exactly_ends_there() -> None:
    atoms = text_atoms(texts(6, 50, 16))
    directions = torch.stack([-7 * atoms[31], atoms[3] + 0.5 * atoms[40], torch.zeros(16, dtype=torch.float64)])
    result = pursue(directions, atoms, 20)
    assert result.index_nm[0].tolist() == [31] + [-1] * 19
    assert result.coefficient_nm[0, 0] == pytest.approx(-7, rel=1e-14)
    assert result.residual_nm[0].max() < 1e-28
    ended = int((result.index_nm[1] >= 0).sum())
    assert result.residual_nm[1, ended - 1 :].max() < 1e-20
    assert (reconstruct(result, atoms) - directions).abs().max() < 1e-10
    # nothing is said about a zero direction, and it disturbs nobody
    assert (result.index_nm[2] == -1).all()
    assert (result.coefficient_nm[2] == 0).all()
    assert (result.residual_nm[2] == 1).all() and (result.cosine_nm[2] == 0).all()


def test_no_directions_give_an_empty_result() -> None:
    result = pursue(torch.zeros(0, 4), text_atoms(texts(1, 9, 4)), 3)
    assert [tuple(x.shape) for x in (result.index_nm, result.coefficient_nm, result.residual_nm)] == [(0, 3)] * 3


@pytest.mark.parametrize("screen", [torch.bfloat16, torch.float16, torch.float32])
def test_scores_closer_than_the_screening_can_tell(screen: torch.dtype) -> None:
    """2,000 texts within 1e-3 of one another: thousands of candidates a pick, and the right one among them."""
    pool = texts(7, 2000, 24) * 1e-3
    pool[:, 0] += torch.where(torch.arange(2000) % 2 == 0, 1, -1)
    atoms = text_atoms(pool)
    directions = torch.eye(24)[:3] + 0.01 * texts(8, 3, 24)
    result = pursue(directions, atoms, 6, screen=screen)
    for row in range(3):
        plain = plain_pursuit(directions[row].numpy(), atoms.numpy(), 6)
        assert min(plain.margin) > 1e-9, "an example without ties"
        assert result.index_nm[row].tolist() == plain.index
        np.testing.assert_allclose(result.coefficient_nm[row], plain.coefficient, rtol=1e-7)


def test_float32_atoms_are_pursued_as_the_numbers_they_are() -> None:
    atoms = text_atoms(texts(9, 300, 20)).float()
    result = pursue(texts(10, 5, 20), atoms, 8)
    for row, direction in enumerate(texts(10, 5, 20).numpy()):
        plain = plain_pursuit(direction, atoms.numpy(), 8)
        assert result.index_nm[row].tolist() == plain.index
        np.testing.assert_allclose(result.coefficient_nm[row], plain.coefficient, rtol=1e-10)


def test_progress_ends_at_the_total() -> None:
    seen: list[tuple[int, int]] = []
    pursue(
        texts(11, 10, 8),
        text_atoms(texts(12, 6, 8)),
        7,
        block=4,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (70, 70)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {70}


def test_texts_a_millionth_apart_leave_the_fit_orthogonal() -> None:
    """Condition 1e6, coefficients up to 1e6: still no text twice, and nothing left along those picked."""
    pool = texts(13, 6, 40).double().repeat(3, 1)
    pool += 1e-6 * texts(14, 18, 40)
    atoms = text_atoms(pool)
    directions = texts(15, 10, 40).double()
    result = pursue(directions, atoms, 18)
    left = directions - reconstruct(result, atoms)
    for row, index in enumerate(result.index_nm):
        index = index[index >= 0]
        assert len(index) >= 12 and len(set(index.tolist())) == len(index)
        # coefficients up to 1e6, each rounded to 2⁻⁵³
        assert (atoms[index] @ left[row]).abs().max() < 1e-8


def test_where_only_rounding_is_left_no_text_is_picked_twice() -> None:
    """A pool so narrow that rounding outweighs what its last dimensions hold: a residual is no longer orthogonal to all
    that was picked, and the next best text is one of those."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pool = rng.standard_normal((53, 38)) * np.exp(-np.arange(38) / 2)
        atoms_wo = text_atoms(torch.from_numpy(pool.astype(np.float32)))
        found = pursue(torch.from_numpy(rng.standard_normal((2, 38))), atoms_wo, 38)
        for index in found.index_nm.tolist():
            picked = [i for i in index if i >= 0]
            assert len(picked) == len(set(picked)) > 10 and index == picked + [-1] * (38 - len(picked))
