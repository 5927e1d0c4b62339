"""Which pair: a field to search, buttons and keys that step through the table's pairs, and the ways to its neuron, its
head and the table."""

from typing import Any

import streamlit as st

from core.ids import Head, Neuron, Pair, Unit
from core.store.pair_answers import PairSummary
from core.store.pairs import PairTable
from pages._ui import overview_entry, selection, steps
from pages._ui.pairs_table import Listed
from pages._ui.selection import Chosen


def draw(chosen: Chosen[Any], table: PairTable, listed: Listed, summary: PairSummary | None = None) -> None:
    """All of it. Another pair keeps the tab and the heatmaps."""
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        steps.find(
            chosen,
            lambda unit: reached(table, unit),
            lambda text: {"label": text, "pair": None},
            example=f"snow, or {table.address(table.columns().row_p[0])}",
            told="Part of a label lists the pairs that have it; a neuron's or a head's address lists its pairs; a "
            "pair's goes to that pair. The key / comes here.",
        )
        steps.walk(chosen, listed.names, "pair")
    if summary is None:
        return
    with steps.onward(summary.address):
        st.button("All pairs", icon=":material/table_rows:", on_click=chosen.go, kwargs={"pair": None})
        _elsewhere("neuron", summary.neuron, ":material/hub:")
        if table.analysed(summary.head):
            _elsewhere("head", summary.head, ":material/center_focus_strong:")


def _elsewhere(field: str, address: str, icon: str) -> None:
    """The way to the page of the pair's neuron or head."""
    st.page_link(
        overview_entry.target(f"{field}s", f"{field.capitalize()}s"),
        label=f"{field.capitalize()} {address}",
        icon=icon,
        query_params=selection.query(**{field: address}),
        width="content",
    )


def reached(table: PairTable, unit: Unit) -> dict[str, Any]:
    """Where an address leads: a pair's page, or the table of a neuron's or a head's pairs. AddressError."""
    if isinstance(unit, Pair):
        table.at(unit)
        return {"pair": unit, "label": ""}
    everything: dict[str, Any] = {"pair": None, "label": "", "near": "", "neuron": None, "head": None}
    if isinstance(unit, Neuron):
        table.neurons.at(unit)
        return everything | {"neuron": unit, "sort": "share"}
    assert isinstance(unit, Head)
    table.check_head(unit)
    return everything | {"head": unit, "sort": "score"}
