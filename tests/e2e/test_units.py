"""Units of every kind answer alike: against arrays of real bundles, by the plainest way."""

from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.errors import AddressError
from core.store import Store

HALF = 2e-3  # r is kept in half precision: 5e-4 a coordinate, a few of them summed, in units of the largest number


@pytest.fixture(scope="module", params=["vit", "resnet"])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(open_bundle(request.getfixturevalue(f"{request.param}_bundle")))


def test_every_row_has_an_address_and_back(store: Store) -> None:
    units = store.units
    assert "head" in units.kinds and "neuron" in units.kinds
    for kind in units.kinds:
        rows = np.flatnonzero(units.importance(kind))[:: max(1, units.count(kind) // 40)]
        assert len(rows)
        for row in rows:
            address = units.address(kind, row)
            assert units.kind(address) == kind and units.row(address) == row and str(units.parse(address)) == address


def test_a_heads_number_is_its_first_principal_component(store: Store) -> None:
    ok = np.flatnonzero(store.bundle.array("ok"))
    for head in store.heads():
        r_nc = np.asarray(store.bundle.array("r")[head.row, head.head][ok], np.float64)
        centred_nc = r_nc - r_nc.mean(0)
        axis_c = np.linalg.svd(centred_nc, full_matrices=False)[2][0]
        found = store.units.scores(head.address)
        assert found is not None and found.id_n.tolist() == ok.tolist()
        number_n = found.score_n - found.score_n.mean()
        expected_n = centred_nc @ axis_c
        expected_n *= np.sign(expected_n @ number_n)
        np.testing.assert_allclose(number_n, expected_n, atol=HALF * np.abs(r_nc).max())
        ends = store.units.ends(head.address, 5, fold=False)
        best = np.sort(found.score_n)[::-1][:5]
        np.testing.assert_allclose([hit.score for hit in ends.plus], best, atol=HALF * np.abs(r_nc).max())


def test_a_heads_texts_are_ordered_by_how_closely_they_follow_its_number(store: Store) -> None:
    basis, pool = store.bundle.array("basis"), store.bundle.array("text_embeddings")
    names = store.bundle.table("pool")["text"].to_pylist()
    for head in store.heads()[:4]:
        found = store.units.scores(head.address)
        assert found is not None
        r_nc = np.asarray(store.bundle.array("r")[head.row, head.head][found.id_n], np.float64)
        texts = store.units.texts(head.address, 99)
        assert {text for text, _ in texts} == {text.text for text in store.head(head.address).texts}
        assert texts[0][1] > 0, "the text of closest score points along the number"
        for text, r in texts:
            score_n = r_nc @ (pool[names.index(text)] @ basis[head.row, head.head])
            # the stored covariance is of single precision, these coordinates of half
            assert r == pytest.approx(np.corrcoef(score_n, found.score_n)[0, 1], abs=0.02)
        assert [abs(r) for _, r in texts] == sorted((abs(r) for _, r in texts), reverse=True)
        card = store.units.card(head.address, 99)
        assert card.plus == tuple(text for text, r in texts if r > 0)
        assert card.minus == tuple(text for text, r in texts if r < 0)


def test_neurons_and_pairs_answer_as_their_tables_do(store: Store) -> None:
    units, neurons, pairs = store.units, store.neurons, store.pairs
    assert neurons is not None and pairs is not None
    row = int(np.argmax(units.importance("neuron")))
    address = units.address("neuron", row)
    np.testing.assert_array_equal(units.direction(address), neurons.array("direction")[neurons.at(address)])
    assert units.ends(address, 4) == neurons.ends(address, 4) and units.label("neuron", row) == neurons.label(row)
    described = pairs.address(int(store.bundle.array("pair_text_rows")[0]))
    found = units.scores(described)
    assert found is not None
    ends = pairs.ends(described, 1, fold=False)
    place = {int(image): float(x) for image, x in zip(found.id_n, found.score_n, strict=True)}
    for hit in (*ends.plus, *ends.minus):
        assert place[hit.image_id] == pytest.approx(hit.score, abs=HALF * float(np.abs(found.score_n).max()))
    card = units.card(described)
    assert card.kind == "pair" and card.importance == pytest.approx(pairs.summary(described).score)
    assert {text for text, _ in units.texts(described)} == {*card.plus, *card.minus}


@pytest.mark.parametrize("address", ["L9.H0", "L1.N99999", "nonsense", "H0.N1", "L1.N3>L1.H0"])
def test_what_is_not_there_gets_a_sentence(vit_bundle: Path, address: str) -> None:
    with pytest.raises(AddressError):
        Store(open_bundle(vit_bundle)).units.card(address)
