"""A small table whose first column links to each row's page; sorted in the browser, its text set as text."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import figures

Links = Callable[[Mapping[Any, Any]], Sequence[tuple[str, str]]]
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
    height: str = "30rem", links: Mapping[str, Links] | None = None,
) -> None:  # fmt: skip
    """Draw `made`. `href` gives a row's address, "" for none; `told` says what a column is; columns in `formats` are
    numbers and shown so ("{:.1%}"); columns in `links` show several links, (text, address) each. `csv` names the file
    where it is not `name`. Taller than `height` it scrolls."""
    _mount(key=name, data=drawn(made, label, href, told or {}, formats or {}, links or {}) | {"height": height})
    figures.csv(made, csv or name)


def drawn(
    made: pd.DataFrame, label: str, href: Callable[[Mapping[Any, Any]], str], told: Mapping[str, str],
    formats: Mapping[str, str], links: Mapping[str, Links] = MappingProxyType({}),
) -> dict[str, Any]:  # fmt: skip
    """What the browser draws: of each row the values to sort by, how they are shown, and where it leads."""
    return {
        "label": label,
        "columns": [{"name": name, "help": told.get(name, ""), "number": name in formats} for name in made.columns],
        "rows": [
            {
                "href": href(row),
                "values": list(row.values()),
                "shown": [
                    links[name](row) if name in links else formats[name].format(value) if name in formats else value
                    for name, value in row.items()
                ],
            }
            for row in made.to_dict("records")
        ],
    }
