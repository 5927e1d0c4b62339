"""What the labelling desk shows, read back from its elements: who labels, its queues, and which ends they have."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.store import Store
from pages._ui import access, desk_links, dictionaries, labels, resources
from tests import dictionary_maker
from tests.e2e.desk_case import BO, Desk, stored
from tests.e2e.test_neurons_page import address, said

# --- who --------------------------------------------------------------------------------------------------------------


def test_without_a_name_there_is_no_desk_and_a_hostile_name_is_text(bundle: str) -> None:
    desk = Desk(bundle, me=None)
    assert not desk.app.get("bidi_component")[1:]  # the listener for the name alone
    field = next(each for each in desk.app.text_input if each.key == "annotator-name")
    field.set_value("x" * 200).run()
    assert "at most 80 characters" in said(desk.app)
    next(each for each in desk.app.text_input if each.key == "annotator-name").set_value(f"  {BO}\n ").run()
    assert desk.app.session_state["annotator"] == BO
    assert desk.about[1] == "+"
    assert "<b>" in said(desk.app) and not any("<b>" in each.value for each in desk.app.markdown)


def test_a_name_but_for_its_capitals_is_the_same_name(bundle: str) -> None:
    Desk(bundle, me="Ada").says("a dog")
    desk = Desk(bundle, me=None)
    for typed, taken in (("aDA", "Ada"), ("Adam", "Adam")):
        next(each for each in desk.app.text_input if each.key == "annotator-name").set_value(typed).run()
        assert desk.app.session_state["annotator"] == taken
        next(each for each in desk.app.button if each.key == "annotator-change").click().run()


@pytest.mark.parametrize(
    "who",
    [None, 7, {"name": 3, "desk": []}, {"name": "\0\n", "desk": "x" * 32}, {"name": "a" * 81, "desk": "a" * 31}],
)
def test_what_a_browser_kept_can_be_anything(who: object, monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr("streamlit.session_state", state)
    labels.heard(type("Sent", (), {"who": who})())
    assert state == {}
    labels.heard(type("Sent", (), {"who": {"name": " Ada  L ", "desk": "0" * 32}})())
    assert state == {"annotator": "Ada L", "desk-token": "0" * 32}


# --- queues -----------------------------------------------------------------------------------------------------------


def test_the_queue_by_importance_and_what_of_a_unit_is_shown(bundle: str, store: Store) -> None:
    desk = Desk(bundle, kind="neuron")
    importance = store.units.importance("neuron")
    best = store.units.address("neuron", int(np.argmax(importance)))
    assert desk.about == (best, "+")
    assert desk.data["queue"]["all"] == int((importance != 0).sum())
    ends, card = store.units.ends(best, 12), store.units.card(best)
    shown = [[image["id"] for image in row["images"]] for row in desk.unit["rows"]]
    assert shown == [[hit.image_id for hit in ends.plus], [hit.image_id for hit in ends.minus]]
    between = [[image["id"] for image in row["images"]] for row in desk.unit["intervals"]]
    assert between == [[hit.image_id for hit in row.hits] for row in store.units.intervals(best, 6).rows]
    assert tuple(desk.unit["candidates"]) == card.plus[:9]
    assert desk.unit["automatic"] == "; ".join(card.plus[:3])


def test_the_other_end_has_its_own_images_and_texts_first(bundle: str, store: Store) -> None:
    desk = Desk(bundle, kind="head", side="both")
    first = desk.about[0]
    desk.send(at=1)
    assert desk.about == (first, "-") and address(desk.app, "end") == "-" and address(desk.app, "unit") == first
    ends, card = store.units.ends(first, 12), store.units.card(first)
    assert [image["id"] for image in desk.unit["rows"][0]["images"]] == [hit.image_id for hit in ends.minus]
    assert tuple(desk.unit["candidates"]) == card.minus[:9]


def test_a_pasted_list_short_and_long(bundle: str, store: Store) -> None:
    heads = [head.address for head in store.heads()]
    desk = Desk(bundle, queue="list", list=f"{heads[2]}-,{heads[1]} L77.H1 nonsense")
    assert desk.about == (heads[2], "-") and desk.data["queue"]["all"] == 2
    assert "2 addresses of the list cannot be labelled with this bundle: L77.H1, nonsense" in said(desk.app)
    neurons = [store.units.address("neuron", row) for row in range(min(300, store.units.count("neuron")))]
    many = desk_links.asked(neurons * 40, "from the map")
    assert "kept" in many and len(str(many)) < 200
    long = Desk(bundle, **{name: str(value) for name, value in many.items()})
    assert long.data["queue"]["all"] == len(neurons) and long.about == (neurons[0], "+")
    gone = Desk(bundle, queue="list", kept="0" * 32)
    assert "is not kept here" in said(gone.app)


def test_an_empty_queue_says_how_to_get_one(bundle: str) -> None:
    for query, words in (
        ({"queue": "list"}, "Paste addresses"),
        ({"queue": "disagreement"}, "Ends come here once two people"),
        ({"state": "decided"}, "Take one away"),
        ({"queue": "neuron"}, "Give a neuron"),
    ):
        assert words in said(Desk(bundle, **query).app), query


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"queue": "neuron", "of": "L0.H0"}, "is no neuron of this bundle"),
        ({"queue": "neuron", "of": "<img src=x>"}, "is not the address of a unit"),
        ({"queue": "neuron", "of": "L99.N0"}, "not among this bundle's neurons"),
        ({"unit": "L99.H0"}, "You see the queue's next one instead"),
        ({"unit": "<script>"}, "You see the queue's next one instead"),
        ({"unit": "L0.H0", "kind": "neuron"}, "is not in this queue"),
        ({"queue": "sideways"}, "The link's queue cannot be shown"),
        ({"layer": "99", "seed": "-1"}, "cannot be shown"),
    ],
)
def test_odd_links_get_a_sentence(bundle: str, query: dict[str, str], words: str) -> None:
    assert words in said(Desk(bundle, **query).app)


def test_pairs_of_a_neuron_in_the_order_of_their_share(bundle: str, store: Store) -> None:
    neuron = store.units.address("neuron", 0)
    desk = Desk(bundle, queue="neuron", of=neuron)
    expected = [row.address for row in store.pairs.of_neuron(neuron)]
    work = desk.app.session_state["desk-work"][1]
    assert [about[0] for about in work.items] == expected


def test_a_concept_and_those_of_its_units_that_the_bundle_has(
    bundle: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary_maker.make(resources.bundles_folder() / "rosetta-0123abcd")
    found = dictionaries.open_named("rosetta-0123abcd").store
    concept = found.concepts("demo-vit")[0]
    alone = Desk(bundle, queue="concept", of=concept.address)
    assert alone.about == (concept.address, "") and alone.data["queue"]["all"] == 1  # its models are others
    monkeypatch.setattr(store.head_table, "facts", replace(store.facts(), weights_digest="00"))
    desk = Desk(bundle, queue="concept", of=concept.address, side="both")
    ours = [unit.address.partition(":")[2] for unit in concept.members if unit.member == "demo-vit"]
    items = [about for about in desk.app.session_state["desk-work"][1].items if about[0] != concept.address]
    assert items == [(unit, end) for unit in ours for end in "+-"] and items
    assert [image["id"] for image in desk.unit["rows"][0]["images"]] == list(concept.images)
    assert desk.says("what they share")["ok"]
    event = stored()[0]
    assert (event.bundle, event.address, event.end, event.model) == (found.id, concept.address, "", "")
    again = Desk(bundle, queue="concept", of=concept.address, unit=concept.address)
    assert again.unit["mine"]["text"] == "what they share"
    assert "No dictionary here has a concept" in said(Desk(bundle, queue="concept", of="demo-vit:L9.N9").app)


def test_low_automatic_score_begins_with_the_lowest(bundle: str, store: Store) -> None:
    desk = Desk(bundle, queue="score", kind="neuron")
    value_n = np.where(store.units.importance("neuron") != 0, store.label_scores.quick("neuron")[0], np.nan)
    if np.isnan(value_n).all():
        assert "This queue is empty" in said(desk.app)
    else:
        assert desk.about[0] == store.units.address("neuron", int(np.nanargmin(value_n)))


@pytest.mark.parametrize(
    ("user", "name"), [({"email": "a@b.org", "name": "A"}, "a@b.org"), ({"name": "A"}, "A"), ({}, None)]
)
def test_where_a_login_is_configured_it_says_who_labels(
    user: dict[str, str], name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "login_needed", lambda: True)
    monkeypatch.setattr("streamlit.user", user)
    monkeypatch.setattr("streamlit.session_state", {"annotator": "somebody else"})
    assert labels.annotator() == name and labels.choose() == (name is not None)
