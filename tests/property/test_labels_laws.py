"""Laws of labels: the incremental fold equals the plain one for any events in any order and any pieces; files bring
everything back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import LabelRejected
from core.labels.events import Event, checked
from core.labels.files import FORMATS, export, read
from core.labels.fold import STATES, Fold
from tests.reference.plain_ledger import plain_last, plain_standings, plain_state, plain_texts

few = settings(max_examples=150, deadline=None)
NAMES = ("ann", "bob", "cat")
KEYS = [f"{i:032x}" for i in range(12)]
KINDS = ("label", "label", "label", "unsure", "skip", "uninterpretable", "undo", "undo", "adjudicate")


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Few names, ends, texts, times and keys, so that all of them meet, and undos before what they undo."""
    made = []
    for _ in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(KINDS))
        made.append(
            Event(
                key=draw(st.sampled_from(KEYS)),
                annotator=draw(st.sampled_from(NAMES)),
                bundle="b",
                address=draw(st.sampled_from(("L0.H1", "L1.N2"))),
                end=draw(st.sampled_from(("+", "-"))),
                kind=kind,
                text=draw(st.sampled_from(("a", "A ", "b | a", "a|b", "c"))) if kind in ("label", "adjudicate") else "",
                undoes=draw(st.sampled_from(KEYS)) if kind == "undo" else None,
                at=draw(st.integers(1, 6)),
            )
        )
    return list({event.key: event for event in made}.values())  # one key is one event: the database sees to it


@few
@given(histories(), st.lists(st.integers(0, 28), max_size=4), st.randoms(use_true_random=False))
def test_the_fold_is_the_plain_one_in_any_order_and_any_pieces(events: list[Event], cuts: list[int], order) -> None:
    plain = plain_standings(events)
    shuffled = [*events, *events[:2]]  # some come twice
    order.shuffle(shuffled)
    fold = Fold()
    fold.texts()  # the ranking is kept from here on
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(shuffled)], strict=True):
        fold.take(shuffled[start:end])
        fold.all()
    assert {about: (dict(one.by), one.adjudication) for about, one in fold.all().items()} == plain
    states = {about: plain_state(*found) for about, found in plain.items()}
    assert {about: one.state for about, one in fold.all().items()} == states
    assert {s: fold.counts[s] for s in STATES} == {s: list(states.values()).count(s) for s in STATES}
    assert fold.texts() == Fold(events).texts() == plain_texts(events)
    assert [fold.last(name) for name in NAMES] == [plain_last(events, name) for name in NAMES]


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
hard = st.one_of(
    anything, st.sampled_from(("=1+1", "'=1", "''", "'", "-", "+a", "@x", "\t=x", '"', 'a,"b"\r\nc', "＝1", "'a"))
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def stored(draw: st.DrawFn) -> Event:
    """Any event as a database would give it back."""
    kind = draw(st.sampled_from(("label", "unsure", "undo", "adjudicate")))
    try:
        return checked(
            Event(
                key=draw(st.uuids()).hex,
                annotator="x" + draw(hard) if draw(st.booleans()) else "=ann",
                bundle=draw(hard) + "b",
                address=draw(st.sampled_from(("L0.H1", "L1.N2>L3.H4", "N2.H3", "demo-vit:L3.N17", "-vit:=.N1"))),
                end=draw(st.sampled_from(("+", "-", ""))),
                kind=kind,
                text=draw(hard) + ("x" if kind in ("label", "adjudicate") else ""),
                tags=tuple(draw(st.lists(hard, max_size=3))),
                confidence=draw(st.none() | st.floats(0, 1)),
                evidence=draw(st.dictionaries(anything, json_values, max_size=3)),
                automatic=draw(st.none() | hard),
                reason=draw(hard) + "r",
                undoes=draw(st.uuids()).hex if kind == "undo" else None,
                model=draw(hard),
                queue=draw(hard),
                blind=draw(st.booleans()),
                seq=draw(st.integers(1, 2**53)),
                at=draw(st.integers(1, 1_790_000_000_000_000)),
            )
        )
    except LabelRejected:  # the evidence was too long
        raise AssertionError("what is drawn is to be storable") from None


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None)
@given(st.lists(stored(), min_size=1, max_size=4, unique_by=lambda event: event.key))
def test_what_goes_out_comes_back(format: str, events: list[Event]) -> None:
    found = read(export(events, format), "labels")
    assert found == sorted(events, key=lambda event: (event.at, event.seq, event.key))
