"""Addresses that are typed or pasted: into the search of all units, a page's Find, the labelling desk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pages._ui import desk_links, search_ask, search_results, search_view
from pages._ui.words import plain
from tests.e2e.test_neurons_page import Visit, address
from tests.e2e.test_search_page import TEXT, beside_a_dictionary, box, cards, open_search


@pytest.fixture(scope="module")
def visit(vit_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    with beside_a_dictionary(vit_bundle, tmp_path_factory.mktemp("addresses")) as made:
        yield made


def copied(text: str) -> str:
    """As it is copied from a page: with characters that cannot be seen."""
    shown = plain(text).replace("\\", "")
    assert shown != text
    return shown


def test_the_concept_of_a_name_first_and_of_the_others_that_the_unit_is_in_them(visit: Visit) -> None:
    store = search_ask.dictionary(visit.opened).store
    every = {c.address: c for member in store.members for c in store.concepts(member.name)}
    name = next(name for name, c in every.items() if store.concepts_of_unit(name)[0] is not c)  # not the strongest
    shown = cards(open_search(visit, q=name))
    assert len(shown) == len(store.concepts_of_unit(name)) > 1
    assert shown[0]["address"] == name and shown[0]["why"] == "the address asked for"
    assert {card["why"] for card in shown[1:]} == {f"{name.partition(':')[2]} is in it"}


def test_an_address_copied_from_a_page_is_one(visit: Visit) -> None:
    store = search_ask.dictionary(visit.opened).store
    name = store.concepts(store.members[0].name)[0].address
    for app in (box(open_search(visit), f"\ufeff{copied(name)} "), open_search(visit, q=copied(name))):
        assert cards(app)[0]["address"] == name
    assert [card["address"] for card in cards(box(open_search(visit), "L1.\u200bN12"))] == ["L1.N12"]
    app = visit.open("neurons")
    app.text_input(key="unit-search").set_value("l1.\u2060n20").run()
    assert address(app, "neuron") == "L1.N20"
    app = visit.open("label", calm=False, queue="concept")
    app.text_input(key="annotator-name").set_value("Ada").run()
    app.text_input(key="desk-of").set_value(copied(name)).run()
    assert address(app, "of") == name
    assert desk_links.pasted(f"{copied(name)}\n L1.N3-")["list"] == f"{name} L1.N3-"


def test_no_more_results_than_a_page_can_draw(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (search_view, search_results):
        monkeypatch.setattr(module, "MOST_SHOWN", 30)
    app = open_search(visit, q=TEXT)
    next(button for button in app.button if button.label == "Show 6 more").click().run()
    assert address(app, "shown") == "30" and len(cards(app)) == 30
    assert not any(button.label.startswith("Show") for button in app.button)
    assert len(cards(open_search(visit, q=TEXT, shown="99999"))) == 30
