"""Agreement: what annotators said of units, how far they agree, where they differ, and who decides; export, import."""

from typing import Any

import streamlit as st

from core.errors import LabelsUnavailable
from pages._ui import (
    agreement_disputes,
    agreement_figures,
    agreement_files,
    agreement_filters,
    agreement_labels,
    agreement_overview,
    agreement_view,
    dictionaries,
    figures,
    labels,
    resources,
    states,
    steps,
)
from pages._ui.agreement_subject import Concepts, Subject, Units
from pages._ui.agreement_view import TABS, Asked


def main() -> None:
    opened = resources.current()
    st.title("Agreement")
    steps.style()
    labels.listen()
    try:
        asked = _asked(_subject(opened))
    except LabelsUnavailable as error:
        states.problem(error)
        st.button("Look again", icon=":material/refresh:", type="primary")
        return
    agreement_filters.source(asked)
    st.segmented_control(
        "Show", list(TABS), format_func=TABS.__getitem__, label_visibility="collapsed", required=True,
        wrap=True, **asked.chosen.bound("tab"),
    )  # fmt: skip
    if asked.view.tab == "files":
        agreement_files.draw(asked)
        return
    if not asked.everything:
        agreement_overview.nothing()
        return
    agreement_filters.draw(asked)
    if not asked.standings:
        states.empty("No label passes", "Take away a filter above.")
        return
    drawn: dict[str, Any] = {}
    with states.calm():
        drawn = _tab(asked, opened)
    figures.page_data(lambda: {"of": asked.subject.id, "view": asked.view} | drawn, "agreement")


def _tab(asked: Asked, opened: resources.Opened) -> dict[str, Any]:
    """The page's body; returns what it drew."""
    if asked.view.tab == "agreement":
        return agreement_figures.draw(asked, opened)
    if asked.view.tab == "disagreements":
        return agreement_disputes.draw(asked, opened)
    return (agreement_labels.draw if asked.view.tab == "labels" else agreement_overview.draw)(asked)


def _subject(opened: resources.Opened) -> Subject:
    """The dictionary that the URL names, else the open bundle."""
    name = st.query_params.get("dictionary")
    return Concepts(dictionaries.open_named(name)) if name in dictionaries.names() else Units(opened)


def _asked(subject: Subject) -> Asked:
    """LabelsUnavailable, with advice, which is all the page then shows."""
    ledger = labels.ledger(subject.id)
    everything = ledger.all()
    events = [event for standing in everything.values() for event in standing.by.values()]
    layers = {layer for address, _ in everything if (layer := subject.place(address)[1]) is not None}
    chosen = agreement_view.read(
        sorted({event.queue for event in events}), sorted(layers), sorted({event.annotator for event in events})
    )
    return Asked(chosen, subject, ledger, ledger.refresh(), everything)
