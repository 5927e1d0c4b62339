"""Which labels the Agreement page is about: the bundle's units or a dictionary's concepts, and filters of both."""

import streamlit as st

from pages._ui import dictionaries, selection
from pages._ui.agreement_subject import KINDS
from pages._ui.agreement_view import NO_QUEUE, Asked
from pages._ui.selection import BUNDLE
from pages._ui.words import plain

_UNITS = "Units of the bundle"
_SOURCE = "agreement-source"


def source(asked: Asked) -> None:
    """The picker between the bundle and dictionaries, where there are any."""
    names = dictionaries.names()
    if not names:
        return
    st.session_state[_SOURCE] = asked.view.dictionary or _UNITS
    st.selectbox(
        "Labels of", [_UNITS, *names], key=_SOURCE, on_change=_change, width=320,
        format_func=lambda name: name if name == _UNITS else f"Concepts of {name}",
    )  # fmt: skip


def draw(asked: Asked) -> None:
    """Filters that can leave something out; they are in the link."""
    events = [event for standing in asked.everything.values() for event in standing.by.values()]
    queues = sorted({event.queue or NO_QUEUE for event in events})
    places = {asked.subject.place(address) for address, _ in asked.everything}
    kinds = [kind for kind in KINDS if kind in {kind for kind, _ in places}]
    layers = sorted({layer for _, layer in places if layer is not None})
    names = sorted({event.annotator for event in events})
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        if len(queues) > 1 or asked.view.queue:
            st.selectbox(
                "Queue", queues, index=None, placeholder="all queues", width=220, **asked.chosen.bound("queue")
            )  # fmt: skip
        if len(names) > 1 or asked.view.annotator:
            _many(asked, "Annotators", "annotator", names, "everybody", 260)
        if len(kinds) > 1 or asked.view.kind:
            _many(asked, "Kinds", "kind", kinds, "all kinds", 200)
        if len(layers) > 1 or asked.view.layer:
            _many(asked, "Layers", "layer", layers, "all layers", 200)
        if any(event.blind for event in events) or asked.view.blind:
            st.toggle(
                "Blind only", **asked.chosen.bound("blind"), width="content",
                help="Only what was said before seeing the automatic label and what others said: agreement of these is "
                "the annotators' own.",
            )  # fmt: skip
        if asked.view.filters:
            st.button(
                "Clear filters", key="clear-filters", icon=":material/filter_alt_off:", on_click=_clear, args=(asked,)
            )


def _many(asked: Asked, label: str, field: str, options: list, none: str, width: int) -> None:
    key = f"AgreementView.{field}"
    st.session_state[key] = [value for value in getattr(asked.view, field) if value in options]
    st.multiselect(
        label, options, key=key, placeholder=none, width=width, format_func=lambda option: plain(option, 80),
        on_change=lambda: asked.chosen.go(**{field: tuple(st.session_state[key])}),
    )  # fmt: skip


def _clear(asked: Asked) -> None:
    asked.chosen.go(queue=None, kind=(), layer=(), annotator=(), blind=False)


def _change() -> None:
    """Other units: the rest of the view, its filters and what is shown, starts anew."""
    name = st.session_state[_SOURCE]
    tab = st.query_params.get("tab")
    query = selection.query(dictionary=None if name == _UNITS else name, tab=tab)
    st.query_params.from_dict({BUNDLE: st.query_params.get(BUNDLE, "")} | query)
