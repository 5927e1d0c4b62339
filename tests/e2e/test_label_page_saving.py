"""What the labelling desk stores, takes back, hides and tells, read back from its elements and from the database."""

import json
import sqlite3
import time
from pathlib import Path

import pytest

from core.labels.events import Event, new_key
from core.store import Store
from pages._ui import labels, resources
from tests.e2e.desk_case import ADA, BO, DESK, Desk, stored
from tests.e2e.test_neurons_page import said

# --- saving -----------------------------------------------------------------------------------------------------------


def test_a_label_is_stored_with_what_was_seen(bundle: str, store: Store) -> None:
    desk = Desk(bundle, kind="head")
    unit = desk.unit
    ack = desk.says("  snow |  ice <b>☃</b> ", tags=["season", "cold"], confidence=0.75)
    assert ack["ok"] and "Saved: " in ack["told"]
    (event,) = stored()
    assert (event.annotator, event.address, event.end) == (ADA, unit["address"], "+")
    assert event.text == "snow | ice <b>☃</b>" and event.senses == ("snow", "ice <b>☃</b>")
    assert event.tags == ("season", "cold") and event.confidence == 0.75
    assert event.bundle == store.facts().bundle and event.model == store.facts().weights_digest
    assert event.automatic == unit["automatic"] and not event.blind and event.queue == "importance"
    shown = {end: [image["id"] for image in row["images"]] for end, row in zip("+-", unit["rows"], strict=True)}
    assert {end: event.evidence["images"][end] for end in "+-"} == shown
    assert event.evidence["desk"] == DESK and event.evidence["shown_ms"] == 1200
    assert desk.about != (unit["address"], "+") and desk.data["queue"]["done"] == 1


def test_what_is_sent_twice_is_stored_once_and_answered_twice(bundle: str) -> None:
    desk = Desk(bundle)
    event = desk.event(text="dog")
    first = desk.send(event, at=1)
    assert desk.send(event, at=1) == first
    anew = Desk(bundle)  # a session that does not remember it
    assert anew.send(event, at=1)[0]["ok"]
    assert len(stored()) == 1


def test_undo_goes_back_with_the_words_and_takes_nothing_twice(bundle: str) -> None:
    desk = Desk(bundle)
    first = desk.about
    desk.says("dog", tags=["pet"])
    desk.says(kind="unsure")
    undo = {"key": new_key(), "kind": "undo", "at": desk.data["at"]}
    (ack,) = desk.send(undo)
    assert ack["ok"] and ack["undone"]["kind"] == "unsure" and desk.data["at"] == 1
    assert desk.send(undo)[0] == ack  # sent again: nothing more is taken back
    assert Desk(bundle).send(undo)[0]["told"] == ack["told"]
    (ack,) = desk.send({"key": new_key(), "kind": "undo", "at": 1})
    assert ack["undone"] == {"kind": "label", "text": "dog", "tags": ["pet"], "confidence": None}
    assert desk.about == first and desk.data["queue"]["done"] == 0 and desk.unit["mine"] is None
    (ack,) = desk.send({"key": new_key(), "kind": "undo", "at": 0})
    assert not ack["ok"] and "nothing of yours" in ack["told"]
    assert [event.kind for event in stored()] == ["label", "unsure", "undo", "undo"]


def test_after_a_reload_undo_takes_back_ones_own_desk_alone(bundle: str) -> None:
    Desk(bundle).says("dog")
    (ack,) = (other := Desk(bundle, token="e" * 32)).send({"key": new_key(), "kind": "undo", "at": 0})
    assert not ack["ok"] and other.data["queue"]["done"] == 1
    (ack,) = Desk(bundle).send({"key": new_key(), "kind": "undo", "at": 1})
    assert ack["ok"] and ack["undone"]["text"] == "dog" and ack["at"] == 0


def test_a_reload_goes_on_where_one_left_and_skipped_ones_stay_to_do(bundle: str) -> None:
    desk = Desk(bundle, kind="head")
    abouts = desk.app.session_state["desk-work"][1].items
    desk.says("dog")
    desk.says(kind="skip")
    desk.says(kind="uninterpretable")
    assert Desk(bundle, kind="head").about == abouts[3]
    again = Desk(bundle, kind="head", state="todo")
    assert again.app.session_state["desk-work"][1].items == [abouts[1], *abouts[3:]]
    mine = Desk(bundle, kind="head", state="mine")
    assert mine.app.session_state["desk-work"][1].items == [abouts[0], abouts[2]]
    assert Desk(bundle, me=BO, kind="head").about == abouts[0]  # another annotator begins at the beginning


def test_the_order_stays_while_one_works(bundle: str) -> None:
    desk = Desk(bundle, state="open", kind="head")
    items = list(desk.app.session_state["desk-work"][1].items)
    desk.says("dog")
    desk.run()
    assert desk.app.session_state["desk-work"][1].items == items and desk.data["at"] == 1


def test_at_the_end_it_says_so(bundle: str, store: Store) -> None:
    heads = [head.address for head in store.heads()][:2]
    desk = Desk(bundle, queue="list", list=" ".join(heads))
    assert desk.says("a")["ok"] and not desk.data["queue"]["finished"]
    assert desk.says("b")["ok"] and desk.data["queue"]["finished"] and desk.data["ahead"] == []
    assert desk.data["queue"]["told"].startswith("2 of 2 done")


@pytest.mark.parametrize(("text", "words"), [("a" * 10_000, "10,000 characters"), ("  ", "The label is empty")])
def test_what_cannot_be_kept_comes_back(bundle: str, text: str, words: str) -> None:
    desk = Desk(bundle)
    ack = desk.says(text)
    assert not ack["ok"] and words in ack["told"] and ack["at"] == 0 and "still in the box" in ack["told"]
    assert stored() == [] and desk.data["queue"]["done"] == 0


def test_a_database_that_does_not_answer_comes_back_with_advice(bundle: str, tmp_path: Path) -> None:
    desk = Desk(bundle)
    desk.says("dog")
    file = tmp_path / "labels.sqlite"
    with sqlite3.connect(file) as base:
        base.execute("ALTER TABLE events RENAME TO away")
    events = [desk.event(text="cat"), desk.event(text="cow")]
    began = time.monotonic()
    acks = desk.send(*events, at=1)
    assert [ack["ok"] for ack in acks] == [False, False] and "Not saved" in acks[0]["told"]
    assert time.monotonic() - began < 20
    with sqlite3.connect(file) as base:
        base.execute("ALTER TABLE away RENAME TO events")
    assert desk.send(*events[:1], at=1)[0]["ok"]
    assert [event.text for event in stored()] == ["dog", "cat"]


@pytest.mark.parametrize(
    "message",
    [
        None, 7, "x", {}, {"events": 3}, {"events": [None, 1, {"key": 1}]}, {"at": float("nan"), "number": True},
        {"at": -1}, {"at": 10**9}, {"at": "1"}, {"map": 3}, {"next": "yes"},
        {"events": [{"key": "x", "kind": "label", "address": "L0.H0", "end": "sideways", "text": "a"}]},
        {"events": [{"key": new_key(), "kind": "adjudicate", "address": "L0.H0", "end": "+", "text": "a"}]},
        {"events": [{"key": "../..", "kind": "label", "address": "L0.H0", "end": "+", "text": "a"}]},
        {"events": [{"key": new_key(), "kind": "label", "address": "L99.H0", "end": "+", "text": "a"}]},
        {"events": [{"key": new_key(), "kind": "label", "address": "a:b", "end": "", "text": "a"}]},
        {"events": [{"key": new_key(), "kind": "label", "address": "L0.H0", "end": "+", "text": "a",
                     "confidence": 7, "shown_ms": float("inf")}]},
    ],
)  # fmt: skip
def test_a_browser_can_send_anything(bundle: str, message: object) -> None:
    desk = Desk(bundle)
    if isinstance(message, dict):
        message = {"queue": desk.data["queue"]["id"]} | message
    desk.app.session_state["test-message"] = message
    next(button for button in desk.app.button if button.label == "message").click()
    desk.run()
    assert stored() == [] and desk.data["at"] == 0


# --- blind, and with others -------------------------------------------------------------------------------------------


def test_blind_mode_hides_until_ones_own_word_is_saved(bundle: str) -> None:
    ada = Desk(bundle, kind="head")
    ada.says("the secret word")
    bo = Desk(bundle, me=BO, kind="head", blind="True")
    automatic = Desk(bundle, me=BO, kind="head").unit["automatic"]
    sent = [json.loads(each.proto.json) for each in bo.app.get("bidi_component")]
    told = json.dumps(sent, ensure_ascii=False)
    assert "secret word" not in told and automatic and automatic not in told
    assert bo.unit["hidden"] and not bo.unit["candidates"] and not bo.unit["said"]
    ack = bo.says("my own")
    assert automatic in ack["told"]
    event = stored()[-1]
    assert event.blind and event.automatic is None and event.annotator == BO
    bo.send(at=0)
    assert not bo.unit["hidden"] and bo.unit["automatic"] == automatic
    assert {line["text"] for line in bo.unit["said"]} == {"the secret word", "my own"}
    assert bo.data["completions"] == ["my own"]


def test_scores_of_what_was_said_and_none_before_ones_own_word(bundle: str, store: Store) -> None:
    ada = Desk(bundle, kind="head")
    text = ada.unit["candidates"][0]
    ada.says(f"{text} | <b>")
    bo = Desk(bundle, me=BO, kind="head", blind="True", scores="True")
    assert "the scores come once" in said(bo.app) and text not in said(bo.app)
    open_desk = Desk(bundle, me=BO, kind="head", scores="True")
    assert f"Automatic, “{text}”:" in said(open_desk.app) and f"{ADA}, “{text} | <b>”:" in said(open_desk.app)


def test_what_others_said_is_shown_with_its_history(bundle: str) -> None:
    ada = Desk(bundle, kind="head")
    ada.says("dog <i>")
    ada.send({"key": new_key(), "kind": "undo", "at": 1})
    ada.says("cat", confidence=0.5)
    bo = Desk(bundle, me=BO, kind="head")
    lines = bo.unit["said"]
    assert [(line["who"], line["text"], line["undone"]) for line in lines] == [
        (ADA, "cat", False), (ADA, "dog <i>", True),
    ]  # fmt: skip
    assert "50% sure" in lines[0]["more"] and bo.data["completions"] == ["cat"]
    bo.says("wolf")
    assert Desk(bundle, queue="disagreement").data["queue"]["all"] == 1


def test_words_of_the_same_model_in_another_bundle(bundle: str, store: Store) -> None:
    head = Desk(bundle, kind="head").about[0]
    event = Event(new_key(), BO, "earlier-1234", head, "+", "label", "said before", model=store.facts().weights_digest)
    labels.database().add([event])
    line = Desk(bundle, kind="head").unit["said"][0]
    assert line["text"] == "said before" and "in bundle earlier-1234" in line["more"]


def test_two_desks_under_one_name_are_told(bundle: str) -> None:
    Desk(bundle).says("dog")
    other = Desk(bundle, token="e" * 32)
    warning = "labelled at 1 other desk too"
    assert warning in said(other.app) and warning not in said(Desk(bundle).app)
    other.says("cat")
    assert warning in said(other.app)
    next(button for button in other.app.button if button.key == "desk-go-on").click()
    other.run()
    assert warning not in said(other.app)
    other.says("cow")
    assert warning not in said(other.app)


def test_a_rebuilt_queue_forgets_nothing(bundle: str, store: Store, tmp_path: Path) -> None:
    """The bundle's folder goes; its labels stay, and are there when it comes back."""
    Desk(bundle, kind="head").says("dog")
    folder = resources.bundles_folder() / bundle
    target = folder.resolve()
    folder.unlink()
    assert stored()[0].text == "dog"
    folder.symlink_to(target)
    assert Desk(bundle, kind="head", state="mine").unit["mine"]["text"] == "dog"
