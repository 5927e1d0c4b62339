"""Columns of a manifest as groups of images and as the truth about a concept."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from core.columns import as_text, groups, says, truth
from core.errors import InputError


def test_text_groups_as_it_is_in_order_and_missing_values_have_no_group() -> None:
    found = groups("place", pa.array(["snow", None, "beach", "snow", "beach"]))
    assert found.names == ("beach", "snow") and found.code_i.tolist() == [1, -1, 0, 1, 0]
    assert (found.kind, found.ordered, found.missing) == ("names", False, 1)
    encoded = groups("place", pa.array(["snow", None, "beach", "snow"]).dictionary_encode())
    assert encoded.names == ("beach", "snow") and encoded.code_i.tolist() == [1, -1, 0, 1]


def test_years_stay_whole_and_in_order() -> None:
    found = groups("year", pa.array([2012, 2010, None, 2012, 2011]))
    assert found.names == ("2010", "2011", "2012") and found.code_i.tolist() == [2, 0, -1, 2, 1]
    assert found.kind == "numbers" and found.ordered


def test_other_numbers_fall_into_bins_of_as_many_images() -> None:
    x = np.random.default_rng(0).lognormal(size=1_200)
    found = groups("size", pa.array([*x, None, np.nan, np.inf]))
    assert found.kind == "bins" and len(found.names) == 12 and found.missing == 3
    counts = np.bincount(found.code_i[:1_200])
    assert counts.min() >= 99 and counts.max() <= 101
    order = np.argsort(x)
    assert (np.diff(found.code_i[order]) >= 0).all() and found.code_i[order[0]] == 0 and found.code_i[order[-1]] == 11


def test_many_equal_numbers_make_fewer_bins_and_no_image_is_lost() -> None:
    found = groups("score", pa.array([0.0] * 900 + [i / 100 for i in range(100)]))
    assert found.kind == "bins" and 1 <= len(found.names) < 12
    assert found.missing == 0 and np.bincount(found.code_i).sum() == 1_000


def test_dates_group_by_year_or_within_one_year_by_month() -> None:
    days = [dt.date(2019, 5, 1), dt.date(2020, 5, 2), None, dt.date(2019, 7, 3)]
    found = groups("taken", pa.array(days))
    assert found.names == ("2019", "2020") and found.code_i.tolist() == [0, 1, -1, 0] and found.kind == "dates"
    stamps = pa.array([dt.datetime(2019, 5, 1, 3), dt.datetime(2019, 7, 2)], pa.timestamp("us", tz="UTC"))
    assert groups("taken", stamps).names == ("2019-05", "2019-07")


def test_truth_values_group_too() -> None:
    found = groups("mixed", pa.array([True, False, None]))
    assert found.names == ("false", "true") and found.code_i.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([f"{i}.jpg" for i in range(50)]), "50 values for 50 images: it names images"),
        (pa.array([None, None], pa.string()), "no value for any measured image"),
        (pa.array([[1], [2]]), "holds list"),
        (pa.array([b"x", b"y"]), "holds binary"),
    ],
)
def test_columns_that_group_nothing_are_told(values: pa.Array, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        groups("it", values)


def test_truth_is_equality_or_else_the_words() -> None:
    column = pa.array(["Sepia", "a sepia photo of a cat", None, "colour"])
    found = truth("style", column, "sepia")
    assert not found.contains and found.missing == 1 and str(found) == "style is sepia"
    np.testing.assert_array_equal(found.true_i, [1, 0, np.nan, 0])
    words = truth("caption", column, "CAT")
    assert words.contains and str(words) == "caption contains CAT"
    np.testing.assert_array_equal(words.true_i, [0, 1, np.nan, 0])
    with pytest.raises(InputError, match="No measured image has 'ca'"):
        truth("caption", column, "ca")  # part of a word is no word
    np.testing.assert_array_equal(truth("count", pa.array([1, 2, None, 2]), "2").true_i, [0, 1, np.nan, 1])
    np.testing.assert_array_equal(truth("mixed", pa.array([True, False]), "true").true_i, [1, 0])
    with pytest.raises(InputError, match="says nothing of a concept"):
        truth("boxes", pa.array([[1], [2]]), "1")


def test_only_text_and_truth_values_say_something_by_themselves() -> None:
    assert says(pa.string()) and says(pa.bool_()) and says(pa.dictionary(pa.int32(), pa.string()))
    assert not says(pa.int64()) and not says(pa.list_(pa.string()))
    assert as_text(pa.array([1.5, None, np.nan])) == ["1.5", None, None]
