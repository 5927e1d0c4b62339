"""Which neuron: a field to search, the way to the table, and buttons and keys that step through it and the layers."""

from typing import Any

import numpy as np
import streamlit as st

from core.ids import Neuron, Unit
from core.store.neurons import NeuronTable
from pages._ui import rosetta_links, steps
from pages._ui.resources import Opened
from pages._ui.selection import Chosen


def draw(opened: Opened, chosen: Chosen[Any], table: NeuronTable, rows: np.ndarray) -> None:
    """All of it. Steps go through `rows`, the neurons that pass the table's filters, in its order; another
    neuron keeps the tab and the heatmaps."""
    view, columns = chosen.view, table.columns()
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        _field(chosen, table)
        steps.walk(chosen, [columns.address[row] for row in rows], "neuron")
        if view.neuron is None:
            return
        go = lambda layer: chosen.go(neuron=Neuron(layer, view.neuron.neuron))
        steps.layers(table.layers, view.neuron.layer, go, "neuron")
    with steps.onward(str(view.neuron)):
        st.button("All neurons", icon=":material/table_rows:", on_click=chosen.go, kwargs={"neuron": None})
        rosetta_links.to_concept(opened, str(view.neuron))


def _field(chosen: Chosen[Any], table: NeuronTable) -> None:
    """An address goes there; other words filter the table by label."""

    def reached(unit: Unit) -> dict[str, Any]:
        table.at(str(unit))
        return {"neuron": unit, "label": ""}

    steps.find(
        chosen,
        reached,
        lambda text: {"label": text, "neuron": None},
        example=f"snow, or {table.address(table.neurons // 2)}",
        told="Part of a label lists the neurons that have it; an address goes to that neuron. The key / comes here.",
    )
