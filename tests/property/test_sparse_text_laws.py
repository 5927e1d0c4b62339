"""The laws of sparse text: scikit-learn's picks and numbers, whatever the pool, the block size and the screening."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.methods import sparse_text
from core.methods.sparse_text import EXHAUSTED, AtomScaling, SparseText, pursue, reconstruct, refit, text_atoms
from tests.reference.plain_sparse_text import PlainSparse, plain_atoms, plain_pursuit

U = 2.0**-53
few = settings(max_examples=60, deadline=None)


@st.composite
def problems(draw) -> tuple[np.ndarray, np.ndarray, int]:
    """Texts (w, o) float32, directions (n, o) and picks: broad and narrow pools, duplicates, directions in the span."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    width, texts = draw(st.integers(2, 40)), draw(st.integers(3, 400))
    pool = rng.standard_normal((texts, width)) * np.exp(-np.arange(width) / draw(st.sampled_from([2, 8, 100])))
    if draw(st.booleans()):  # clusters, as of synonyms: closer together than bfloat16 can tell
        pool = pool[rng.integers(0, min(texts, 12), texts)] + 1e-3 * pool
    if draw(st.booleans()):
        pool[texts // 2 :] = pool[: texts - texts // 2]
    directions = rng.standard_normal((draw(st.integers(1, 6)), width))
    if draw(st.booleans()):
        directions[0] = 3 * (pool[0] - pool.mean(0))
    return pool.astype(np.float32), directions, draw(st.integers(1, 50))


def rounding(atoms_wo: np.ndarray, index: list[int]) -> float:
    """What float64 leaves uncertain of a least squares fit by normal equations, relative to the direction."""
    return 100 * max(1, len(index)) * U * (np.linalg.cond(atoms_wo[index]) ** 2 if index else 1.0)


def safe_picks(plain: PlainSparse, atoms_wo: np.ndarray) -> int:
    """How many of the picks are neither ties, as far as rounding can tell, nor made of what rounding left."""
    for step, (margin, correlation) in enumerate(zip(plain.margin, plain.correlation, strict=True)):
        if margin < rounding(atoms_wo, plain.index[:step]) or correlation <= 2 * EXHAUSTED:
            return step
    return len(plain.index)


def agrees(ours: SparseText, row: int, plain: PlainSparse, atoms_wo: np.ndarray) -> None:
    """Fails where the picks part for another reason than a tie or the end of what is left."""
    index = [i for i in ours.index_nm[row].tolist() if i >= 0]
    assert ours.index_nm[row].tolist() == index + [-1] * (ours.index_nm.shape[1] - len(index)), "-1 only at the end"
    safe = safe_picks(plain, atoms_wo)
    assert len(index) >= safe
    for mine, theirs in zip(index[:safe], plain.index, strict=False):
        assert (atoms_wo[mine] == atoms_wo[theirs]).all(), "of equal atoms either may be named"
    bound = rounding(atoms_wo, index)
    np.testing.assert_allclose(ours.residual_nm[row, :safe], plain.residual[:safe], rtol=0, atol=bound)
    if index and len(index) == len(plain.index) == safe:
        largest = np.abs(plain.coefficient).max()
        np.testing.assert_allclose(ours.coefficient_nm[row, :safe], plain.coefficient, rtol=0, atol=largest * bound)


@few
@given(problems(), st.sampled_from(AtomScaling), st.sampled_from([torch.bfloat16, torch.float32]))
def test_supports_and_coefficients_are_scikit_learns(problem, scaling, screen) -> None:
    texts, directions, picks = problem
    plain_wo = plain_atoms(texts, scaling)
    atoms_wo = text_atoms(torch.from_numpy(texts), scaling)
    np.testing.assert_allclose(atoms_wo, plain_wo, rtol=0, atol=1e-12 * np.abs(plain_wo).max())
    ours = pursue(torch.from_numpy(directions), atoms_wo, picks, screen=screen)
    for row, direction in enumerate(directions):
        agrees(ours, row, plain_pursuit(direction, atoms_wo.numpy(), picks), atoms_wo.numpy())


@few
@given(problems(), st.sampled_from(AtomScaling))
def test_residuals_fall_and_are_orthogonal_to_what_was_picked(problem, scaling) -> None:
    texts, directions, picks = problem
    atoms_wo = text_atoms(torch.from_numpy(texts), scaling)
    directions_no = torch.from_numpy(directions)
    ours = pursue(directions_no, atoms_wo, picks)
    assert (ours.residual_nm.diff(dim=1, prepend=torch.ones(len(directions), 1)) <= 4 * U).all()
    left_no = directions_no - reconstruct(ours, atoms_wo)
    size_n = directions_no.norm(dim=1)
    for row, index in enumerate(ours.index_nm):
        index = index[index >= 0].tolist()
        assert len(set(index)) == len(index), "no text twice"
        bound = rounding(atoms_wo.numpy(), index)
        assert ((atoms_wo[index] @ left_no[row]).abs() <= bound * atoms_wo[index].norm(dim=1) * size_n[row]).all()
        left = float(left_no[row] @ left_no[row] / size_n[row] ** 2)
        assert abs(left - ours.residual_nm[row, -1]) <= bound
        if index:
            cosine = torch.cosine_similarity(reconstruct(ours, atoms_wo)[row], directions_no[row], dim=0)
            assert abs(cosine**2 - ours.cosine_nm[row, -1] ** 2) <= bound


@few
@given(problems(), st.data())
def test_a_shorter_pursuit_is_the_beginning_of_a_longer_one(problem, data) -> None:
    texts, directions, picks = problem
    atoms_wo, directions_no = text_atoms(torch.from_numpy(texts)), torch.from_numpy(directions)
    longer = pursue(directions_no, atoms_wo, picks)
    k = data.draw(st.integers(1, picks))
    shorter = pursue(directions_no, atoms_wo, k)
    fitted_nm = refit(directions_no, atoms_wo, shorter.index_nm)
    for row, direction in enumerate(directions):
        safe = min(k, safe_picks(plain_pursuit(direction, atoms_wo.numpy(), picks), atoms_wo.numpy()))
        assert torch.equal(shorter.index_nm[row, :safe], longer.index_nm[row, :safe])
        index = shorter.index_nm[row][shorter.index_nm[row] >= 0].tolist()
        bound = rounding(atoms_wo.numpy(), index)
        assert ((shorter.residual_nm[row, :safe] - longer.residual_nm[row, :safe]).abs() <= bound).all()
        largest = shorter.coefficient_nm[row].abs().max()
        assert ((fitted_nm[row] - shorter.coefficient_nm[row]).abs() <= bound * largest).all()


@few
@given(problems(), st.data())
def test_order_block_screening_and_the_crowd_rule_change_nothing(problem, data) -> None:
    texts, directions, picks = problem
    atoms_wo = text_atoms(torch.from_numpy(texts))
    directions_no = torch.from_numpy(directions)
    want = pursue(directions_no, atoms_wo, picks)
    order = torch.tensor(data.draw(st.permutations(range(len(directions)))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_text, "_CROWD", data.draw(st.sampled_from([0, 1, 64])))
        patch.setattr(sparse_text, "_SLICE", data.draw(st.sampled_from([3, 50, 8192])))
        patch.setattr(sparse_text, "SCORES", data.draw(st.sampled_from([1, len(texts) * 2, 2**26])))
        screen = data.draw(st.sampled_from([torch.bfloat16, torch.float16, torch.float32, None]))
        got = pursue(directions_no[order], atoms_wo, picks, block=data.draw(st.integers(1, 7)), screen=screen)
    for row, source in enumerate(order.tolist()):
        plain = plain_pursuit(directions[source], atoms_wo.numpy(), picks)
        safe = safe_picks(plain, atoms_wo.numpy())
        assert torch.equal(got.index_nm[row, :safe], want.index_nm[source, :safe])
        bound = rounding(atoms_wo.numpy(), plain.index[:safe])
        assert ((got.residual_nm[row, :safe] - want.residual_nm[source, :safe]).abs() <= bound).all()
