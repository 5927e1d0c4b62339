"""Figures, tables and a page's data, each in one place to draw it and one way to take it along.

Colours and fonts come from the theme in .streamlit/config.toml (charts follow it, light or dark), so figures here set
only what that leaves open.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

_CSS = """
.row { display: flex; gap: 6px; justify-content: flex-end; }
button {
  all: unset; cursor: pointer; padding: 1px 8px; border: 1px solid var(--st-border-color); opacity: 0.8;
  border-radius: var(--st-base-radius, 6px); color: var(--st-text-color); font: 0.72rem var(--st-font, sans-serif);
}
button:hover { opacity: 1; border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); }
"""
_export = st.components.v2.component(
    "unitscope_figure_export",
    html='<div class="row"><button type="button" data-format="png">PNG</button>'
    '<button type="button" data-format="svg">SVG</button></div>',
    css=_CSS,
    js=(Path(__file__).parent / "figures.js").read_text(),
)
DIVERGING = "RdBu"
"""For signed numbers, centred on zero: + is blue, − is red."""
SEQUENTIAL = "Blues"
_ON_LIGHT = "#4a5359"
_HIDDEN_CAMERA = '<style>[class*="st-key-figure-"] .modebar-container { display: none }</style>'


def show(figure: go.Figure, name: str, *, height: int = 360, on_select: Callable[[], None] | None = None) -> Any:
    """Draw a figure with PNG and SVG buttons; `name` (letters, digits, dashes; one a page) names the files too.

    With `on_select`, a click on a point calls it before the script runs again, and st.session_state[name] has the
    point; returns what st.plotly_chart returns.
    """
    figure.update_layout(height=height, margin={"l": 8, "r": 8, "t": 36 if figure.layout.title.text else 12, "b": 8})
    axes: dict[str, Any] = {"automargin": True}
    if st.context.theme.type != "dark":  # the theme's own grey is too light to be read on a light page
        axes |= {"tickfont": {"color": _ON_LIGHT}, "title": {"font": {"color": _ON_LIGHT}}}
    figure.update_xaxes(**axes)
    figure.update_yaxes(**axes)
    # the two buttons below press the chart's own camera, so it must be in the page, unseen: it would hide some
    config: dict[str, Any] = {"displaylogo": False, "displayModeBar": True, "modeBarButtons": [["toImage"]]}
    with st.container(key=f"figure-{name}"):
        st.html(_HIDDEN_CAMERA)
        event = st.plotly_chart(
            figure, key=name, config=config, on_select=on_select or "ignore", selection_mode="points"
        )
    _export(key=f"export-{name}", data={"chart": f"figure-{name}", "filename": f"unitscope-{name}"})
    return event


def table(
    rows: pd.DataFrame, name: str, *, columns: Mapping[str, Any] | None = None, height: int | None = None,
    on_row: Callable[[int], None] | None = None,
) -> None:  # fmt: skip
    """A table, sortable, with a CSV button that gives all of it with full precision.

    With `on_row`, a click calls it with the row's number in `rows`, however the table is sorted in the browser.
    """
    key = f"table-{name}"
    more: dict[str, Any] = {}
    if on_row is not None:

        def clicked() -> None:
            chosen = st.session_state[key].selection
            at = [*chosen.rows, *(row for row, _ in chosen.cells)]
            if at and 0 <= at[0] < len(rows):
                on_row(at[0])

        more = {"on_select": clicked, "selection_mode": ["single-row", "single-cell"]}
    if height is not None:
        more["height"] = height
    st.dataframe(rows, hide_index=True, column_config=dict(columns or {}), key=key, **more)
    csv(rows, name)


def csv(rows: pd.DataFrame, name: str) -> None:
    """The button that gives a table as CSV."""
    st.download_button(
        "CSV",
        data=lambda: rows.to_csv(index=False).encode(),  # made when asked for, not at each run
        file_name=f"unitscope-{name}.csv",
        mime="text/csv",
        key=f"csv-{name}",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
    )


def page_data(data: Callable[[], Any], name: str) -> None:
    """A button that gives everything the page shows as JSON; `data` is called when it is pressed."""
    st.download_button(
        "This page's data (JSON)",
        data=lambda: to_json(data()),
        file_name=f"unitscope-{name}.json",
        mime="application/json",
        key=f"json-{name}",
        type="tertiary",
        icon=":material/data_object:",
        on_click="ignore",
    )


def to_json(data: Any) -> bytes:
    """JSON of plain values, mappings, dataclasses, NumPy arrays and numbers; addresses as text, NaN as null."""
    return json.dumps(_plain(data), ensure_ascii=False, indent=1, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        # a unit's address has a text form of its own, which is what links and files use
        return str(value) if type(value).__module__ == "core.ids" else _plain_fields(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, str | int | bool | type(None)) else str(value)


def _plain_fields(value: Any) -> dict[str, Any]:
    return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
