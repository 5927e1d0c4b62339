"""What stands after events: by hand here, against a slow plain fold in tests/property/test_labels_laws.py."""

import threading
import time
from dataclasses import replace

import pytest

from core.labels.database import Labels
from core.labels.fold import Fold, Standing, same
from core.labels.ledger import Ledger
from tests.labels_maker import BUNDLE, event, many, undo
from tests.reference.plain_ledger import plain_standings, plain_state, plain_texts

ABOUT = "L1.N3", "+"


@pytest.fixture
def ledger(labels: Labels) -> Ledger:
    return Ledger(labels, BUNDLE)


def standing(ledger: Ledger) -> Standing:
    ledger.refresh()
    return ledger.standing(*ABOUT)


def test_the_last_word_stands_until_it_is_undone(labels: Labels, ledger: Ledger) -> None:
    assert standing(ledger).state == "open" and standing(ledger).label is None and ledger.last("ann") is None
    first, second = labels.add([event("dogs"), event("wolves")])
    assert standing(ledger).label == second == ledger.last("ann") and standing(ledger).state == "labelled"
    labels.add([undo(second)])
    assert standing(ledger).label == first == ledger.last("ann")
    labels.add([undo(second), undo(first)])
    assert standing(ledger).state == "open" and not ledger.all() and ledger.last("ann") is None
    assert len(labels.history(BUNDLE, "L1.N3")) == 5, "nothing is ever forgotten"


def test_nobody_takes_back_another_s_word(labels: Labels, ledger: Ledger) -> None:
    (said,) = labels.add([event("dogs")])
    labels.add([undo(said, by="bob"), undo(undo(said, by="bob"))])
    assert standing(ledger).label == said


def test_annotators_agree_differ_and_are_decided_on(labels: Labels, ledger: Ledger) -> None:
    labels.add([event("Dogs |  stripes"), event("stripes|dogs", by="bob")])
    assert standing(ledger).state == "labelled" and standing(ledger).label.annotator == "bob", (
        "the same in other letters"
    )
    labels.add([event("cats", by="cat")])
    assert standing(ledger).state == "disputed" and standing(ledger).label is None
    (decided,) = labels.add([event("dogs", by="bob", kind="adjudicate", reason="ears")])
    assert standing(ledger).state == "decided" and standing(ledger).label == decided
    assert set(standing(ledger).by) == {"ann", "bob", "cat"}, "what each said is still there"
    labels.add([undo(decided)])
    assert standing(ledger).state == "disputed"


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (("unsure",), "unsure"),
        (("skip",), "open"),
        (("uninterpretable", "unsure"), "uninterpretable"),
        (("label", "unsure", "skip"), "labelled"),
        (("label", "uninterpretable"), "disputed"),
    ],
)
def test_states(labels: Labels, ledger: Ledger, kinds: tuple[str, ...], state: str) -> None:
    labels.add([event(by=f"name {i}", kind=kind) for i, kind in enumerate(kinds)])
    assert standing(ledger).state == state and len(standing(ledger).by) == len(kinds)
    assert ledger.counts() == {name: int(name == state) for name in ledger.counts()}


def test_skipping_takes_no_label_back(labels: Labels, ledger: Ledger) -> None:
    labels.add([event("dogs"), event(kind="skip")])
    assert standing(ledger).label.text == "dogs" and ledger.last("ann").kind == "skip"
    labels.add([event(kind="unsure")])
    assert standing(ledger).state == "unsure", "that is a word"


def test_of_its_own_bundle_only(labels: Labels, ledger: Ledger) -> None:
    labels.add([event("elsewhere", bundle="other")])
    assert ledger.refresh() == 0 and not ledger.all()
    labels.add([event("here")])
    assert ledger.refresh() == 2 and ledger.texts() == ["here"]


def test_desks_that_exchange_events_agree_whatever_comes_first() -> None:
    events = [
        event(text, by=by, at=at) for at, (text, by) in enumerate((("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")))
    ]
    events += [undo(events[1], at=9), event("e", by="y", kind="skip", at=7)]
    there, here = Fold(events), Fold()
    for one in reversed(events):
        here.take([one])
    assert dict(there.all()) == dict(here.all()) and there.standing(ABOUT).by["x"].text == "a"
    assert here.last("y").kind == "skip" and here.counts == there.counts


def test_what_all_gives_is_a_snapshot(labels: Labels, ledger: Ledger) -> None:
    labels.add([event("a")])
    ledger.refresh()
    before = ledger.all()
    assert ledger.all() is before, "asked again at every rerun"
    ledger.refresh()
    assert ledger.all() is before
    labels.add([event("b")])
    ledger.refresh()
    assert before[ABOUT].label.text == "a" and ledger.all()[ABOUT].label.text == "b"
    with pytest.raises(TypeError):
        before[ABOUT] = Standing()  # type: ignore[index]  # every session has the same one


def test_texts_in_order_of_use(labels: Labels, ledger: Ledger) -> None:
    labels.add([event("b | a", of="L0.H0"), event("b", of="L0.H1"), event("c", of="L0.H2"), event("c", of="L0.H3")])
    ledger.refresh()
    assert ledger.texts() == ["b", "c", "a"] and ledger.texts(1) == ["b"]
    labels.add([event("c", of="L0.H0")])
    ledger.refresh()
    assert ledger.texts() == ["c", "b"], "what does not stand any more is not offered"


def test_a_long_history_at_once_and_piece_by_piece() -> None:
    events = [replace(one, at=i) for i, one in enumerate(many(3_000, 100))]
    at_once, pieces = Fold(events), Fold()
    for i in range(0, len(events), 100):
        pieces.take(events[i : i + 100])
        pieces.texts(5)  # so that the ranking is kept rather than made at the end
    plain = plain_standings(events)
    for made in (at_once, pieces):
        assert {about: (one.by, one.adjudication) for about, one in made.all().items()} == plain
        assert {about: one.state for about, one in made.all().items()} == {a: plain_state(*p) for a, p in plain.items()}
        assert made.texts() == plain_texts(events)
        assert sum(made.counts.values()) == len(plain)


def test_many_sessions_share_one(labels: Labels, ledger: Ledger) -> None:
    """Readers see whole states while another takes events in."""
    done, wrong = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            found = ledger.all()
            if len(found) != len(list(found)) or any(one.label is None for one in found.values()):
                wrong.append(found)
            time.sleep(0.001)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(30):
        labels.add([event("x", of=f"L0.N{i}", end=end) for end in "+-"])
        ledger.refresh()
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong and len(ledger.all()) == 60


def test_same() -> None:
    assert same(" Straße  b|A ") == same("a | STRASSE b") != same("a | b")
