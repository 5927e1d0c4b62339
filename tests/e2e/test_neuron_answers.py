"""What the store says of neurons, against brute force over the bundle's arrays (which test_neurons.py checks)."""

from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.errors import AddressError, InputError, PoolError
from core.store import Store
from core.store.neurons import NeuronTable
from tests.e2e.world import ATOMS, TEXTS
from tests.reference import plain_store
from tests.reference.plain_sparse_text import plain_atoms, plain_pursuit

FP16 = 2e-3  # the index of directions is of fp16: 5e-4 an entry, and 24 entries of either sign
LEVELS = (0.0, 0.05, 0.5, 0.95, 1.0)


class Arrays:
    """The bundle's arrays of neurons in float64, and some neurons with their places."""

    def __init__(self, store: Store) -> None:
        assert store.neurons is not None
        self.store, self.table = store, store.neurons
        self.places = [(i, n) for i in range(len(self.table.layers)) for n in range(0, self.table.neurons, 7)]

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self.store.bundle.array(f"neuron_{name}"))

    def address(self, i: int, n: int) -> str:
        return f"L{self.table.layers[i]}.N{n}"

    def coef(self, i: int, n: int, of: str = "coef") -> np.ndarray:
        return self[of][i, n].astype(np.float64) * self["scale"][i, n]

    def texts(self) -> np.ndarray:
        return np.asarray(self.store.bundle.array("text_embeddings"), np.float64)


@pytest.fixture(scope="module")
def arrays(vit_bundle: Path) -> Arrays:
    return Arrays(Store(open_bundle(vit_bundle)))


@pytest.fixture(scope="module")
def table(arrays: Arrays) -> NeuronTable:
    return arrays.table


def test_those_of_a_resnet_have_no_layer(resnet_bundle: Path) -> None:
    table = Store(open_bundle(resnet_bundle)).neurons
    assert table is not None and table.layers == (None,) and table.address(3) == "N3" and table.at("N3") == (0, 3)
    assert table.lists == ("+", "-", "norm", "activation max", "activation mean")
    assert table.carriers("N3")[0].address.startswith("H") and table.through("H1")
    with pytest.raises(AddressError, match="not among this bundle's neurons"):
        table.at("L0.N3")


def test_columns_and_summaries(arrays: Arrays, table: NeuronTable) -> None:
    columns = table.columns()
    pool = arrays.store.bundle.table("pool")["text"].to_pylist()
    for i, n in arrays.places:
        row = i * table.neurons + n
        summary = table.summary(arrays.address(i, n))
        assert columns.address[row] == summary.address == arrays.address(i, n)
        for name, array in (("std", "coef_std"), ("explained", "explained"), ("share_above", "share_above"),
                            ("concepts", "concepts")):  # fmt: skip
            assert getattr(columns, name)[row] == getattr(summary, name) == arrays[array][i, n]
        parts = [("−" if c < 0 else "") + pool[w] for w, c in
                 zip(arrays["text_index"][i, n][:3], arrays["text_coef"][i, n][:3], strict=True) if w >= 0]  # fmt: skip
        assert columns.label[row] == summary.label == "; ".join(parts)
    assert str(columns.population) == "of 58 images"


def test_fewer_texts_are_fitted_anew(arrays: Arrays, table: NeuronTable) -> None:
    for i, n in arrays.places:
        for picks in (1, 2, ATOMS):
            expected = plain_pursuit(
                arrays["direction"][i, n].astype(float), plain_atoms(arrays.texts(), "unit"), picks
            )
            found = table.text(arrays.address(i, n), picks)
            assert [term.row for term in found.terms] == expected.index
            np.testing.assert_allclose([term.coefficient for term in found.terms], expected.coefficient, atol=1e-5)


def test_ends_and_intervals(arrays: Arrays, table: NeuronTable) -> None:
    ids = arrays["image_ids"]
    for i, n in arrays.places:
        address, x = arrays.address(i, n), arrays.coef(i, n)
        found = table.ends(address, 7, fold=False)
        np.testing.assert_allclose([hit.score for hit in found.plus], -np.sort(-x)[:7], rtol=1e-5)
        np.testing.assert_allclose([hit.score for hit in found.minus], np.sort(x)[:7], rtol=1e-5)
        of = dict(zip(ids.tolist(), x, strict=True))
        assert all(hit.score == pytest.approx(of[hit.image_id], rel=1e-5) for hit in (*found.plus, *found.minus))
        rows = table.intervals(address, 100, LEVELS).rows
        assert sorted(hit.image_id for row in rows for hit in row.hits) == ids.tolist()
        for row in rows:
            low, high = np.quantile(x, [row.low_level, row.high_level])
            assert (row.low, row.high) == (pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5))
            assert all(row.low <= hit.score <= row.high for hit in row.hits)
        for kind in ("coef", "norm"):
            histogram = table.histogram(address, kind, bins=9)
            assert histogram.count_b.sum() == len(ids)
            assert histogram.mean == pytest.approx(arrays.coef(i, n, kind).mean(), rel=1e-4, abs=1e-7)


def test_near_duplicates_are_folded(arrays: Arrays, table: NeuronTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.store.store.FOLD_ABOVE", 0.6)  # the world has no near-duplicates
    together = 0
    for i, n in arrays.places:
        every = table.ends(arrays.address(i, n), 12, fold=False).plus
        found = table.top(arrays.address(i, n), "+", 12)
        plain = plain_store.folded(
            arrays.store.bundle, [hit.image_id for hit in every][: len(arrays["top_ids"][0, 0, 0])], 0.6
        )
        assert [hit.image_id for hit in found] == list(plain)
        together += sum(map(len, plain.values()))
    assert together > 0


def test_carriers_and_the_way_back(arrays: Arrays, table: NeuronTable) -> None:
    labels = arrays.store.bundle.axes["later_head"].labels
    for i, n in arrays.places:
        found = table.carriers(arrays.address(i, n))
        shares = dict(zip(labels, arrays["later_share"][i, n].tolist(), strict=True))
        assert {c.address: c.share for c in found} == {name: share for name, share in shares.items() if share}
        assert [abs(c.share) for c in found] == sorted((abs(c.share) for c in found), reverse=True)
        assert sum(c.share for c in found) == pytest.approx(1, abs=1e-4)
    for m, name in enumerate(labels):
        carried = arrays["later_share"][..., m].astype(float) * arrays["coef_std"]
        order = np.argsort(-np.abs(carried), axis=None, kind="stable")[:5]
        found = table.through(name, 5)
        assert [w.address for w in found] == [arrays.address(*divmod(int(row), table.neurons)) for row in order]
        np.testing.assert_allclose([w.carried for w in found], carried.ravel()[order], rtol=1e-6)
        np.testing.assert_allclose([w.share for w in found], arrays["later_share"][..., m].ravel()[order], rtol=1e-6)
    assert table.through("L0.H0") == ()  # no analysed layer is below it
    with pytest.raises(AddressError):
        table.through("nonsense")


def test_similar_directions_of_either_sign(arrays: Arrays, table: NeuronTable) -> None:
    directions = arrays["direction"].reshape(-1, arrays["direction"].shape[-1]).astype(float)
    for i, n in arrays.places:
        own = i * table.neurons + n
        cosines = directions @ directions[own]
        cosines[own] = 0
        found = table.similar(arrays.address(i, n), 6)
        np.testing.assert_allclose([abs(s.cosine) for s in found], -np.sort(-np.abs(cosines))[:6], atol=FP16)
        for s in found:
            j, m = table.at(s.address)
            assert s.cosine == pytest.approx(cosines[j * table.neurons + m], abs=FP16)
            assert s.label == table.summary(s.address).label
    text_o = arrays.texts()[3] - arrays.texts().mean(0)
    toward = directions @ (text_o / np.linalg.norm(text_o))
    found = table.for_text(np.asarray(arrays.texts()[3], np.float32), 6)
    np.testing.assert_allclose([abs(s.cosine) for s in found], -np.sort(-np.abs(toward))[:6], atol=FP16)


def test_concepts_hold_every_largest_image_once(arrays: Arrays, table: NeuronTable) -> None:
    largest = arrays.store.bundle.facts["neurons"]["largest_norms"]
    for i, n in arrays.places:
        norm = dict(zip(arrays["image_ids"].tolist(), arrays.coef(i, n, "norm"), strict=True))
        found = table.concepts(arrays.address(i, n))
        shown = [hit for concept in found for hit in concept.images]
        assert len({hit.image_id for hit in shown}) == len(shown) == largest
        np.testing.assert_allclose(
            sorted((hit.score for hit in shown), reverse=True), sorted(norm.values(), reverse=True)[:largest], rtol=1e-5
        )
        numbers = [concept.number for concept in found]
        assert sum(number is not None for number in numbers) == arrays["concepts"][i, n]
        assert None not in numbers[:-1]  # strays last


def test_neurons_of_an_image(arrays: Arrays, table: NeuronTable) -> None:
    ids, neurons = arrays["image_ids"], table.neurons
    for at in (0, 11, 40):
        found = table.of_image(int(ids[at]), 10_000)
        assert found is not None
        norm = arrays["norm"][..., at].astype(float) * arrays["scale"]
        over = norm / arrays["threshold"]
        rows = arrays["active_units"][arrays["active_offsets"][at] : arrays["active_offsets"][at + 1]]
        assert {a.address for a in found} == {arrays.address(*divmod(int(row), neurons)) for row in rows}
        assert [a.over_threshold for a in found] == sorted((a.over_threshold for a in found), reverse=True)
        for a in found:
            i, n = table.at(a.address)
            assert a.over_threshold == pytest.approx(over[i, n], rel=1e-5) and a.norm == pytest.approx(
                norm[i, n], rel=1e-5
            )
            assert a.coefficient == pytest.approx(arrays.coef(i, n)[at], rel=1e-4, abs=1e-8)
    bad = np.flatnonzero(~np.asarray(arrays.store.bundle.array("ok")))
    assert table.of_image(int(bad[0])) is None


def test_the_bundles_own_pool_gives_the_stored_decomposition(arrays: Arrays, table: NeuronTable) -> None:
    texts = arrays.store.bundle.table("pool")["text"].to_pylist()
    asked = []
    made = table.relabel(texts, arrays.texts(), ATOMS, progress=lambda done, total: asked.append((done, total)))
    assert len(made) == len(table.layers) * table.neurons and asked[-1][0] == asked[-1][1]
    for each, (i, n) in zip(made, np.ndindex(len(table.layers), table.neurons), strict=True):
        assert each.after.address == arrays.address(i, n) and not each.changed
        index = [w for w in arrays["text_index"][i, n].tolist() if w >= 0]
        assert [term.row for term in each.after.terms] == index == [term.row for term in each.before.terms]
        np.testing.assert_allclose(
            [t.coefficient for t in each.after.terms], arrays["text_coef"][i, n][: len(index)], atol=1e-5
        )
        np.testing.assert_allclose(each.after.left_m, arrays["text_error"][i, n][: len(index)], atol=1e-5)
    other = table.relabel(texts[: TEXTS // 2], arrays.texts()[: TEXTS // 2], 2, made[3].after.address)
    assert len(other) == 1 and {term.row for term in other[0].after.terms} <= set(range(TEXTS // 2))


def test_questions_that_make_no_sense(arrays: Arrays, table: NeuronTable) -> None:
    for wrong in ("L0.H1", "L3.N0", "L0.N99999", "x"):
        with pytest.raises(AddressError):
            table.summary(wrong)
    with pytest.raises(InputError, match="listed by"):
        table.top("L0.N0", "beauty")
    with pytest.raises(InputError, match="embedding"):
        table.for_text(np.ones(3))
    with pytest.raises(InputError, match="2 texts came with 1"):
        table.relabel(["a", "b"], arrays.texts()[:1])
    with pytest.raises(PoolError):
        table.relabel(["a"], arrays.texts()[:1])
