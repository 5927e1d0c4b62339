"""What an event may be, and what it becomes before it is stored."""

import math
from dataclasses import replace
from typing import Any

import pytest

from core.errors import LabelRejected
from core.labels.events import MAX_EVIDENCE, MAX_TEXT, Event, checked, new_key
from tests.labels_maker import event, undo


def test_text_becomes_one_line_and_is_otherwise_as_it_was_written() -> None:
    wild = "<b>Robert'); DROP TABLE events;--</b> 🐕‍🦺 =1+1 \u202eevil"
    assert checked(event(f"  {wild}\n\tand \0more \x1b[2J\r\n ")).text == f"{wild} and more [2J"
    assert checked(event("\ud83d alone")).text == "? alone", "half a surrogate pair is no text"


def test_checking_twice_changes_nothing() -> None:
    once = checked(
        event(" a\nb ", by=" Ann  B ", of=" L1.N3 ", tags=(" x", "x", ""), evidence={"b": (1, 2), "a": None})
    )
    assert (once.annotator, once.address, once.tags, once.automatic) == ("Ann B", "L1.N3", ("x",), None)
    assert once.evidence == {"a": None, "b": [1, 2]} and checked(once) == once


def test_senses() -> None:
    assert event("dogs |stripes||").senses == ("dogs", "stripes")


def test_automatic_label_that_is_empty_is_none() -> None:
    assert checked(event(automatic="")).automatic is None and checked(event(automatic="a  b")).automatic == "a b"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "x" * 10_000}, f"10,000 characters; at most {MAX_TEXT:,}"),
        ({"text": " \n "}, "The label is empty"),
        ({"text": " | |  "}, "The label is empty"),
        ({"annotator": " "}, "Say who you are"),
        ({"annotator": "a" * 81}, "Your name has 81"),
        ({"bundle": ""}, "names the bundle"),
        ({"bundle": "b" * 81}, "bundle's id has 81"),
        ({"model": "m" * 65}, "model's digest has 65"),
        ({"queue": "q" * 201}, "queue's name has 201"),
        ({"automatic": "x" * 4_001}, "automatic label has 4,001"),
        ({"kind": "delete"}, "'delete' is no kind"),
        ({"end": "±"}, "is no end"),
        ({"key": "1"}, "32 hexadecimal digits"),
        ({"key": "F" * 32}, "32 hexadecimal digits"),
        ({"address": "N1; DROP"}, "not the address of a unit"),
        ({"address": "demo vit:L1.N2"}, "no address of a concept"),
        ({"address": "demo-vit:L1.N02"}, "no address of a concept"),
        ({"confidence": 1.5}, "between 0 and 1"),
        ({"confidence": math.nan}, "between 0 and 1"),
        ({"tags": tuple("abcdefghijklmnopqrstuvwxyz")}, "at most 20 tags"),
        ({"tags": ("t" * 81,)}, "A tag has 81"),
        ({"evidence": {"x": "y" * MAX_EVIDENCE}}, "too long"),
        ({"evidence": {"x": object()}}, "cannot be kept as JSON"),
        ({"evidence": {"x": math.inf}}, "cannot be kept as JSON"),
        ({"evidence": {"x": "\ud83d"}}, "cannot be kept as JSON"),
        ({"kind": "undo"}, "names the event that it takes back"),
        ({"undoes": "0" * 32}, "names the event that it takes back"),
        ({"kind": "undo", "undoes": "it"}, "by its key"),
        ({"kind": "adjudicate"}, "why this label was decided"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(LabelRejected, match=words):
        checked(replace(event(), **changes))


def test_what_is_allowed() -> None:
    for good in (
        event("x" * MAX_TEXT),
        event(kind="unsure"),
        event(of="demo-vit:layer.3.N17".replace("layer.3", "layer3"), end=""),
        event(of="L9.N1234>L11.H3"),
        event(confidence=0),
        event("why", kind="adjudicate", reason="seen"),
        undo(event()),
    ):
        assert checked(good).key == good.key
    assert len({new_key() for _ in range(100)}) == 100


def test_what_its_annotator_was_shown_whatever_a_file_says() -> None:
    shown = lambda evidence: Event(new_key(), "Ada", "b", "L0.H0", "+", "label", "x", evidence=evidence).seen
    assert shown({"images": {"+": [3, 1], "-": (1, 0), "between": [7.5, True, "2", -1, None]}}) == {0, 1, 3}
    for nothing in ({}, {"images": None}, {"images": [1, 2]}, {"images": {"+": 5, "-": "12"}}):
        assert shown(nothing) == frozenset()
