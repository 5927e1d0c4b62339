"""Scans, measures of columns, the image table: against plain loops, on arrays larger than their limits."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.bundle.read import Bundle, open_bundle
from core.errors import AddressError, BundleMissing, InputError
from core.store import Store
from core.store.heads import short_label
from core.store.measures import Groups, as_groups, follows
from core.store.scan import scan, spread_ids
from tests.bundle_maker import QUARANTINED, make
from tests.reference.plain_store import correlation_ratio
from tests.reference.plain_textspan import plain_explained


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make(tmp_path_factory.mktemp("made") / "0123abcd"))


@pytest.fixture(scope="module")
def store(bundle: Bundle) -> Store:
    return Store(bundle)


def test_spread_ids_takes_all_that_are_usable_below_the_limit() -> None:
    ok = np.array([True, False, True, True])
    assert spread_ids(ok, limit=4).tolist() == [0, 2, 3]


def test_spread_ids_covers_first_to_last_in_runs_without_repeats() -> None:
    ok = np.ones(10_007, bool)
    ok[::7] = False
    ids = spread_ids(ok, limit=800, run=8)
    assert (np.diff(ids) > 0).all() and ok[ids].all()
    assert 800 * 5 / 7 - 100 <= len(ids) <= 800
    assert ids[0] < 8 and ids[-1] >= 10_007 - 8
    assert np.histogram(ids, bins=10, range=(0, 10_007))[0].min() > 40  # every tenth has its share of about 69


@pytest.mark.parametrize("n", [1, 40_000])  # one block, and several with a short last one
def test_scan_equals_the_plain_product(n: int) -> None:
    rng = np.random.default_rng(0)
    r, direction = rng.standard_normal((n, 4)).astype(np.float16), rng.standard_normal(4)
    for ids in (np.arange(n), np.sort(rng.choice(n, max(1, n // 2), replace=False))):
        expected = [sum(float(r[i, c]) * direction[c] for c in range(4)) for i in ids]
        np.testing.assert_allclose(scan(r, ids, direction), expected, rtol=0, atol=4e-6)  # fp32 sums of four terms


def test_a_heads_correlation_with_groups_is_the_corrected_ratio() -> None:
    rng = np.random.default_rng(1)
    names = [["sea", "wall", "sky"][i] for i in rng.integers(0, 3, 90)]
    offset = {"sea": 2.0, "wall": 0.0, "sky": 0.3}
    r = rng.standard_normal((90, 5)) + np.array([[offset[name], 0, 0, 0, 0] for name in names])
    column = as_groups(pa.array(names))
    assert isinstance(column, Groups) and column.names == ("sea", "sky", "wall")
    eta, value = follows(r, column)
    assert eta == pytest.approx(correlation_ratio(r, names), abs=1e-12) and 0.3 < eta < 0.9
    assert value == "sea"


def test_groups_made_by_chance_are_not_followed() -> None:
    """Uncorrected, 40 groups of 200 images would look like η = √(39/199) = 0.44."""
    rng = np.random.default_rng(2)
    eta = [
        follows(rng.standard_normal((200, 8)), Groups(rng.integers(0, 40, 200), tuple("x" * 40)))[0] for _ in range(20)
    ]
    assert np.mean(np.square(eta)) < 0.03


def test_numbers_are_followed_linearly_and_missing_ones_left_out() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(300)
    r = np.outer(x, [3.0, 0, 4.0]) + rng.standard_normal((300, 3))
    given = [None if i % 10 == 0 else float(v) for i, v in enumerate(x)]
    column = as_groups(pa.array(given))
    assert isinstance(column, np.ndarray)
    kept = np.array([v is not None for v in given])
    expected = (
        sum(np.corrcoef(x[kept], r[kept, c])[0, 1] ** 2 * r[kept, c].var() for c in range(3)) / r[kept].var(0).sum()
    )
    assert follows(r, column) == (pytest.approx(np.sqrt(expected), abs=1e-12), "")


@pytest.mark.parametrize(
    "values",
    [["a"] * 9, [f"unique {i}" for i in range(9)], [None] * 9, [[1]] * 9, [0.5] * 9],
    ids=["one value", "unique", "null", "lists", "constant"],
)
def test_columns_that_cannot_be_followed(values: list) -> None:
    assert as_groups(pa.array(values)) is None


def test_small_integers_are_groups_and_many_are_numbers() -> None:
    assert isinstance(as_groups(pa.array([1, 2, 3] * 5)), Groups)
    assert isinstance(as_groups(pa.array(list(range(60)))), np.ndarray)


def test_image_rows(store: Store) -> None:
    info = store.image(8)
    assert (info.path, info.label, info.width, info.height, info.ok) == ("class0/8.jpg", "class0", 8, 6, True)
    assert info.columns == {"caption": "image 8"}
    assert not store.image(QUARANTINED[0]).ok


@pytest.mark.parametrize("odd", [-1, 40, 10**30, "3", 1.5, True, None])
def test_ids_that_are_not_there(store: Store, odd: object) -> None:
    for ask in (store.image, store.thumbnail):
        with pytest.raises(AddressError, match=r"images 0 to 39"):
            ask(odd)


def test_images_in_quarantine_have_no_neighbours_and_are_none(store: Store) -> None:
    with pytest.raises(AddressError, match=r"class1/7.jpg.*truncated"):
        store.similar(QUARANTINED[0])
    with pytest.raises(AddressError, match="truncated"):
        store.similar_in_head("L2.H0", QUARANTINED[0])
    found = {hit.image_id for hit in store.similar(0, 500).hits}
    assert found == set(range(40)) - set(QUARANTINED) - {0}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, list(range(40))),
        ({"class": "class1"}, list(range(1, 40, 2))),
        ({"class": ["class0", "class1"], "path": "CLASS1/3"}, [3, 31, 33, 35, 37, 39]),
        ({"caption": "image 5"}, [5]),
        ({"caption": ("image 1", "image 11")}, [1, 10, 11]),
        ({"class": "none such"}, []),
    ],
)
def test_search(store: Store, filters: dict, expected: list[int]) -> None:
    page = store.search_images(filters, limit=500)
    assert (list(page.ids), page.total, page.of) == (expected, len(expected), 40)
    page = store.search_images(filters, limit=2, offset=1)
    assert (list(page.ids), page.total) == (expected[1:3], len(expected))


@pytest.mark.parametrize("filters", [{"nothing": 1}, {"sha256": "00"}, {"class": (1, 2)}, {"class": [object()]}])
def test_search_refuses_with_a_sentence(store: Store, filters: dict) -> None:
    with pytest.raises(InputError, match=r"\.$"):
        store.search_images(filters)


def test_random_images_are_usable_different_and_the_same_again(store: Store) -> None:
    drawn = [store.random(seed, 10) for seed in range(50)]
    assert drawn == [store.random(seed, 10) for seed in range(50)]
    assert all(len(set(ids)) == 10 for ids in drawn) and len(set(drawn)) > 40
    everyone = {i for ids in drawn for i in ids}
    assert everyone == set(range(40)) - set(QUARANTINED)
    assert len(store.random(0, 500)) == 38


def test_thumbnails(store: Store, tmp_path: Path) -> None:
    assert store.thumbnail(0) == b"\0\0\0" and store.thumbnail(QUARANTINED[0]) == b""


def test_a_bundle_without_thumbnails_says_what_to_do(tmp_path: Path) -> None:
    bundle = open_bundle(make(tmp_path / "b"))
    for name in ("thumbs/thumbs.bin", "thumbs/offsets.npy"):
        del bundle.facts["files"][name]
    with pytest.raises(BundleMissing, match="Run precompute again"):
        Store(bundle).thumbnail(0)


@pytest.mark.parametrize("address", ["L1.H0", "L2.H2", "H0", "L2.N4", "../x", "<b>", "L2.H0" * 9_000])
def test_heads_that_are_not_there(store: Store, address: str) -> None:
    for ask in (store.head, store.ends, store.intervals, store.histogram):
        with pytest.raises(AddressError):
            ask(address)


@pytest.mark.parametrize("pick", [-1, 3, 10**9, True, "0"])
def test_picks_that_are_not_there(store: Store, pick: object) -> None:
    for ask in (store.ends, store.intervals, store.histogram):
        with pytest.raises(AddressError, match="was asked for"):
            ask("L2.H0", pick)


def test_vectors_that_do_not_fit(store: Store) -> None:
    bad = np.full(16, np.nan)
    for ask in (store.images_for_text, store.heads_for_text, store.similar):
        for vector in (bad, np.zeros(3)):
            with pytest.raises(InputError, match="finite"):
                ask(vector)
    with pytest.raises(InputError, match="At least one"):
        store.similar(0, 0)
    with pytest.raises(InputError, match="12 texts"):
        store.relabel(["a"] * 12, np.zeros((11, 16)))
    with pytest.raises(InputError, match="no measure"):
        store.grid("column:caption")
    with pytest.raises(InputError, match="ranked by"):
        store.heads_for_text(np.zeros(16), by="x")


def test_the_baseline_of_a_heads_texts(store: Store, bundle: Bundle) -> None:
    """From the images' own coordinates, by least squares, for the draws that it says it makes."""
    found = store.baseline("L3.H1")
    picks = len(store.head("L3.H1").texts)
    r = np.delete(bundle.array("r")[1, 1].astype(np.float64), QUARANTINED, axis=0)
    texts = bundle.array("text_embeddings").astype(np.float64) @ bundle.array("basis")[1, 1]
    curves = []
    for seed in range(found.draws):
        rows = np.random.default_rng(seed).choice(12, picks, replace=False)
        curves.append(plain_explained(r, texts[rows]))
    assert found.draws == 20 and picks > 0
    # texts enter the head in float32
    np.testing.assert_allclose(found.random_m, np.mean(curves, axis=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.low_m, np.min(curves, axis=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.high_m, np.max(curves, axis=0), rtol=0, atol=1e-5)
    assert (found.best_m >= found.high_m - 1e-9).all() and len(found.best_m) == picks
    assert (found.pool_texts, found.dimensions, str(found.population)) == (12, 4, "of 38 images")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("sea", "a wall"), "sea; a wall"),
        (
            ("something in the woods", "a black and white picture of a plain", "x"),
            "something in the woods; a black and white picture of a…",
        ),
        (("x" * 40, "y" * 18, "z"), "x" * 40 + "…"),
        (("x" * 90,), "x" * 59 + "…"),
    ],
)
def test_labels_are_cut_between_words(texts: tuple[str, ...], expected: str) -> None:
    assert short_label(texts) == expected
