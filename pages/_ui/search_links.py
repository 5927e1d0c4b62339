"""The way from a unit's page to whatever is like it."""

import streamlit as st

from pages._ui import selection
from pages._ui.overview_entry import target


def similar(address: str) -> None:
    """A link to the search for units of any kind whose direction is alike."""
    st.page_link(
        target("search", "Search"),
        label="Similar units of any kind",
        icon=":material/join:",
        query_params=selection.query(unit=address),
        width="content",
    )
