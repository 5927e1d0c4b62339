"""Scores of labels that people gave, on images other than those that they were shown: beside a label, and in files."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from core.errors import UnitscopeError
from core.labels.events import Event
from core.labels.ledger import Ledger
from pages._ui import scores, states
from pages._ui.agreement_subject import TEXTS, Concepts, Subject, Units
from pages._ui.resources import Opened

SECONDS = 0.05
"""About what a label's score takes the first time, most of it bootstrap samples."""


def beside(subject: Subject, given: Sequence[Event]) -> None:
    """The score of a label, where it can be one, which is of units that are here; `given` are all who gave it."""
    event = given[0]
    if event.kind != "label" or subject.rank(event.address) is None:
        return
    with states.calm(), st.spinner("Scoring the label"):
        seen = frozenset().union(*(each.seen for each in given))
        if isinstance(subject, Units):
            scores.beside(subject.opened, event.address, event.end, event.text, seen)
        elif isinstance(subject, Concepts) and (concept := subject.opened.store.concept(event.address)):
            scores.of_concept(subject.opened.store, concept, event.text, seen)


def automatic(subject: Subject, address: str, end: str) -> None:
    """The score of the first text of an automatic label."""
    if isinstance(subject, Concepts):
        concept = subject.opened.store.concept(address)
        if concept is not None and concept.label is not None:
            with states.calm(), st.spinner("Scoring the label"):
                scores.of_concept(subject.opened.store, concept, concept.label.text)
        return
    if not isinstance(subject, Units):
        return
    card = subject.opened.store.units.card(address, TEXTS)
    if texts := card.minus if end == "-" else card.plus:
        with states.calm(), st.spinner("Scoring the label"):
            scores.beside(subject.opened, address, end or "+", texts[0], before=f"“{texts[0]}”:" if texts[1:] else "")


def columns(opened: Opened) -> Callable[[Event], Mapping[str, float] | None]:
    """For files: a label's figures; None for what is no label, or cannot be scored."""
    bundle = opened.store.facts().bundle

    def score(event: Event) -> Mapping[str, float] | None:
        if event.kind not in ("label", "adjudicate") or event.bundle != bundle:
            return None
        scores.await_model(opened)
        try:
            found, _ = scores.of(opened, event.address, event.end, event.text, event.seen)
        except UnitscopeError:  # a unit that is not here
            return None
        if found is None:
            return None
        r = found.pearson
        made = {"pearson": r.value, "pearson_low": r.low, "pearson_high": r.high}
        made |= {"random_pearson": found.random["pearson"].value, "images": float(found.images)}
        made |= {"base_rate": found.base_rate}
        return made | {name: getattr(found, name).value for name in ("auprc", "f1", "auroc")}

    return score


def told(opened: Opened, ledger: Ledger) -> Callable[[str, str, str], str | None]:
    """For the report: a label's score in words, on images that nobody was shown who gave it."""

    def score(address: str, end: str, text: str) -> str | None:
        scores.await_model(opened)
        given = (event for event in ledger.standing(address, end).by.values() if event.text == text)
        try:
            found, _ = scores.of(opened, address, end, text, frozenset().union(*(event.seen for event in given)))
        except UnitscopeError:
            return None
        return scores.badge(found) if found is not None else None

    return score
