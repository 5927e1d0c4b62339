"""Three neurons to start with, where the bundle has neurons, picked by a rule that the page states."""

import numpy as np
import streamlit as st

from core.store.heads import short_label
from core.store.neuron_answers import NeuronColumns
from pages._ui import overview_entry, selection
from pages._ui.resources import Opened
from pages._ui.words import count

CARDS = 3
EXPLAINED = 0.8
CONCEPTS = 2
RULE = (
    f"Picked by rule: of the neurons whose direction explains at least {EXPLAINED:.0%} of their largest effects, and "
    f"whose images make one or two concepts, the strongest; where there are none, the strongest of all. "
    "The pictures are the three of largest coefficient."
)


def picked(columns: NeuronColumns) -> np.ndarray:
    """Rows of the neurons, by RULE."""
    clear = (columns.explained >= EXPLAINED) & (columns.concepts >= 1) & (columns.concepts <= CONCEPTS)
    return np.lexsort((-columns.std, ~clear))[:CARDS]


def draw(opened: Opened) -> tuple[str, ...]:
    """The section; the addresses it shows, none for a bundle without neurons."""
    table = opened.store.neurons
    if table is None:
        return ()
    columns = table.columns()
    st.subheader("Try these neurons")
    rows = picked(columns)
    for place, row in zip(st.columns(CARDS), rows, strict=False):
        with place, st.container(border=True):
            address, concepts = columns.address[row], int(columns.concepts[row])
            label = short_label(columns.label[row].split("; "))
            why = f"{columns.explained[row]:.0%} along its direction, {count(concepts, 'concept')}"
            hits = table.ends(address, 12).plus[:3]  # of so many, as some are folded
            page = overview_entry.target("neurons", "Neurons")
            overview_entry.card(opened, address, label, why, hits, page, "neuron")
    st.page_link(
        overview_entry.target("neurons", "Neurons"),
        label=f"All {len(columns.address):,} neurons",
        icon=":material/table_rows:",
        query_params=selection.query(),
    )
    with st.expander("How these neurons were picked"):
        st.caption(f"{RULE} Numbers are {table.population}.")
    return tuple(columns.address[row] for row in rows)
