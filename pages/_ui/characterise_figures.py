"""Charts and table of the Characterise page. Names of pools are cut and escaped: Plotly reads some HTML."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store import Characterised
from pages._ui.image_figures import short

COLUMNS = {
    "top-1": st.column_config.NumberColumn(format="percent"),
    "standard error": st.column_config.NumberColumn(format="percent"),
    "images": st.column_config.NumberColumn(format="localized"),
}
NAMES = {
    "none": "nothing changed",
    "all": "all mean-ablated",
    "large norm": "only large ones mean-ablated",
    "small norm": "only the others mean-ablated",
    "first component": "first components alone",
    "texts": "first components along texts",
}
COLOURS = {"all": "#d1693a", "large norm": "#4c9a6a", "small norm": "#8f6bb3", "first component": "#2f6fa7"}
_LEVEL = "#8a8f94"  # of lines to compare with, on a light page as on a dark one


def layers_of(rows: Sequence[Characterised]) -> list[str]:
    """Numbers of the analysed layers, ascending, as text."""
    return [str(layer) for layer in sorted({row.layer for row in rows if row.layer is not None})]


def layer_name(layer: str | int | None) -> str:
    return "all together" if layer in (None, "all") else f"layer {layer}"


def table(rows: Sequence[Characterised]) -> pd.DataFrame:
    """Every row, in words."""
    return pd.DataFrame(
        {
            "changed": [NAMES.get(row.kind, row.kind) for row in rows],
            "layer": ["" if row.kind == "none" else layer_name(row.layer) for row in rows],
            "texts": pd.array([row.texts for row in rows], "Int64"),
            "pool": [row.pool or "" for row in rows],
            "top-1": [row.top1 for row in rows],
            "standard error": [row.error for row in rows],
            "images": [row.images for row in rows],
        }
    )


def ablation_chart(rows: Sequence[Characterised]) -> go.Figure:
    """Paper N, figure 3: bars by layer, the base accuracy as a line."""
    return _bars(rows, ("all", "large norm", "small norm"))


def component_chart(rows: Sequence[Characterised]) -> go.Figure:
    """Paper N, figure 4: the first component beside mean-ablation, the base accuracy as a line."""
    return _bars(rows, ("first component", "all"))


def texts_chart(rows: Sequence[Characterised], layer: str) -> go.Figure:
    """Paper N, table 1: accuracy against the number of texts, a line a pool; levels for what it lies between."""
    of_layer = [row for row in rows if row.kind == "none" or layer == ("all" if row.layer is None else str(row.layer))]
    along = [row for row in of_layer if row.kind == "texts"]
    counts = sorted({row.texts or 0 for row in along})
    figure = go.Figure()
    for pool in dict.fromkeys(row.pool for row in along):
        at = {row.texts or 0: row for row in along if row.pool == pool}  # an added table may repeat what is stored
        points = [at[count] for count in sorted(at)]
        figure.add_scatter(
            x=[str(row.texts) for row in points],
            y=[row.top1 for row in points],
            error_y={"type": "data", "array": [row.error for row in points], "thickness": 1},
            name=short(pool or ""),
            mode="lines+markers",
            hovertemplate="%{y:.1%}",
        )
    for kind, dash in (("none", "dot"), ("first component", "dash"), ("all", "dashdot")):
        level = [row.top1 for row in of_layer if row.kind == kind][:1]
        figure.add_scatter(
            x=[str(count) for count in counts],
            y=level * len(counts),
            name=NAMES[kind],
            mode="lines",
            line={"dash": dash, "width": 1.5, "color": _LEVEL},
            hovertemplate="%{y:.1%}",
        )
    figure.update_layout(legend={"orientation": "h", "y": -0.25}, hovermode="x unified")
    figure.update_xaxes(title="texts a neuron", type="category", categoryarray=[str(count) for count in counts])
    figure.update_yaxes(title="top-1 accuracy", tickformat=".1%")
    return figure


def _bars(rows: Sequence[Characterised], kinds: Sequence[str]) -> go.Figure:
    layers = [*layers_of(rows), None]
    names = ["all together" if layer is None else f"L{layer}" for layer in layers]
    figure = go.Figure()
    for kind in kinds:
        by_layer = {row.layer: row for row in rows if row.kind == kind}
        found = [by_layer.get(None if layer is None else int(layer)) for layer in layers]
        figure.add_bar(
            x=names,
            y=[row and row.top1 for row in found],
            error_y={"type": "data", "array": [row and row.error for row in found], "thickness": 1.5, "color": _LEVEL},
            text=[row and f"{row.top1:.1%}" for row in found],
            textposition="inside",
            insidetextanchor="middle",
            name=NAMES[kind],
            marker_color=COLOURS[kind],
            hovertemplate="%{y:.1%}",
        )
    base = next(row.top1 for row in rows if row.kind == "none")
    line = {"dash": "dot", "width": 1.5, "color": _LEVEL}
    figure.add_hline(y=base, line=line, name=f"{NAMES['none']} ({base:.1%})", showlegend=True)
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": -0.15}, hovermode="x unified")
    figure.update_xaxes(type="category")
    figure.update_yaxes(title="top-1 accuracy", tickformat=".0%", range=[0, 1.02])
    return figure
