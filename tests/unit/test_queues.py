"""Queues of the desk: their order, what they leave out, lists as people paste them, and where work goes on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AddressError
from core.ids import parse
from core.labels import queues
from core.labels.events import Event, new_key
from core.labels.ledger import Standing
from core.labels.queues import Pool

HEADS = Pool(np.array([0.1, -0.3, 0.5, 0.0]), np.array([0, 0, 1, 1]), lambda row: f"L{row // 2}.H{row % 2}")
NEURONS = Pool(np.array([3.0, np.nan, 9.0]), np.array([1, 1, 1]), lambda row: f"L1.N{row}")
HOUR = 3_600_000_000


def event(annotator: str = "ada", text: str = "dog", **more: object) -> Event:
    return replace(Event(new_key(), annotator, "bundle", "L0.H0", "+", "label", text), **more)  # type: ignore[arg-type]


def standing(**words: str) -> Standing:
    return Standing({name: event(name, text) for name, text in words.items()})


# --- orders -----------------------------------------------------------------------------------------------------------


def test_the_most_important_first_kinds_in_turn_and_idle_units_never() -> None:
    assert list(queues.by_importance([HEADS, NEURONS])) == ["L1.H0", "L1.N2", "L0.H0", "L1.N0", "L0.H1"]
    assert list(queues.by_importance([HEADS, NEURONS], [0])) == ["L0.H0", "L0.H1"]
    assert list(queues.by_importance([])) == []


def test_the_lowest_score_first_over_all_kinds() -> None:
    scores = [np.array([0.5, -0.2, np.nan, -9.0]), np.array([0.1, 0.0, 0.9])]
    assert list(queues.by_score([HEADS, NEURONS], scores)) == ["L0.H1", "L1.N0", "L0.H0", "L1.N2"]
    assert list(queues.by_score([HEADS, NEURONS], scores, [1])) == ["L1.N0", "L1.N2"]
    assert list(queues.by_score([], [])) == []


def test_at_random_has_every_unit_once_and_the_seed_decides() -> None:
    every = set(queues.by_importance([HEADS, NEURONS]))
    orders = {seed: list(queues.at_random([HEADS, NEURONS], seed)) for seed in range(20)}
    assert all(set(order) == every and len(order) == len(every) for order in orders.values())
    assert orders[3] == list(queues.at_random([HEADS, NEURONS], 3))
    assert len({order[0] for order in orders.values()}) > 2
    assert list(queues.at_random([], 0)) == []


def test_both_ends_of_a_unit_are_neighbours_and_a_concept_is_whole() -> None:
    assert list(queues.with_ends(["L0.H0", "vit:L3.N1"], both=True)) == [
        ("L0.H0", "+"), ("L0.H0", "-"), ("vit:L3.N1", ""),
    ]  # fmt: skip
    assert list(queues.with_ends(["L0.H0"], both=False)) == [("L0.H0", "+")]


def test_disagreements_begin_where_most_annotators_are() -> None:
    known = {
        ("L0.H0", "+"): standing(ada="dog", bo="cat"),
        ("L0.H1", "+"): standing(ada="dog", bo="Dog"),
        ("L1.H0", "-"): standing(ada="dog", bo="cat", cy="cow"),
    }
    assert queues.disagreements(known) == [("L1.H0", "-"), ("L0.H0", "+")]


# --- lists ------------------------------------------------------------------------------------------------------------


def known(address: str) -> str:
    if ":" not in address and str(parse(address)) not in {"L0.H0", "L0.H1", "L1.N2>L3.H4"}:
        raise AddressError("not here")
    return address


def test_a_pasted_list() -> None:
    text = " L0.H1-, L0.H0;L1.N2>L3.H4+\n\tL0.H1− vit:L3.N1 L0.H0+ L9.H9 <b>x</b> - + L0.H0-L0.H1 "
    found, refused = queues.listed(text, known, both=False)
    assert found == [("L0.H1", "-"), ("L0.H0", "+"), ("L1.N2>L3.H4", "+"), ("vit:L3.N1", "")]
    assert refused == ["L9.H9", "<b>x</b>", "-", "+", "L0.H0-L0.H1"]
    assert queues.listed("L0.H0 L0.H1-", known, both=True)[0] == [("L0.H0", "+"), ("L0.H0", "-"), ("L0.H1", "-")]
    assert queues.listed("", known, both=True) == ([], [])


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_list_or_refused(text: str) -> None:
    found, refused = queues.listed(text, known, both=True)
    assert all(known(address) == address and end in ("+", "-", "") for address, end in found)
    assert len(found) == len(set(found)) and all(piece in text for piece in refused)


# --- filters and going on ---------------------------------------------------------------------------------------------

ITEMS = [("L0.H0", "+"), ("L0.H1", "+"), ("L1.H0", "+"), ("L1.H1", "+")]
SAID = {
    ITEMS[0]: standing(ada="dog"),
    ITEMS[1]: standing(ada="dog", bo="cat"),
    ITEMS[2]: Standing({"ada": event(kind="skip", text=""), "bo": event("bo", "", kind="unsure")}),
}


@pytest.mark.parametrize(
    ("state", "places"),
    [
        ("any", [0, 1, 2, 3]), ("mine", [0, 1]), ("todo", [2, 3]), ("open", [3]), ("labelled", [0]), ("unsure", [2]),
        ("disputed", [1]), ("decided", []), ("uninterpretable", []),
    ],
)  # fmt: skip
def test_filters_by_state(state: queues.State, places: list[int]) -> None:
    assert queues.kept(ITEMS, SAID, state, "ada") == [ITEMS[at] for at in places]
    assert not (queues.only_said(state) and 3 in places)  # what nothing is said of may then be left out unseen


def test_a_queue_ends() -> None:
    assert queues.kept(ITEMS, SAID, "any", "ada", most=2) == ITEMS[:2]

    def endless():  # a generator
        at = 0
        while True:
            yield f"L{at}.H0", "+"
            at += 1

    assert len(queues.kept(endless(), {}, "any", None)) == queues.MOST


def test_going_on_after_what_one_has_seen() -> None:
    assert queues.done(ITEMS, SAID, "ada") == {0, 1, 2}  # a skip too
    assert queues.done(ITEMS, SAID, "bo") == {1, 2}
    assert queues.resume(4, {0, 1, 2}) == 3
    assert queues.resume(4, {0, 2, 3}, start=2) == 1
    assert queues.resume(4, {0, 1, 2, 3}) is None and queues.resume(0, set()) is None
    assert queues.resume(4, set(), start=4) == 0


def test_pace_leaves_pauses_out() -> None:
    seconds = lambda *at: [int(each * 1e6) for each in at]
    assert queues.pace(seconds(0, 10)) is None
    assert queues.pace(seconds(0, 10, 20)) == pytest.approx(360)
    assert queues.pace(seconds(0, 10, 4000, 4010)) == pytest.approx(360)


def test_two_desks_under_one_name() -> None:
    last = event(at=10 * HOUR, evidence={"desk": "a" * 32})
    assert queues.shared_name(last, "b" * 32, 11 * HOUR)
    assert not queues.shared_name(last, "a" * 32, 11 * HOUR)
    assert not queues.shared_name(last, "b" * 32, 19 * HOUR)
    assert not queues.shared_name(last, "", 11 * HOUR)  # this browser has not said which desk it is
    assert not queues.shared_name(event(at=10 * HOUR), "b" * 32, 11 * HOUR)
    assert not queues.shared_name(None, "b" * 32, 11 * HOUR)
