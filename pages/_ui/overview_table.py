"""Every head as a row of a table that can be sorted and taken along."""

import pandas as pd
import streamlit as st

from core.store import Facts
from pages._ui import figures, overview_grid, selection
from pages._ui.resources import Opened
from pages._ui.words import count

_FIRST = f"first {overview_grid.FIRST} texts"


def draw(opened: Opened, facts: Facts) -> None:
    """The section."""
    st.subheader("All heads")
    st.caption(f"Click a column's name to sort. Shares and fractions are of {count(facts.ok, 'image')}.")
    share = st.column_config.NumberColumn(format="percent", help="Of the output's variance; all parts give 100 %.")
    explained = st.column_config.NumberColumn(format="percent", help="Of the head's own variance.")
    label = st.column_config.TextColumn(width="large", help="The first texts that explain the head.")
    open_it = st.column_config.LinkColumn(display_text="open", help="The head's page, in a new tab.")
    shown = {"label": label, "share": share, _FIRST: explained, "all texts": explained, "open": open_it}
    figures.table(rows(opened), "heads", columns=shown)


def rows(opened: Opened) -> pd.DataFrame:
    """The table: address, label, share of the output's variance, fractions explained, and a link."""
    heads = opened.store.heads()
    return pd.DataFrame(
        {
            "head": [head.address for head in heads],
            "label": ["; ".join(head.texts) for head in heads],
            "share": [head.share for head in heads],
            _FIRST: overview_grid.first_explained(opened),
            "all texts": [head.explained for head in heads],
            "open": [f"/{selection.href('heads', head=head.address)}" for head in heads],
        }
    )
