"""Scores of a bundle's labels against the bundle's arrays, image by image."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.bundle.read import open_bundle
from core.errors import AddressError, InputError
from core.methods import label_scores as method
from core.store import Store
from core.store.label_scores import RANDOM_TEXTS
from tests import bundle_maker
from tests.reference.plain_label_scores import plain_figures

ROUNDED = 2e-6  # cosines are float32, half a million of whose units in the last place make one
EVERYTHING = ("pearson", "auprc", "f1", "auroc")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(open_bundle(bundle_maker.make(tmp_path_factory.mktemp("bundles") / "tiny-0123abcd")))


def plain(store: Store, address: str, text_o: np.ndarray, sign: int = 1, without: tuple[int, ...] = ()) -> dict:
    """By definition, over the images that the store has numbers of."""
    scores = store.units.scores(address)
    assert scores is not None
    rows = [n for n, image in enumerate(scores.id_n) if image not in without]
    unit_no = np.asarray(store.bundle.array("representations"), np.float32)[scores.id_n[rows]]
    number = sign * scores.score_n[rows]
    return plain_figures((unit_no @ text_o).tolist(), number.tolist(), method.positives(number).tolist())


def test_every_kind_of_unit_is_scored_by_definition(store: Store) -> None:
    scores = store.label_scores
    rows = [int(row) for row in store.bundle.array("pair_text_rows")]
    pool = store.bundle.table("pool")["text"].to_pylist()
    for address in ("L3.H1", "L2.N4", store.units.address("pair", rows[2])):
        for end, sign in (("+", 1), ("-", -1)):
            made = scores.score(address, end, None, pool[3], draws=20)
            assert made is not None and made.by == "text"
            expected = plain(store, address, store.bundle.array("text_embeddings")[3], sign)
            for name in EVERYTHING:
                assert getattr(made, name).value == pytest.approx(expected[name], abs=ROUNDED), (address, end, name)
            assert set(made.random) == set(EVERYTHING) and made.random["pearson"].low <= made.random["pearson"].high


def test_ends_are_mirror_images(store: Store) -> None:
    text = store.bundle.table("pool")["text"][1].as_py()
    plus, minus = (store.label_scores.score("L1.N2", end, None, text, draws=20) for end in "+-")
    assert plus and minus and plus.pearson.value == -minus.pearson.value
    assert (plus.pearson.low, plus.pearson.high) == pytest.approx((-minus.pearson.high, -minus.pearson.low))


def test_images_that_were_shown_are_left_out(store: Store) -> None:
    ids = store.bundle.array("neuron_image_ids")[:7].tolist()
    text_o = np.asarray(store.bundle.array("text_embeddings")[5])
    whole = store.label_scores.score("L2.N1", "+", text_o, "by hand", draws=20)
    made = store.label_scores.score("L2.N1", "+", text_o, "by hand", ids, draws=20)
    assert whole and made and (whole.images, made.images) == (30, 23)
    assert "7 that were shown when it was labelled are left out" in made.population
    expected = plain(store, "L2.N1", text_o, without=tuple(ids))
    assert made.pearson.value == pytest.approx(expected["pearson"], abs=ROUNDED) != whole.pearson.value
    assert store.label_scores.score("L2.N1", "+", text_o, "by hand", range(40), draws=20) is None


def test_a_texts_embedding_given_is_used_instead_of_the_pools(store: Store) -> None:
    text, given_o = store.bundle.table("pool")["text"][0].as_py(), np.asarray(store.bundle.array("text_embeddings")[9])
    own = store.label_scores.score("L3.H0", "+", None, text, draws=20)
    other = store.label_scores.score("L3.H0", "+", given_o, text, draws=20)
    assert own and other and own.pearson.value != other.pearson.value
    assert other.pearson.value == pytest.approx(plain(store, "L3.H0", given_o)["pearson"], abs=ROUNDED)
    with pytest.raises(InputError, match="finite numbers"):
        store.label_scores.score("L3.H0", "+", np.ones(3), text)


def test_chance_is_the_median_of_random_texts(store: Store) -> None:
    text = store.bundle.table("pool")["text"][0].as_py()
    made = store.label_scores.score("L2.N0", "+", None, text, draws=20)
    texts_wo = store.bundle.array("text_embeddings")
    assert len(texts_wo) <= RANDOM_TEXTS  # so that all of them are drawn
    each = [plain(store, "L2.N0", text_o)["pearson"] for text_o in texts_wo]
    assert made and made.random["pearson"].value == pytest.approx(np.median(each), abs=ROUNDED)


def test_images_named_predict_where_the_text_is_no_text_of_the_pool(store: Store) -> None:
    classes = store.images.values("class", np.arange(40)).to_pylist()
    name = next(value for value in classes if value is not None)
    made = store.label_scores.score("L2.N3", "+", None, f"Some {name}s!", draws=20)
    assert made and made.by == "images named" and made.named == f"class is {name}"
    scores = store.units.scores("L2.N3")
    assert scores is not None
    named = [float(classes[image] == name) for image in scores.id_n]
    positive = method.positives(scores.score_n).tolist()
    expected = plain_figures(named, scores.score_n.tolist(), positive)
    for key in EVERYTHING:
        assert getattr(made, key).value == pytest.approx(expected[key], abs=ROUNDED)


def test_what_has_no_score_says_why(store: Store) -> None:
    scores, text = store.label_scores, store.bundle.table("pool")["text"][0].as_py()
    described = set(map(int, store.bundle.array("pair_text_rows")))
    there = [int(row) for row in store.pairs.columns().row_p]  # type: ignore[union-attr] # the tiny bundle has pairs
    other = store.units.address("pair", next(row for row in there if row not in described))
    for address, words, reason in (
        (other, text, "only described pairs"),
        ("L2.H0", "a thing that nobody put there", "needs the live model"),
    ):
        assert reason in scores.why(address, None, words)
        assert scores.score(address, "+", None, words) is None
    assert "no class" in scores.why("L2.H0", None, text, by="images named")
    assert scores.score("L2.H0", "+", None, text, by="images named") is None
    with pytest.raises(AddressError):
        scores.score("L2.N4000", "+", None, text)
    with pytest.raises(InputError, match="end"):
        scores.score("L2.N4", "up", None, text)


@pytest.mark.parametrize("kind", ["head", "neuron", "pair"])
def test_quick_is_the_score_of_the_first_text_of_the_plus_end(store: Store, kind: str) -> None:
    value_u, random_u = store.label_scores.quick(kind)  # type: ignore[arg-type] # one of the kinds
    assert store.label_scores.is_quick(kind) and len(value_u) == store.units.count(kind)  # type: ignore[arg-type]
    compared = 0
    for row in range(len(value_u)):
        there = kind != "pair" or row in set(map(int, store.bundle.array("pair_text_rows")))
        texts = store.units.texts(store.units.address(kind, row), 100) if there else ()  # type: ignore[arg-type]
        plus = next((text for text, weight in texts if weight > 0), None)
        if plus is None:
            assert np.isnan(value_u[row]) and np.isnan(random_u[row])
            continue
        made = store.label_scores.score(store.units.address(kind, row), "+", None, plus, draws=2)  # type: ignore[arg-type]
        assert made and value_u[row] == pytest.approx(made.pearson.value, abs=1e-5)  # float32 sums of 30 images
        assert -1 <= random_u[row] <= 1
        compared += 1
    assert compared > 3


def test_many_texts_at_once_score_as_each(store: Store) -> None:
    texts_wo = np.asarray(store.bundle.array("text_embeddings")[:4])
    found_w = store.label_scores.pearson("L3.H1", "-", texts_wo)
    for text_o, found in zip(texts_wo, found_w, strict=True):
        assert found == pytest.approx(plain(store, "L3.H1", text_o, -1)["pearson"], abs=1e-5)


def test_which_images_a_text_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bundle_maker.tables()
    place = ["sea", "rocky beach", "beach", None] * 10
    style = ["sepia", "black and white"] * 20
    for name, values in (("place", place), ("style", style)):
        made["images"] = made["images"].append_column(name, pa.array(values))
    monkeypatch.setattr(bundle_maker, "tables", lambda: made)
    opened = Store(open_bundle(bundle_maker.make(tmp_path / "tiny-0123abcd")))
    ids = np.arange(0, 40, 3)
    names = opened.images.named(ids)
    for text, column, value in (
        ("A photo of BEACHES.", "place", "beach"),
        ("on a rocky beach", "place", "rocky beach"),  # the longest
        ("A Black-and-white photo", "style", "black and white"),
        ("two dogs", "class", "class1"),  # by the class's readable name
        ("class0", "class", "class0"),
    ):
        found = names.find(text)
        assert found is not None and (found.column, found.value) == (column, value), text
        there = made["images"][column].to_pylist()
        expected = [np.nan if there[i] is None else float(there[i] == value) for i in ids]
        np.testing.assert_array_equal(found.true_i, expected)
    for text in ("seashore", "nothing", "", "..."):
        assert names.find(text) is None
