"""Neurons: all of them in a table; and what one does: its texts, its images, the heads that carry it, its concepts."""

from typing import Any

import streamlit as st

from pages._ui import (
    figures,
    labels,
    neurons_effects,
    neurons_images,
    neurons_maps,
    neurons_none,
    neurons_relabel,
    neurons_steps,
    neurons_table,
    neurons_texts,
    neurons_view,
    resources,
    scores,
    states,
    steps,
)
from pages._ui.neurons_view import TABS, NeuronsView
from pages._ui.resources import Opened
from pages._ui.selection import Chosen


def main() -> None:
    opened = resources.current()
    table = opened.store.neurons
    if table is None:
        st.title("Neurons")
        neurons_none.draw()
        return
    chosen = neurons_view.read(opened.store, table)
    rows = neurons_table.matching(table.columns(), chosen.view)
    steps.style()
    if chosen.view.neuron is None:
        st.title("Neurons")
        neurons_steps.draw(opened, chosen, table, rows)
        neurons_table.draw(opened, chosen, table, rows)
        return
    summary = table.summary(chosen.view.neuron)
    neurons_texts.title(summary, table)
    given = labels.beside(opened.store.facts().bundle, summary.address)
    neurons_steps.draw(opened, chosen, table, rows)
    if not summary.std:
        states.empty("This neuron is never active", "What it writes does not vary over the images, so nothing tells.")
        return
    left, right = steps.halves()
    with left:
        scored = scores.ends(opened, summary.address)
        told = neurons_texts.draw(opened, chosen, table) | {"scores": scored}
    drawn: dict[str, Any] = {}
    with right, states.calm():  # an image that cannot be shown costs its part of the page only
        drawn = _tab(opened, chosen)
    everything = {"bundle": opened.name, "view": chosen.view, "neuron": summary, "by hand": given}
    figures.page_data(lambda: everything | told | drawn, "neuron")


def _tab(opened: Opened, chosen: Chosen[NeuronsView]) -> dict[str, Any]:
    """The right half; returns what it drew."""
    tab = chosen.view.tab
    st.segmented_control(
        "Show", list(TABS), format_func=lambda tab: TABS[tab], label_visibility="collapsed", required=True,
        wrap=True, **chosen.bound("tab"),
    )  # fmt: skip
    if tab == "relabel":
        return neurons_relabel.draw(opened, chosen)
    if tab == "effects":
        return neurons_effects.draw(opened, chosen)
    neurons_maps.controls(chosen)
    tabs = {"ends": neurons_images.ends, "intervals": neurons_images.intervals, "measures": neurons_images.measures}
    return (tabs | {"concepts": neurons_images.concepts})[tab](opened, chosen)
