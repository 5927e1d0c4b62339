"""One search over all units, against every unit asked in turn."""

import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.errors import AddressError, InputError
from core.store import Store
from core.store.search import Match, Numbers, Search, interleaved
from tests import bundle_maker
from tests.reference import plain_search

FP16 = 2e-3
"""Directions in the indexes are kept in half precision (2⁻¹¹), and so are their products with a unit vector."""
STORED = 5e-3
"""Numbers in single images are kept in half precision, and the deviations of the made-up ones to their rounding."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(open_bundle(bundle_maker.make(tmp_path_factory.mktemp("bundle"))))


@pytest.fixture(scope="module")
def search(store: Store) -> Search:
    return Search(store)


def check(found: dict[str, list[Match]], plain: plain_search.Values, k: int, tolerance: float) -> None:
    """The k of largest |value| of each kind, in order, each with its number and the end that it is about."""
    assert found.keys() == plain.keys()
    for kind, matches in found.items():
        wanted = plain_search.strongest(plain[kind], k)
        assert len(matches) == len(wanted) and len({match.address for match in matches}) == len(matches)
        assert [abs(m.value) for m in matches] == pytest.approx([abs(value) for _, value in wanted], abs=tolerance)
        for match in matches:
            assert match.kind == kind
            assert match.value == pytest.approx(plain[kind][match.address], abs=tolerance)


def test_by_meaning(store: Store, search: Search) -> None:
    rng = np.random.default_rng(5)
    for _ in range(3):
        text_o = rng.standard_normal(16).astype(np.float32)
        text_o /= np.linalg.norm(text_o)
        found = search.by_meaning(text_o, 7)
        check(found, plain_search.by_meaning(store, text_o), 7, FP16)
        for match in found["neuron"]:
            assert match.sign == (-1 if match.value < 0 else 1)
        for match in found["head"]:
            along = float(store.units.direction(match.address) @ text_o)
            assert match.sign == (-1 if along < 0 else 1)


def test_by_meaning_of_a_text_of_the_pool_needs_no_model(store: Store, search: Search) -> None:
    found = search.embedding("  text   7 ")
    assert found is not None and np.array_equal(found, store.bundle.array("text_embeddings")[7])
    assert search.embedding("text 77") is None
    with pytest.raises(InputError, match="16 finite numbers"):
        search.by_meaning(np.full(16, np.nan, np.float32))


@pytest.mark.parametrize("address", ["L2.H1", "L1.N3", "L2.N0", "L1.N4>L3.H0", "L2.N5>L3.H1"])
def test_alike(store: Store, search: Search, address: str) -> None:
    found = search.alike(address, 9)
    check(found, plain_search.alike(store, address), 9, FP16)
    assert address not in {match.address for matches in found.values() for match in matches}


@pytest.mark.parametrize("image", [0, 5, 29])
def test_by_image(store: Store, search: Search, image: int) -> None:
    found = search.by_image(search.numbers(image), 8)
    plain = plain_search.by_image(store, image)
    assert len(plain["pair"]) <= bundle_maker.SIZES["pair_text"]
    check(found, plain, 8, STORED)
    assert all(match.sign == (-1 if match.value < 0 else 1) for matches in found.values() for match in matches)


def test_an_image_whose_neurons_were_not_measured_has_heads_alone(store: Store, search: Search) -> None:
    unmeasured = int(np.setdiff1d(np.flatnonzero(store.images.ok_n), store.neurons.array("image_ids"))[0])
    numbers = search.numbers(unmeasured)
    assert numbers.neuron_ln is None and numbers.pair_lnm is None
    assert set(search.by_image(numbers)) == {"head"}
    for bad in (bundle_maker.QUARANTINED[0], 40, -1):
        with pytest.raises(AddressError):
            search.numbers(bad)


def test_numbers_as_a_live_model_gives_them_are_ranked_alike(store: Store, search: Search) -> None:
    """Of every pair, of which only the described ones can be compared with their usual."""
    kept = search.numbers(3)
    everywhere = np.where(kept.pair_lnm != 0, kept.pair_lnm, 1e6)
    assert search.by_image(Numbers(None, None, everywhere)) == search.by_image(Numbers(None, None, kept.pair_lnm))


def test_a_unit_that_never_varies_is_not_found_by_an_image(store: Store, search: Search) -> None:
    std = np.asarray(store.neurons.array("coef_std"))
    number_ln = np.zeros(std.shape, np.float32)
    number_ln[1, 2] = 1
    only = search.by_image(Numbers(neuron_ln=number_ln))["neuron"]
    assert [match.address for match in only] == ["L2.N2"]
    assert only[0].value == pytest.approx(1 / std[1, 2])


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("l2.h1", ["L2.H1"]),
        (" L1.N3 ", ["L1.N3"]),
        ("l1.n4 > l3.h0", ["L1.N4>L3.H0"]),
        ("l1.n4 → L3.H0", ["L1.N4>L3.H0"]),
        ("n3", ["L1.N3", "L2.N3"]),
        ("H1", ["L2.H1", "L3.H1"]),
    ],
)
def test_by_address(search: Search, text: str, addresses: list[str]) -> None:
    found = search.by_address(text)
    assert [match.address for matches in found.values() for match in matches] == addresses


@pytest.mark.parametrize(
    "text", ["snow", "", "a" * 10_000, "L", "N", "😀", "3", "N3 and N4", "neuron N3", "L1.N", "x:y"]
)
def test_what_is_no_address(search: Search, text: str) -> None:
    assert search.by_address(text) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("N6", "No layer of this bundle has N6: each has neurons 0 to 5"),
        ("H9", "heads 0 to 1"),
        ("L9.N1", "layers 1, 2"),
        ("L2.H7", "L2.H0 to L3.H1"),
        ("L2.N1>L2.H0", "must lie in a later layer"),
        ("L1.N1>L9.H0", "not among this bundle's pairs"),
    ],
)
def test_an_address_that_is_not_here_says_what_is(search: Search, text: str, told: str) -> None:
    with pytest.raises(AddressError, match=told):
        search.by_address(text)


def test_kinds_take_turns() -> None:
    assert interleaved([[1, 2, 3], [], [10], [20, 30]]) == [1, 10, 20, 2, 30, 3]
    assert interleaved([]) == []
