"""Every head as a row of a table that can be sorted and taken along, and that links to each head."""

import pandas as pd
import streamlit as st

from core.store import Facts
from pages._ui import linked_table, links, overview_grid
from pages._ui.resources import Opened
from pages._ui.words import count

FIRST = f"first {overview_grid.FIRST} texts"
HELP = {
    "head": "Opens the head's page.",
    "label": "The first texts that explain the head.",
    "share": "Of the output's variance; all parts give 100 %.",
    FIRST: "Fraction of the head's own variance that they explain.",
    "all texts": "Fraction of the head's own variance that they explain.",
}


def draw(opened: Opened, facts: Facts) -> None:
    """The section."""
    st.subheader("All heads")
    st.caption(f"Click a column's name to sort. Shares and fractions are of {count(facts.ok, 'image')}.")
    made = rows(opened)
    formats = {name: "{:.1%}" for name in made.columns if name not in ("head", "label")}
    address = lambda row: links.href("heads", head=row["head"])
    linked_table.draw(made, "all-heads", "All heads", address, told=HELP, formats=formats, csv="heads")


def rows(opened: Opened) -> pd.DataFrame:
    """The table: address, label, share of the output's variance, fractions explained by the first and by all texts."""
    heads = opened.store.heads()
    return pd.DataFrame(
        {
            "head": [head.address for head in heads],
            "label": ["; ".join(head.texts) for head in heads],
            "share": [head.share for head in heads],
            FIRST: overview_grid.first_explained(opened),
            "all texts": [head.explained for head in heads],
        }
    )
