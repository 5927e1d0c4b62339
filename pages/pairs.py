"""Pairs of a neuron and a head that reads it: a table to find one by; its texts, images, neuron and head."""

from typing import Any

import streamlit as st

from core.store.pair_answers import PairSummary
from core.store.pairs import PairTable
from pages._ui import (
    figures,
    labels,
    pairs_image,
    pairs_images,
    pairs_maps,
    pairs_none,
    pairs_steps,
    pairs_table,
    pairs_texts,
    pairs_view,
    resources,
    scores,
    states,
    steps,
)
from pages._ui.pairs_table import Listed
from pages._ui.pairs_view import TABS, PairsView
from pages._ui.resources import Opened
from pages._ui.selection import Chosen


def main() -> None:
    opened = resources.current()
    table = opened.store.pairs
    if table is None:
        st.title("Pairs")
        pairs_none.draw()
        return
    chosen = pairs_view.read(opened.store, table)
    steps.style()
    if chosen.view.pair is None:
        st.title("Pairs")
        listed = _listed(opened, chosen, table)
        pairs_steps.draw(chosen, table, listed)
        pairs_table.draw(opened, chosen, table, listed)
        figures.page_data(lambda: {"bundle": opened.name, "view": chosen.view, "pairs": listed}, "pairs")
        return
    summary = table.summary(chosen.view.pair)
    pairs_texts.title(summary, summary.label or table.short(summary.address))
    given = labels.beside(opened.store.facts().bundle, summary.address)
    pairs_steps.draw(chosen, table, _listed(opened, chosen, table), summary)
    if not summary.score:
        states.empty("This pair does nothing", "What it writes does not vary over the images, so nothing tells.")
        return
    left, right = steps.halves()
    with left:
        scored = scores.ends(opened, summary.address) if summary.label else {}
        told = pairs_texts.draw(chosen, table, summary) | {"scores": scored}
    drawn: dict[str, Any] = {}
    with right, states.calm():  # an image that cannot be shown costs its part of the page only
        drawn = _tab(opened, chosen, table, summary)
    everything = {"bundle": opened.name, "view": chosen.view, "pair": summary, "by hand": given}
    figures.page_data(lambda: everything | told | drawn, "pair")


def _listed(opened: Opened, chosen: Chosen[PairsView], table: PairTable) -> Listed:
    """What the table lists; nothing, and a sentence, where a text cannot be asked for."""
    with states.calm():
        return pairs_table.matching(opened, table, chosen.view)
    return Listed((), 0, len(table.columns().row_p))


def _tab(opened: Opened, chosen: Chosen[PairsView], table: PairTable, summary: PairSummary) -> dict[str, Any]:
    """The right half; returns what it drew."""
    tab = chosen.view.tab
    st.segmented_control(
        "Show", list(TABS), format_func=lambda tab: TABS[tab], label_visibility="collapsed", required=True,
        wrap=True, **chosen.bound("tab"),
    )  # fmt: skip
    if tab == "image":
        return pairs_image.draw(opened, chosen, table, summary)
    pairs_maps.controls(chosen)
    tabs = {"ends": pairs_images.ends, "intervals": pairs_images.intervals, "levels": pairs_images.levels}
    return (tabs | {"sub": pairs_images.sub})[tab](opened, chosen, table, summary)
