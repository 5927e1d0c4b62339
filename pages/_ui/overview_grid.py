"""The grid of heads: a cell a head, coloured by a measure and named by its label; and what a measure's numbers mean.

Drawn as bars that fill their cells, since Plotly's heatmaps tell nobody which cell was clicked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.store import Grid, HeadSummary
from pages._ui import figures
from pages._ui.resources import Opened, Stamp

FIRST = 5
"""Texts of the measure that is ours: all of a small head's texts together explain nearly all of it, always."""
FIRST_MEASURE = "first"
FIRST_TITLE = f"Explained by its first {FIRST} texts"
_FOLD = 8  # cells a row where there is one layer only, as in an attention pool
_MOST_NAMED = 12  # columns up to which a label has room
_LINE = 140  # characters that all cells of a row have room for together
_PERCENT = ("share", "explained", FIRST_MEASURE)
_LIGHT, _DARK = "#ffffff", "#101820"  # on cells, which look the same in both themes
_PHONE = "<style>@media (max-width: 700px) { .st-key-figure-heads .bartext { display: none } }</style>"


@dataclass(frozen=True)
class Cell:
    """Where a head is drawn, and its value there."""

    row: int
    column: int
    head: HeadSummary
    value: float
    note: str


def measures(opened: Opened) -> dict[str, str]:
    """Names and titles of everything that can colour the grid."""
    known = opened.store.measures()
    ours = {FIRST_MEASURE: FIRST_TITLE}
    return {"share": known["share"]} | ours | {name: title for name, title in known.items() if name != "share"}


def grid(opened: Opened, measure: str) -> Grid:
    """A measure over all heads: the store's, or ours."""
    if measure != FIRST_MEASURE:
        return opened.store.grid(measure)
    share = opened.store.grid("share")
    values = np.array(first_explained(opened)).reshape(share.value_lh.shape)
    described = f"Fraction of the head's variance that its first {FIRST} texts explain: near 1, the label tells it all."
    return Grid(measure, FIRST_TITLE, described, "", values, None, share.population)


def first_explained(opened: Opened) -> tuple[float, ...]:
    """Per head in the order of `Store.heads`: the fraction of its variance that its first texts explain."""
    return _first_explained(opened.folder.as_posix(), opened.stamp, opened)


@st.cache_resource(max_entries=8, show_spinner="Reading the heads")
def _first_explained(folder: str, mark: Stamp, _opened: Opened) -> tuple[float, ...]:
    texts = (_opened.store.head(summary.address).texts for summary in _opened.store.heads())
    return tuple(float(sum(text.explained for text in own[:FIRST])) for own in texts)


def cells(found: Grid, heads: Sequence[HeadSummary]) -> list[Cell]:
    """A cell a head, in their order. One layer alone is folded into rows."""
    alone = len(found.value_lh) == 1
    made = []
    for head in heads:
        row, column = divmod(head.head, _FOLD) if alone else (head.row, head.head)
        note = found.note_lh[head.row][head.head] if found.note_lh else ""
        made.append(Cell(row, column, head, float(found.value_lh[head.row, head.head]), note))
    return made


def written(found: Grid, value: float) -> str:
    """A value as people read it."""
    return f"{value:.1%}" if found.measure in _PERCENT else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def draw(found: Grid, heads: Sequence[HeadSummary]) -> HeadSummary | None:
    """Draw the grid; returns the head that was clicked in this run, else None."""
    made = cells(found, heads)
    st.html(_PHONE)
    event = figures.show(figure(found, made), "heads", height=_height(made), on_select=lambda: None)
    points = event.selection.points if event else []
    at = points[0].get("point_index") if points else None
    return made[at].head if isinstance(at, int) and 0 <= at < len(made) else None


def figure(found: Grid, made: Sequence[Cell]) -> go.Figure:
    """The figure itself."""
    columns, rows = max(cell.column for cell in made) + 1, max(cell.row for cell in made) + 1
    values = np.array([cell.value for cell in made])
    signed = bool(values.min() < 0)
    limit = float(np.abs(values).max()) or 1.0
    colours = {"colorscale": figures.DIVERGING if signed else figures.SEQUENTIAL, "reversescale": False}
    percent = found.measure in _PERCENT
    bar = go.Bar(
        x=[cell.column for cell in made],
        y=[1] * len(made),
        base=[cell.row - 0.5 for cell in made],
        width=1,
        marker={"color": values, "coloraxis": "coloraxis", "line": {"width": 1.5, "color": "rgba(128,128,128,0.35)"}},
        text=[_text(cell, columns) for cell in made],
        textposition="inside",
        insidetextanchor="middle",
        insidetextfont={"color": [_LIGHT if abs(value) > 0.55 * limit else _DARK for value in values]},
        textangle=0,
        hovertext=[_hover(found, cell) for cell in made],
        hoverinfo="text",
        unselected={"marker": {"opacity": 1}},
    )
    drawn = go.Figure(bar)
    bar_format = {"thickness": 12, "title": None, "tickformat": ".0%" if percent else None, "outlinewidth": 0}
    drawn.update_layout(
        coloraxis=colours | {"cmin": -limit if signed else 0, "cmax": limit, "colorbar": bar_format},
        uniformtext={"minsize": 9, "mode": "hide"},
        bargap=0,
        hovermode="closest",
        showlegend=False,
    )
    across = [f"H{column}" for column in range(columns)] if made[0].head.layer is not None else [""] * columns
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True}
    drawn.update_xaxes(tickvals=list(range(columns)), ticktext=across, side="top", range=[-0.5, columns - 0.5], **axis)
    drawn.update_yaxes(tickvals=list(range(rows)), ticktext=_row_names(made), range=[rows - 0.5, -0.5], **axis)
    return drawn


def _row_names(made: Sequence[Cell]) -> list[str]:
    first = {cell.row: cell.head for cell in reversed(made)}
    named = [first[row] for row in sorted(first)]
    return [head.address if head.layer is None else f"L{head.layer}" for head in named]


def _text(cell: Cell, columns: int) -> str:
    name = f"<b>{cell.head.address}</b>" + (f" {escape(cell.note[:18])}" if cell.note else "")
    if columns > _MOST_NAMED:
        return name
    lines = wrap("; ".join(cell.head.texts), _LINE // columns, max_lines=2, placeholder="…")
    return "<br>".join([name, *map(escape, lines)])


def _hover(found: Grid, cell: Cell) -> str:
    """Plotly reads a little HTML in texts, so what came from a pool or a manifest is escaped."""
    texts = [f"  {escape(text[:80])}" for text in cell.head.texts]
    note = f", most of all {escape(cell.note[:40])}" if cell.note else ""
    first = f"<b>{cell.head.address}</b>  {escape(found.title[:60])}: {written(found, cell.value)}{note}"
    return "<br>".join([first, *texts, f"<i>{found.population}; click to open</i>"])


def _height(made: Sequence[Cell]) -> int:
    rows, columns = max(cell.row for cell in made) + 1, max(cell.column for cell in made) + 1
    return 60 + rows * (78 if columns <= _MOST_NAMED else 34)
