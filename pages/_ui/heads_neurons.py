"""The neurons that write through a head, where the bundle has neurons."""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import linked_table, links, selection
from pages._ui.overview_entry import target
from pages._ui.resources import Opened

SHOWN = 12


def draw(opened: Opened, address: str) -> dict[str, Any]:
    """The section; returns what it drew."""
    if opened.store.neurons is None:
        return {}
    found = opened.store.neurons.through(address, SHOWN)
    st.subheader("Neurons that write through it", anchor=False)
    if not found:
        st.caption("None: no layer below this head is among those whose neurons were analysed.")
        return {"neurons": found}
    st.caption(
        f"Share: how much of the variance of the neuron's coefficient goes through this head. In the order of that "
        f"share of the neuron's strength; {opened.store.neurons.population}."
    )
    rows = pd.DataFrame(
        [[each.address, each.label, each.share, each.carried] for each in found],
        columns=["neuron", "label", "share", "carries"],
    )
    to_pairs = {"pair": lambda row: links.pair(row["neuron"], address)} if opened.store.pairs is not None else {}
    if to_pairs:
        rows.insert(3, "pair", rows["neuron"])
    linked_table.draw(
        rows,
        f"neurons-of-{address.replace('.', '-')}", "Neurons that write through this head",
        lambda row: links.href("neurons", neuron=row["neuron"]), height="20rem",
        formats={"share": "{:.0%}", "carries": "{:.4f}"}, links=to_pairs,
    )  # fmt: skip
    if to_pairs:
        st.page_link(
            target("pairs", "Pairs"), label="What it makes of each neuron", icon=":material/join_inner:",
            query_params=selection.query(head=address),
        )  # fmt: skip
    return {"neurons": found}
