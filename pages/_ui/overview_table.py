"""Every head as a row of a table that can be sorted and taken along, and that links to each head."""

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.store import Facts
from pages._ui import figures, links, overview_grid
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
_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "unitscope_table",
    html='<div class="scroller" tabindex="0" role="region" aria-label="All heads"><table></table></div>',
    css=(_HERE / "overview_table.css").read_text(),
    js=(_HERE / "overview_table.js").read_text(),
)


def draw(opened: Opened, facts: Facts) -> None:
    """The section."""
    st.subheader("All heads")
    st.caption(f"Click a column's name to sort. Shares and fractions are of {count(facts.ok, 'image')}.")
    made = rows(opened)
    _mount(key="all-heads", data=drawn(made))
    figures.csv(made, "heads")


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


def drawn(made: pd.DataFrame) -> dict[str, Any]:
    """What the browser draws: of each row the values to sort by, how they are shown, and where it leads."""
    numbers = [name for name in made.columns if name not in ("head", "label")]
    return {
        "label": "All heads",
        "columns": [{"name": name, "help": HELP[name], "number": name in numbers} for name in made.columns],
        "rows": [
            {
                "href": links.href("heads", head=row["head"]),
                "values": list(row.values()),
                "shown": [f"{value:.1%}" if name in numbers else value for name, value in row.items()],
            }
            for row in made.to_dict("records")
        ],
    }
