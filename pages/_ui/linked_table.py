"""A small table whose first column links to each row's page; sorted in the browser, its text set as text."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import figures

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "unitscope_table",
    html='<div class="scroller" tabindex="0" role="region"><table></table></div>',
    css=(_HERE / "linked_table.css").read_text(),
    js=(_HERE / "linked_table.js").read_text(),
)


def draw(
    made: pd.DataFrame, name: str, label: str, href: Callable[[Mapping[Any, Any]], str], *,
    told: Mapping[str, str] | None = None, formats: Mapping[str, str] | None = None, csv: str | None = None,
    height: str = "30rem",
) -> None:  # fmt: skip
    """Draw `made`. `href` gives a row's address, "" for none; `told` says what a column is; columns in `formats` are
    numbers and shown so ("{:.1%}"). `csv` names the file where it is not `name`. Taller than `height` it scrolls."""
    _mount(key=name, data=drawn(made, label, href, told or {}, formats or {}) | {"height": height})
    figures.csv(made, csv or name)


def drawn(
    made: pd.DataFrame, label: str, href: Callable[[Mapping[Any, Any]], str], told: Mapping[str, str],
    formats: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """What the browser draws: of each row the values to sort by, how they are shown, and where it leads."""
    return {
        "label": label,
        "columns": [{"name": name, "help": told.get(name, ""), "number": name in formats} for name in made.columns],
        "rows": [
            {
                "href": href(row),
                "values": list(row.values()),
                "shown": [formats[name].format(value) if name in formats else value for name, value in row.items()],
            }
            for row in made.to_dict("records")
        ],
    }
