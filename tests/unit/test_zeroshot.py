"""Zero-shot accuracy against a plain twin, with ties, unlabelled images and memory-mapped input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.text.zeroshot import zero_shot_accuracy
from tests.reference.plain_text import plain_zero_shot


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 30), st.integers(1, 40))
def test_equals_the_plain_twin(seed, classes, n, block):
    rng = np.random.default_rng(seed)
    # small integers: products are exact, and ties are common
    reps = rng.integers(-2, 3, size=(n, 3)).astype(np.float16)
    class_emb = rng.integers(-2, 3, size=(classes, 3)).astype(np.float32)
    labels = rng.integers(-1, classes, size=n)
    labels[0] = 0
    got = zero_shot_accuracy(reps, labels, class_emb, block)
    top1, top5, per_class = plain_zero_shot(reps.astype(np.float32), labels, class_emb)
    assert (got["top1"], got["top5"], got["n"]) == (top1, top5, (labels >= 0).sum())
    np.testing.assert_array_equal(got["per_class"], per_class)


def test_a_memmap_and_rows_without_a_class(tmp_path):
    reps = np.eye(4, dtype=np.float16)
    reps[3] = np.nan  # a quarantined image
    np.save(tmp_path / "reps.npy", reps)
    mapped = np.load(tmp_path / "reps.npy", mmap_mode="r")
    got = zero_shot_accuracy(mapped, np.array([0, 1, 0, -1]), np.eye(4, dtype=np.float32)[:3], block=2)
    assert (got["top1"], got["top5"], got["n"]) == (2 / 3, 1.0, 3)
    assert got["per_class"][:2] == [0.5, 1.0]
    assert np.isnan(got["per_class"][2])


@pytest.mark.parametrize(
    ("reps", "labels", "classes", "message"),
    [
        (np.eye(3), [0, 1], np.eye(3), "expected"),
        (np.eye(3), [0, 1, 2], np.eye(4), "expected"),
        (np.eye(3), [0, 1, 3], np.eye(3), "below 3"),
        (np.eye(3), [0.0, 1.0, 2.0], np.eye(3), "class numbers"),
        (np.eye(3), [-1, -1, -1], np.eye(3), "no image"),
        (np.full((3, 3), np.nan), [0, 1, 2], np.eye(3), "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(reps, labels, classes, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_accuracy(reps, np.array(labels), classes)
