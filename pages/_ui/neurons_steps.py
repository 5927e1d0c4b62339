"""Which neuron: a field to search, the way to the table, and buttons and keys that step through it and the layers."""

import random
from typing import Any

import numpy as np
import streamlit as st

from core.errors import AddressError
from core.ids import Neuron, parse
from core.store.neurons import NeuronTable
from pages._ui import keys, steps
from pages._ui.neurons_view import MOST_CHARACTERS
from pages._ui.selection import Chosen


def draw(chosen: Chosen[Any], table: NeuronTable, rows: np.ndarray) -> None:
    """All of it in one row. Steps go through `rows`, the neurons that pass the table's filters, in its order; another
    neuron keeps the tab and the heatmaps."""
    view, columns = chosen.view, table.columns()
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        _field(chosen, table)
        address = str(view.neuron)
        names = [columns.address[row] for row in rows]
        at = names.index(address) if address in names else None
        others = [name for name in names if name != address]
        known = lambda n: parse(names[n]) if 0 <= n < len(names) else None
        keys.stepper(
            chosen.go,
            previous=known(at - 1) if at is not None else None,
            following=known(at + 1) if at is not None else known(0),
            random=parse(random.choice(others)) if others else None,
            field="neuron",
            noun="neuron",
        )
        if view.neuron is None:
            return
        go = lambda layer: chosen.go(neuron=Neuron(layer, view.neuron.neuron))
        steps.layers(table.layers, view.neuron.layer, go, "neuron")
        st.button("All neurons", icon=":material/table_rows:", on_click=chosen.go, kwargs={"neuron": None})


def _field(chosen: Chosen[Any], table: NeuronTable) -> None:
    """An address goes there; other words filter the table by label. The key / comes here."""
    key = "unit-search"
    st.session_state[key] = chosen.view.label

    def changed() -> None:
        text = st.session_state[key].strip()[:MOST_CHARACTERS].replace("\0", "")
        try:
            table.at(text.upper())
        except AddressError:
            chosen.go(label=text, neuron=None)
        else:
            chosen.go(neuron=parse(text.upper()), label="")

    st.text_input(
        "Find",
        key=key,
        placeholder="snow, or L9.N1234",
        on_change=changed,
        help="Part of a label lists the neurons that have it; an address goes to that neuron. The key / comes here.",
        width=300,
    )
