"""Deciding a dispute: what each said, which label it shall be and why; saved once however often it is sent; undone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import LabelRejected, UnitscopeError
from core.labels.events import MAX_REASON, MAX_TEXT, Event, new_key
from core.labels.ledger import About, Standing
from pages._ui import agreement_scores, labels, states
from pages._ui.agreement_overview import told
from pages._ui.agreement_view import Asked, written
from pages._ui.words import plain

DIGITS = 9
_NOTICE, _LAST = "_agreement_notice", "_agreement_last"
_component = st.components.v2.component(
    "unitscope_agreement_keys", js=(Path(__file__).parent / "agreement_keys.js").read_text()
)


def notices(asked: Asked) -> None:
    """What became of the last decision, with the way to take it back. Its place is always there: were it to come and
    go, what is below would be drawn anew, and the field that one types in lose the focus."""
    found = st.session_state.pop(_NOTICE, None)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="decide-notice"):
        if isinstance(found, Exception):
            states.problem(found)
        elif found:
            st.success(plain(found, 500), icon=":material/check:")
            last: Event | None = st.session_state.get(_LAST)
            if last is not None and last.bundle == asked.subject.id:
                _undo(asked, last, "Take it back", "last")


def draw(asked: Asked, about: About, standing: Standing, choices: Sequence[Sequence[Event]]) -> None:
    """What was said, and the form. Keys: digits choose, Enter saves."""
    _component(key="agreement-keys")
    slot = _slot(about, standing)
    for n, events in enumerate(choices, 1):
        _choice(asked, slot, n, events)
    for event in standing.by.values():
        if event.kind in ("unsure", "skip"):
            st.caption(plain(f"{event.annotator} {'was unsure' if event.kind == 'unsure' else 'skipped it'}"))
    decision = standing.adjudication
    if decision is not None:
        with st.container(border=True):
            st.markdown(f"**Decided: {plain(decision.text, MAX_TEXT)}**")
            st.caption(plain(f"by {decision.annotator}, {told(decision.at)} UTC. {decision.reason}", MAX_REASON + 200))
            if decision.annotator == labels.annotator():
                _undo(asked, decision, "Take my decision back", "shown")
            else:
                st.caption("Only who decided can take it back; a decision of yours takes its place.")
    if labels.choose():
        _form(asked, about, slot, revise=decision is not None)


def _slot(about: About, standing: Standing) -> str:
    """Names the form's fields: what is typed stays while others label, and is gone once it is saved."""
    decision = standing.adjudication
    side = {"+": "plus", "-": "minus"}.get(about[1], "whole")  # keys become names of CSS classes, which have no signs
    return f"{about[0]}-{side}-{decision.key if decision and decision.annotator == labels.annotator() else ''}"


def _choice(asked: Asked, slot: str, n: int, events: Sequence[Event]) -> None:
    text = events[0].text if events[0].kind == "label" else "uninterpretable"
    with st.container(border=True):
        st.button(
            f"{n}   {plain(text)}" if n <= DIGITS else plain(text), key=f"choice-{n}-{slot}", width="stretch",
            on_click=_choose, args=(slot, text)
        )  # fmt: skip
        for event in events:
            st.caption(plain(_who(event), 2_000))
        agreement_scores.beside(asked.subject, events)


def _who(event: Event) -> str:
    """Who said it, when, how sure and how."""
    parts = [event.annotator, f"{told(event.at)} UTC"]
    if event.confidence is not None:
        parts.append(f"confidence {event.confidence:.0%}")
    parts.append("blind" if event.blind else "not blind")
    if event.tags:
        parts.append(f"tags: {', '.join(event.tags)}")
    if len(event.senses) > 1:
        parts.append(f"{len(event.senses)} senses")
    return " · ".join(parts)


def _choose(slot: str, text: str) -> None:
    st.session_state[f"decide-text-{slot}"] = text


def _form(asked: Asked, about: About, slot: str, *, revise: bool) -> None:
    key = st.session_state.setdefault(f"_decide_{slot}", new_key())
    with st.form(f"decide-form-{slot}", border=False):
        st.text_input("The label it shall be", key=f"decide-text-{slot}", placeholder="one of the above, or another")
        st.text_input("Why", key=f"decide-reason-{slot}", placeholder="in a few words: others will ask")
        st.form_submit_button(
            "Decide otherwise" if revise else "Save and next", key=f"decide-save-{slot}", type="primary",
            icon=":material/gavel:", on_click=_save, args=(asked, about, slot, key, _following(asked, about)),
        )  # fmt: skip
    st.caption("Keys: digits take an answer, Enter saves, Esc leaves a field, j and k step.")


def _following(asked: Asked, about: About) -> str | None:
    """What to show next: the one after this, or the first."""
    listed = [each for each in asked.disputes if each != about]
    at = asked.disputes.index(about) if about in asked.disputes else 0
    return written(listed[at % len(listed)]) if listed else None


def _save(asked: Asked, about: About, slot: str, key: str, following: str | None) -> None:
    """The key was made when the form was drawn, so a second press of it sends the same event, which is stored once."""
    address, end = about
    standing = asked.everything[about]
    try:
        (stored,) = labels.database().add(
            [
                _event(
                    asked, key, address, end, kind="adjudicate", text=st.session_state[f"decide-text-{slot}"],
                    reason=st.session_state[f"decide-reason-{slot}"],
                    evidence={"said": [event.key for event in standing.by.values()][:200]},
                    automatic=asked.subject.line(address) or None,
                )
            ]
        )  # fmt: skip
    except UnitscopeError as error:
        st.session_state[_NOTICE] = error
        return
    st.session_state.pop(f"_decide_{slot}", None)  # what is said here later, as after an undo, is another event
    st.session_state[_LAST] = stored
    st.session_state[_NOTICE] = f"Saved: {address} {end} is “{stored.text}”."
    asked.chosen.go(about=following if asked.view.show == "open" else written(about))


def _undo(asked: Asked, decision: Event, label: str, place: str) -> None:
    key = st.session_state.setdefault(f"_undo_{decision.key}", new_key())
    st.button(
        label, key=f"decide-undo-{place}-{decision.key}", icon=":material/undo:", type="tertiary",
        on_click=_take_back, args=(asked, decision, key),
    )  # fmt: skip


def _take_back(asked: Asked, decision: Event, key: str) -> None:
    event = _event(asked, key, decision.address, decision.end, kind="undo", undoes=decision.key)
    try:
        labels.database().add([event])
    except UnitscopeError as error:
        st.session_state[_NOTICE] = error
        return
    st.session_state.pop(_LAST, None)
    st.session_state[_NOTICE] = f"Taken back: {decision.address} {decision.end} is open again."
    asked.chosen.go(about=written((decision.address, decision.end)))


def _event(asked: Asked, key: str, address: str, end: Any, **said: Any) -> Event:
    name = labels.annotator()
    if not name:
        raise LabelRejected("Say who you are first: a decision belongs to somebody.")
    return Event(key, name, asked.subject.id, address, end, model=asked.subject.model, **said)
