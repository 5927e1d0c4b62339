"""Spurious cues: eq. 6 against its twin, what is left out, and the answers of the store."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from core.bundle.read import open_bundle
from core.errors import InputError
from core.methods.cues import toward, word_weights
from core.stats.wilson import wilson
from core.store import Store
from core.store.cue_images import members, nearest, occurring, predicted
from core.store.cues import CueFinder, CueWord
from core.text.mentions import content_words, naming, subject, word_forms
from tests import bundle_maker
from tests.reference.plain_cues import plain_cues

OK = np.delete(np.arange(40), bundle_maker.QUARANTINED)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(open_bundle(bundle_maker.make(tmp_path / "tiny-0123abcd")))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), k=st.integers(1, 15), m=st.integers(1, 6))
def test_words_are_those_of_the_definition(seed: int, n: int, k: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    direction_no, v_o = rng.standard_normal((n, 5)), rng.standard_normal(5)
    index_nm = np.stack([rng.permutation(8)[:m] for _ in range(n)])
    index_nm[rng.uniform(size=index_nm.shape) < 0.2] = -1
    coefficient_nm = np.where(index_nm >= 0, rng.standard_normal((n, m)), 0)
    rows, expected = plain_cues(direction_no, index_nm, coefficient_nm, v_o, k)
    row_k, product_k = toward(direction_no, v_o, k)
    assert row_k.tolist() == rows
    found = word_weights(index_nm[row_k], coefficient_nm[row_k], product_k)
    assert found.row_w.tolist() == sorted(expected, key=lambda w: -expected[w])
    # float64 sums of at most 15 x 6 terms of size one, in another order
    np.testing.assert_allclose(found.weight_w, [expected[w] for w in found.row_w], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.part_kw.sum(0), found.weight_w, rtol=0, atol=1e-12)


def test_the_sign_of_a_direction_is_only_a_convention() -> None:
    rng = np.random.default_rng(0)
    direction_no, v_o = rng.standard_normal((6, 5)), rng.standard_normal(5)
    index_nm, coefficient_nm = rng.integers(0, 9, (6, 4)), rng.standard_normal((6, 4))
    turned_n1 = np.array([1, -1, 1, -1, -1, 1])[:, None]
    one, other = (
        word_weights(index_nm[row], (coefficient_nm * turn)[row], product)
        for turn in (1, turned_n1)
        for row, product in [toward(direction_no * turn, v_o, 4)]
    )
    assert one.row_w.tolist() == other.row_w.tolist()
    np.testing.assert_array_equal(one.weight_w, other.weight_w)


def test_a_neuron_without_direction_writes_toward_nothing_and_dropped_texts_have_no_weight() -> None:
    row_k, product_k = toward(np.array([[0.0, 0], [1, 0], [-2, 0]]), np.array([1.0, 5]), 3)
    assert row_k.tolist() == [2, 1] and product_k.tolist() == [-2, 1]
    found = word_weights(np.array([[0, 1], [1, 2]]), np.ones((2, 2)), product_k, dropped=[1])
    assert found.row_w.tolist() == [2, 0] and found.weight_w.tolist() == [1, -2]


@pytest.mark.parametrize("hits", [0, 1, 16, 31, 32])
def test_wilsons_interval_is_where_the_score_test_just_rejects(hits: int) -> None:
    for bound in wilson(hits, 32):
        if 0 < bound < 1:
            z = (hits / 32 - bound) / np.sqrt(bound * (1 - bound) / 32)
            assert abs(z) == pytest.approx(norm.ppf(0.975), rel=1e-9)
    low, high = wilson(hits, 32)
    assert 0 <= low <= hits / 32 <= high <= 1 and high - low > 0.1


def test_wilson_of_nothing_and_of_nonsense() -> None:
    assert wilson(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="5 hits of 4"):
        wilson(5, 4)


def test_what_names_a_class() -> None:
    texts = ["a Cherry", "two cherries", "cherry-red", "cherrywood", "chokecherry", "a hot dog", "dogs"]
    assert naming(texts, word_forms("cherry")) == [0, 1, 2]
    assert naming(texts, word_forms("hot dog")) == [5] and naming(texts, ()) == []
    assert naming(texts, word_forms("a photo of a dog.")) == [5, 6]
    assert naming(["a (b)", "ab"], word_forms("(b)")) == [0]  # no regular expression
    assert subject("a blurry photo of the hot dog") == "hot dog" and subject("snow") == "snow" and subject("a") == "a"
    assert content_words("a photo of two dogs in the snow") == {"two", "dog", "snow"} == content_words("TWO DOG, snow")


def test_cues_of_a_bundle(store: Store) -> None:
    assert store.neurons is not None
    finder, class_co = CueFinder(store.neurons), store.bundle.array("class_embeddings")
    v_o = finder.check(class_co[0], class_co[1])
    direction_no = store.bundle.array("neuron_direction").reshape(12, -1)
    index_nm = store.bundle.array("neuron_text_index").reshape(12, -1)
    coefficient_nm = store.bundle.array("neuron_text_coef").reshape(12, -1)
    rows, expected = plain_cues(direction_no, index_nm, coefficient_nm, v_o, 5)
    found = finder.find(v_o, ["text 3"], neurons=5)
    assert [each.address for each in found.neurons] == [f"L{1 + n // 6}.N{n % 6}" for n in rows]
    assert all((each.end == "+") == (each.product > 0) for each in found.neurons)
    positive = {f"text {w}": weight for w, weight in expected.items() if weight > 0 and w != 3}
    assert {word.text: pytest.approx(word.weight, abs=1e-6) for word in found.words} == positive  # float32 coefficients
    assert found.left_out == 1 and str(found.population) == "of 30 images, spread evenly over 38"
    for word in found.words:
        assert sum(part for _, part in word.neurons) == pytest.approx(word.weight, abs=1e-6) or len(word.neurons) == 4
    assert all(word.text != "text 3" for word in (*finder.similar(v_o, ["text 3"]), *finder.by_chance(0, ["text 3"])))
    assert len(finder.by_chance(0, ["text 3"])) == 11 and finder.by_chance(1, [], 3) != finder.by_chance(2, [], 3)
    cosines = [word.weight for word in finder.similar(v_o, [])]
    assert len(cosines) == 12 and cosines == sorted(cosines, reverse=True)
    assert finder.ranked(direction_no @ v_o, v_o, ["text 3"], 5) == found


def test_reach_weighs_a_direction_by_how_far_the_neuron_gets_along_it(store: Store) -> None:
    assert store.neurons is not None
    finder, class_co = CueFinder(store.neurons), store.bundle.array("class_embeddings")
    v_o = finder.check(class_co[0], class_co[1])
    product_n = store.bundle.array("neuron_direction").reshape(12, -1) @ v_o
    quantile_nq = store.bundle.array("neuron_coef_quantiles").reshape(12, 3)  # 0.05, 0.5, 0.95
    reach = [max(q[2] if p > 0 else -q[0], 0) * abs(p) for p, q in zip(product_n, quantile_nq, strict=True)]
    found = finder.reaching(v_o, [], neurons=3)
    best = sorted(range(12), key=lambda n: (-reach[n], n))[:3]
    assert [each.address for each in found.neurons] == [f"L{1 + n // 6}.N{n % 6}" for n in best]


def test_one_text_twice_is_refused(store: Store) -> None:
    assert store.neurons is not None
    finder, t_o = CueFinder(store.neurons), store.bundle.array("class_embeddings")[0]
    with pytest.raises(InputError, match="the same text"):
        finder.check(t_o, t_o)
    with pytest.raises(InputError, match="16 finite numbers"):
        finder.check(t_o, t_o[:3])


def test_images_with_cues(store: Store) -> None:
    ids = members(store, 0)
    assert (
        ids.tolist() == [i for i in OK if i % 2 == 0] and nearest(store, np.eye(16)[0].astype(np.float32), 5).size == 5
    )
    words = [CueWord("12 or 14", 2.0), CueWord("an image of 4", 1.0), CueWord("4, 12", 0.5), CueWord("a photo", 9.0)]
    found = occurring(store, ids, words, np.zeros((4, 16)))
    assert found.by == ("caption",) and found.members == len(ids)
    assert [(hit.image_id, hit.score, hit.found) for hit in found.hits] == [
        (12, 2.5, ("12",)),
        (14, 2.0, ("14",)),
        (4, 1.5, ("4",)),
    ]
    assert len(occurring(store, ids[:3], [CueWord(" ".join(map(str, ids)), 1.0)], np.zeros((1, 16))).hits) == 2  # half
    units = store.bundle.array("representations")[ids].astype(np.float32)
    expected = (units @ store.bundle.array("class_embeddings").T).argmax(1)
    assert predicted(store, ids).tolist() == expected.tolist()
    assert found.taken == {c: int((expected == c).sum()) for c in set(expected.tolist())}


def test_images_by_cosine_where_there_is_no_text(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, word_wo = members(store, 0), np.random.default_rng(0).standard_normal((2, 16))
    monkeypatch.setattr(type(store.images), "columns", {})
    found = occurring(store, ids, [CueWord("a", 2.0), CueWord("b", 1.0)], word_wo)
    direction_o = 2 * word_wo[0] + word_wo[1]
    cosine_n = store.bundle.array("representations")[ids].astype(np.float64) @ direction_o / np.linalg.norm(direction_o)
    best = np.argsort(-cosine_n)[: (len(ids) + 1) // 2]
    assert found.by == () and [hit.image_id for hit in found.hits] == ids[best].tolist()
    np.testing.assert_allclose([hit.score for hit in found.hits], cosine_n[best], rtol=1e-12)
