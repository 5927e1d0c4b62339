"""Charts and table of sparsity and rank, on the Characterise page."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store import Sparse

COLUMNS = {
    "units kept": st.column_config.NumberColumn(format="localized"),
    "top-1": st.column_config.NumberColumn(format="percent"),
    "standard error": st.column_config.NumberColumn(format="percent"),
    "images": st.column_config.NumberColumn(format="localized"),
}
UNITS = {"pairs": "#2f6fa7", "neurons": "#d1693a", "heads": "#4c9a6a"}
CHANGES = {
    "none": "nothing changed",
    "all": "everything mean-ablated",
    "kept": "all but the best % mean-ablated",
    "components": "rebuilt from components",
    "texts": "rebuilt from texts",
}
_LEVEL = "#8a8f94"  # of lines to compare with, on a light page as on a dark one


def of_layer(rows: Sequence[Sparse], layer: str) -> list[Sparse]:
    """The rows of a layer by its number, or of all together ("all"), and the base accuracy."""
    return [row for row in rows if row.kind == "none" or layer == ("all" if row.layer is None else str(row.layer))]


def table(rows: Sequence[Sparse]) -> pd.DataFrame:
    """Every row, in words."""
    return pd.DataFrame(
        {
            "changed": [CHANGES.get(row.kind, row.kind) for row in rows],
            "of": [row.unit or "" for row in rows],
            "layer": ["" if row.layer is None else f"layer {row.layer}" for row in rows],
            "percent, components or texts": [row.amount for row in rows],
            "units kept": pd.array([row.units for row in rows], "Int64"),
            "pool": [row.pool or "" for row in rows],
            "top-1": [row.top1 for row in rows],
            "standard error": [row.error for row in rows],
            "images": [row.images for row in rows],
        }
    )


def kept_chart(rows: Sequence[Sparse]) -> go.Figure:
    """Paper P, figure 1: accuracy against the share that is kept, a line each for pairs, neurons and heads."""
    figure = go.Figure()
    for unit, colour in UNITS.items():
        points = sorted(
            (row for row in rows if (row.kind, row.unit) == ("kept", unit)), key=lambda row: row.amount or 0
        )
        figure.add_scatter(
            x=[row.amount for row in points],
            y=[row.top1 for row in points],
            error_y={"type": "data", "array": [row.error for row in points], "thickness": 1},
            customdata=[f"{row.units:,} {unit}" for row in points],
            name=unit,
            mode="lines+markers",
            line={"color": colour},
            hovertemplate="%{customdata}: %{y:.1%}<extra></extra>",
        )
    for kind, dash in (("none", "dot"), ("all", "dashdot")):
        _level(figure, next(row for row in rows if row.kind == kind).top1, CHANGES[kind], dash)
    shown = sorted({row.amount for row in rows if row.kind == "kept" and row.unit == "heads" and row.amount})
    figure.update_layout(legend={"orientation": "h", "y": -0.22}, hovermode="closest")
    figure.update_xaxes(
        title="kept, % of all (logarithmic)", type="log", tickvals=shown, ticktext=[f"{amount:g} %" for amount in shown]
    )
    figure.update_yaxes(title="top-1 accuracy", tickformat=".0%", range=[0, 1.02])
    return figure


def rank_chart(rows: Sequence[Sparse]) -> go.Figure:
    """Paper P, table 1: accuracy when units are rebuilt from their first components."""
    figure = _bars([row for row in rows if row.kind == "components"], "principal components of each")
    _level(figure, next(row for row in rows if row.kind == "none").top1, CHANGES["none"], "dot")
    return figure


def texts_chart(rows: Sequence[Sparse]) -> go.Figure:
    """Paper P, figure 2: accuracy when the described pairs are rebuilt from texts; beside them as they are."""
    along = [row for row in rows if row.kind == "texts"]
    same = next(row for row in rows if (row.kind, row.unit, row.units) == ("kept", "pairs", along[0].units))
    figure = _bars(along, "texts for each")
    _level(figure, same.top1, f"these {same.units:,} pairs as they are ({same.top1:.1%})", "dot")
    return figure


def described(rows: Sequence[Sparse]) -> tuple[int, str]:
    """How many pairs the texts are of, and the name of their pool."""
    row = next(row for row in rows if row.kind == "texts")
    return row.units or 0, row.pool or ""


def _bars(rows: Sequence[Sparse], title: str) -> go.Figure:
    figure = go.Figure()
    for unit in ("pairs", "neurons"):
        found = sorted((row for row in rows if row.unit == unit), key=lambda row: row.amount or 0)
        if found:
            figure.add_bar(
                x=[f"{row.amount:g}" for row in found],
                y=[row.top1 for row in found],
                error_y={"type": "data", "array": [row.error for row in found], "thickness": 1.5, "color": _LEVEL},
                text=[f"{row.top1:.1%}" for row in found],
                textposition="inside",
                insidetextanchor="middle",
                name=unit,
                marker_color=UNITS[unit],
                hovertemplate=f"{unit}: %{{y:.1%}}<extra></extra>",
            )
    order = sorted({row.amount or 0 for row in rows})
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": -0.25}, hovermode="closest", showlegend=True)
    figure.update_xaxes(title=title, type="category", categoryarray=[f"{amount:g}" for amount in order])
    figure.update_yaxes(title="top-1 accuracy", tickformat=".0%", range=[0, 1.02])
    return figure


def _level(figure: go.Figure, y: float, name: str, dash: str) -> None:
    figure.add_hline(y=y, line={"dash": dash, "width": 1.5, "color": _LEVEL}, name=name, showlegend=True)
