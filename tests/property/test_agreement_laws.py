"""Laws of agreement: what is counted without tables equals the packages', for any answers with any gaps."""

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from core.labels.agreement import counted_alphas, kappa

few = settings(max_examples=100, deadline=None)


@few
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(2, 6)), min_size=2, max_size=40))
def test_kappa_is_the_package_s(answers: list[tuple[int, int]]) -> None:
    """Some answers of either are never the other's."""
    first, second = np.array(answers).T
    if len({*first.tolist(), *second.tolist()}) > 1:
        assert kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


@few
@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 3, None]), min_size=4, max_size=4), min_size=1, max_size=20))
def test_alpha_is_the_package_s(table: list[list[int | None]]) -> None:
    units = [row for row in ([value for value in each if value is not None] for each in table) if len(row) > 1]
    if len({value for row in units for value in row}) < 2:
        return
    data = np.array([[np.nan if value is None else value for value in row] for row in table], float).T
    unit_j, answer_j = np.repeat(np.arange(len(units)), [len(row) for row in units]), np.concatenate(units)
    (ours,) = counted_alphas(unit_j, answer_j, np.ones((1, len(units))))
    assert ours == pytest.approx(krippendorff.alpha(data, level_of_measurement="nominal"), abs=1e-12)
