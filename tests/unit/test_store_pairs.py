"""What the store says of pairs, against brute force over the arrays of a made-up bundle."""

import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.errors import AddressError, InputError
from core.ids import Head, Neuron, Pair
from core.store import Store
from core.store.pairs import PairTable
from tests.bundle_maker import AXES, facts, fill
from tests.reference.plain_sparse_text import plain_atoms, plain_pursuit

FP16 = 2e-3  # the indexes hold coordinates as fp16: 5e-4 an entry
FP32 = 1e-5  # of least squares from single precision


class Arrays:
    """The bundle's arrays in float64."""

    def __init__(self, store: Store) -> None:
        assert store.pairs is not None
        self.store, self.table = store, store.pairs
        self.heads = [str(head) for head in self.table.heads]

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self.store.bundle.array(f"pair_{name}"), np.float64)

    def later(self) -> list[tuple[int, int, int]]:
        """Places of the pairs that there are: all heads read layer 1, those of layer 3 read layer 2."""
        neurons = self.table.neurons.neurons
        return [(i, n, m) for i in range(2) for n in range(neurons) for m in range(4) if i == 0 or m >= 2]

    def address(self, i: int, n: int, m: int) -> str:
        return f"L{self.table.neurons.layers[i]}.N{n}>{self.heads[m]}"

    def directions(self) -> dict[str, np.ndarray]:
        return {self.address(*at): self["basis"][at[2]] @ self["coords"][at] for at in self.later()}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    folder = tmp_path_factory.mktemp("bundle") / "b-0123abcd"
    measured = {"largest": 7, "inertia_images": 5, "described": 10, "atoms": "unit"}
    fill(folder).finish(facts() | {"pairs": measured}, AXES)
    return Arrays(Store(open_bundle(folder)))


@pytest.fixture(scope="module")
def table(arrays: Arrays) -> PairTable:
    return arrays.table


def test_columns_are_every_pair_by_score(arrays: Arrays, table: PairTable) -> None:
    columns = table.columns()
    expected = sorted(arrays.later(), key=lambda at: -arrays["score"][at])
    assert [table.address(row) for row in columns.row_p] == [arrays.address(*at) for at in expected]
    assert list(zip(columns.layer_p, columns.neuron_p, columns.head_p, strict=True)) == expected
    for name in ("score", "std", "share", "inertia"):
        np.testing.assert_array_equal(getattr(columns, f"{name}_p"), [arrays[name][at] for at in expected])
    whole = np.array([arrays["neuron_inertia"][at[:2]] for at in expected])
    np.testing.assert_allclose(columns.tightness_p, 1 - columns.inertia_p / whole, rtol=1e-5)


def test_a_summary_is_the_arrays_numbers(arrays: Arrays, table: PairTable) -> None:
    scores = sorted((arrays["score"][at] for at in arrays.later()), reverse=True)
    pool = arrays.store.bundle.table("pool")["text"].to_pylist()
    rows = arrays["text_rows"].astype(int).tolist()
    for at in arrays.later():
        found = table.summary(arrays.address(*at))
        assert (found.address, found.neuron, found.head) == (
            arrays.address(*at), f"L{1 + at[0]}.N{at[1]}", arrays.heads[at[2]]
        )  # fmt: skip
        for name in ("std", "score", "share", "length", "inertia"):
            assert getattr(found, name) == arrays[name][at]
        assert found.neuron_inertia == arrays["neuron_inertia"][at[:2]]
        assert found.rank == 1 + scores.index(arrays["score"][at]) and found.pairs == len(scores) == 36
        row = int(np.ravel_multi_index(at, arrays["score"].shape))
        label = ""
        if row in rows:
            w = arrays["text_index"][rows.index(row)].astype(int)
            c = arrays["text_coef"][rows.index(row)]
            label = "; ".join(("−" if c < 0 else "") + pool[w] for w, c in zip(w[:3], c[:3], strict=True))
        assert found.label == label
        assert table.row(found.address) == row and table.address(row) == found.address
    assert str(table.population) == "of 30 images, spread evenly over 38"
    assert (found.largest, found.inertia_images) == (7, 5)


def test_ends_and_largest(arrays: Arrays, table: PairTable) -> None:
    for at in arrays.later():
        found = table.ends(arrays.address(*at), 10, fold=False)
        ids, scores = arrays["top_ids"][at].astype(int), arrays["top_scores"][at]
        for end, hits in enumerate((found.plus, found.minus)):
            assert [(hit.image_id, hit.score) for hit in hits] == [
                (i, s) for i, s in zip(ids[end], scores[end], strict=True) if i >= 0
            ]
        largest = table.largest(arrays.address(*at), 4, fold=False)
        both: dict[int, float] = {}
        for hit in (*found.plus, *found.minus):
            if abs(hit.score) >= abs(both.get(hit.image_id, 0)):
                both[hit.image_id] = hit.score
        expected = sorted(both.values(), key=lambda x: -abs(x))[:4]
        assert [hit.score for hit in largest] == expected and len({hit.image_id for hit in largest}) == len(expected)


def test_intervals_hold_their_images(arrays: Arrays, table: PairTable) -> None:
    for at in arrays.later():
        rows = table.intervals(arrays.address(*at), 2).rows
        assert [(row.low_level, row.high_level) for row in rows] == [(0.5, 1.0), (0.0, 0.5)]
        assert [row.count for row in rows] == [15, 15]
        assert rows[0].low == rows[1].high == arrays["quantiles"][at][1]
        for e, row in enumerate(rows):
            assert [hit.score for hit in row.hits] == arrays["interval_scores"][at][e][:2].tolist()


def test_texts_are_stored_or_made_now(arrays: Arrays, table: PairTable) -> None:
    texts = np.asarray(arrays.store.bundle.array("text_embeddings"), np.float64)
    atoms = plain_atoms(texts, "unit")
    described = arrays["text_rows"].astype(int).tolist()
    now = 0
    for at in arrays.later():
        address, row = arrays.address(*at), int(np.ravel_multi_index(at, arrays["score"].shape))
        found = table.text(address)
        if row in described:
            k = described.index(row)
            assert [term.row for term in found.terms] == arrays["text_index"][k].tolist()
            np.testing.assert_array_equal([term.coefficient for term in found.terms], arrays["text_coef"][k])
            continue
        now += 1
        for picks in (1, 2, 3):
            expected = plain_pursuit(arrays.directions()[address], atoms, picks)
            found = table.text(address, picks)
            assert [term.row for term in found.terms] == expected.index and found.address == address
            np.testing.assert_allclose([term.coefficient for term in found.terms], expected.coefficient, atol=FP32)
            np.testing.assert_allclose(found.left_m, expected.residual, atol=FP32)
        label = table.short(address)
        assert label == "; ".join(("−" if c < 0 else "") + t.text
                                  for t, c in zip(found.terms, expected.coefficient, strict=True))  # fmt: skip
        assert table.summary(address).label == ""
    assert now == 26


def test_from_a_neuron_and_from_a_head(arrays: Arrays, table: PairTable) -> None:
    for i in range(2):
        for n in range(6):
            found = table.of_neuron(Neuron(1 + i, n))
            ms = [m for m in range(4) if i == 0 or m >= 2]
            order = sorted(ms, key=lambda m: -abs(arrays["share"][i, n, m]))
            assert [row.head for row in found] == [arrays.heads[m] for m in order]
            assert [row.share for row in found] == [arrays["share"][i, n, m] for m in order]
            assert sum(row.share for row in found) == pytest.approx(1)
    for m, head in enumerate(arrays.heads):
        found = table.of_head(head, 5)
        order = sorted((at for at in arrays.later() if at[2] == m), key=lambda at: -arrays["score"][at])[:5]
        assert [row.address for row in found] == [arrays.address(*at) for at in order]
        assert [row.score for row in found] == [arrays["score"][at] for at in order]
    assert table.of_head("L0.H1") == ()


def test_by_direction(arrays: Arrays, table: PairTable) -> None:
    texts = np.asarray(arrays.store.bundle.array("text_embeddings"), np.float64)
    toward = texts[3] - texts.mean(0)
    toward /= np.linalg.norm(toward)
    every = arrays.directions()
    given = [(table.for_text(texts[3].astype(np.float32), k), toward, "") for k in (1, 7, 500)]
    given += [(table.similar(address, 7), every[address], address) for address in list(every)[::5]]
    for found, direction, itself in given:
        cosine = {address: float(d @ direction) for address, d in every.items() if address != itself}
        for row in found:
            assert row.cosine == pytest.approx(cosine[row.address], abs=FP16)
        best = sorted(map(abs, cosine.values()), reverse=True)[: len(found)]
        np.testing.assert_allclose([abs(row.cosine) for row in found], best, atol=FP16)
        assert len({row.address for row in found}) == len(found)
    assert len(given[2][0]) == 36


def test_words_of_labels(arrays: Arrays, table: PairTable) -> None:
    labels = {row: table.label(row) for row in arrays["text_rows"].astype(int).tolist()}
    word = next(iter(labels.values())).split("; ")[1].lstrip("−").upper()
    expected = sorted(row for row, label in labels.items() if word in label.upper())
    assert table.labelled(word).tolist() == expected and expected
    assert not len(table.labelled("no such words"))


def test_lists_are_named_as_far_as_asked(arrays: Arrays, table: PairTable) -> None:
    rows = table.rows(table.columns().row_p)
    named = table.named(rows, most=3)
    unnamed = [row.address for row in rows if not row.label]
    assert [row.address for row in named] == [row.address for row in rows]
    assert [row.address for row in named if not row.label] == unnamed[3:]
    for before, after in zip(rows, named, strict=True):
        assert after.label in (before.label, table.short(before.address)) and after.score == before.score


def test_a_whole_heads_images(arrays: Arrays, table: PairTable) -> None:
    ids = np.asarray(arrays.store.bundle.array("neuron_image_ids"))
    r = np.asarray(arrays.store.bundle.array("r"), np.float64)[1, 0][ids]
    length = np.linalg.norm(r - r.mean(0), axis=1)
    order = np.argsort(-length)
    found = table.head_largest("L3.H0", 4)
    shown = [hit.image_id for hit in found] + [i for hit in found for i in hit.folded]
    assert found[0].image_id == ids[order[0]] and set(shown) <= set(ids[order[:8]])
    assert found[0].score == pytest.approx(length.max(), rel=1e-5)
    assert table.head_largest(Head(9, 0), 4) == ()


def test_sub_concepts_are_pairs_of_the_neuron(arrays: Arrays, table: PairTable) -> None:
    seen = 0
    for i in range(2):
        for n in range(6):
            found = table.sub_concepts(Neuron(1 + i, n), 3, images=3)
            seen += len(found)
            for sub in found:
                summary = table.summary(sub.address)
                assert summary.neuron == f"L{1 + i}.N{n}" and sub.share == summary.share
                assert sub.tightness == pytest.approx(summary.tightness) and sub.label == table.short(sub.address)
                assert sub.score == pytest.approx(sub.tightness * sub.inside) and 0 < sub.inside <= 1
                norms = table.neurons.scores(summary.neuron, "norm")
                threshold = arrays.store.bundle.array("neuron_threshold")[i, n]
                active = dict(zip(norms.id_n.tolist(), (norms.score_n > threshold).tolist(), strict=True))
                hits = table.largest(sub.address, 3, fold=False)
                assert sub.inside == pytest.approx(np.mean([active[hit.image_id] for hit in hits]))
            assert [sub.score for sub in found] == sorted((sub.score for sub in found), reverse=True)
    assert seen > 2


def test_addresses_that_are_none(arrays: Arrays, table: PairTable) -> None:
    for wrong in ("L1.N0", "L2.H0", "N0.H1", "L1.N9>L2.H0", "L1.N0>L4.H0", "L0.N0>L2.H0", "L2.N0>L2.H0", "x"):
        with pytest.raises(AddressError):
            table.summary(wrong)
    with pytest.raises(AddressError, match=r"L3\.H0 to L3.H1"):
        table.at(Pair(Neuron(2, 0), Head(2, 0)))
    with pytest.raises(AddressError):
        table.of_head("L1.N0")
    with pytest.raises(InputError):
        table.for_text(np.ones(3))


def test_numbers_in_every_image_are_those_of_described_pairs(arrays: Arrays, table: PairTable) -> None:
    described = {table.address(row): at for at, row in enumerate(arrays.store.bundle.array("pair_text_rows"))}
    for address in map(table.address, table.columns().row_p):
        found = table.scores(address)
        if address not in described:
            assert found is None
            continue
        at = described[address]
        assert found is not None
        np.testing.assert_allclose(found.score_n, arrays["text_scores"][at] * arrays["text_scale"][at], rtol=FP32)
        np.testing.assert_array_equal(found.id_n, arrays.store.bundle.array("neuron_image_ids"))
