"""The grid of heads: a cell a head, coloured by a measure and named by its label; and what a measure's numbers mean.

Each cell is a link to its head, reached by Tab and the arrows and read out with its value. Where the grid is wider than
the screen it scrolls sideways under the names of its rows, so a phone shows the same words as a desk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from plotly.colors import sample_colorscale, unlabel_rgb

from core.store import Grid, HeadSummary
from pages._ui import figures, links
from pages._ui.resources import Opened, Stamp

FIRST = 5
"""Texts of the measure that is ours: all of a small head's texts together explain nearly all of it, always."""
FIRST_MEASURE = "first"
FIRST_TITLE = f"Explained by its first {FIRST} texts"
_FOLD = 8  # cells a row where there is one layer only, as in an attention pool
_PERCENT = ("share", "explained", FIRST_MEASURE)
_LIGHT, _DARK = "#ffffff", "#000000"  # on cells; on every colour one of the two has a contrast above 4.5
_STOPS = 9  # colours that the legend is drawn from
_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "unitscope_heads",
    html='<div class="heads"></div>',
    css=(_HERE / "overview_grid.css").read_text(),
    js=(_HERE / "overview_grid.js").read_text(),
)


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


def draw(found: Grid, heads: Sequence[HeadSummary]) -> None:
    """Draw the grid, its legend, and the buttons that give it as PNG and SVG."""
    _mount(key="heads", data=table(found, heads))


def table(found: Grid, heads: Sequence[HeadSummary]) -> dict[str, Any]:
    """What the browser draws: names of columns, rows of cells, and the legend. All text is plain."""
    made = cells(found, heads)
    columns = max(cell.column for cell in made) + 1
    low, high = limits(found)
    rows: dict[int, list[Cell]] = {}
    for cell in made:
        rows.setdefault(cell.row, []).append(cell)
    alone = heads[0].layer is None
    return {
        "label": found.title,
        "population": str(found.population),
        "columns": ["" if alone else f"H{column}" for column in range(columns)],
        "rows": [
            {"name": _row_name(own[0].head), "heads": [_drawn(found, cell) for cell in own]} for own in rows.values()
        ],
        "scale": {
            "low": written(found, low),
            "high": written(found, high),
            "stops": [fill(found, value)[0] for value in np.linspace(low, high, _STOPS)],
        },
    }


def limits(found: Grid) -> tuple[float, float]:
    """The values at the ends of the colour scale: from 0, or the same on both sides of it where some are negative."""
    values = found.value_lh[np.isfinite(found.value_lh)]
    most = float(np.abs(values).max(initial=0.0)) or 1.0
    return (-most if bool((values < 0).any()) else 0.0), most


def fill(found: Grid, value: float) -> tuple[str, str]:
    """A value's colour, and the one of the two inks that is easier to read on it."""
    low, high = limits(found)
    at = float(np.clip((value - low) / (high - low), 0.0, 1.0)) if np.isfinite(value) else 0.0
    rgb = unlabel_rgb(sample_colorscale(figures.DIVERGING if low < 0 else figures.SEQUENTIAL, [at])[0])
    shown = "#" + "".join(f"{round(part):02x}" for part in rgb)
    return shown, max(_LIGHT, _DARK, key=lambda ink: contrast(ink, shown))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours "#rrggbb", 1 to 21 (WCAG 2.2, "contrast ratio"); text wants 4.5."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _row_name(first: HeadSummary) -> str:
    return first.address if first.layer is None else f"L{first.layer}"


def _drawn(found: Grid, cell: Cell) -> dict[str, str]:
    colour, ink = fill(found, cell.value)
    value, label = written(found, cell.value), "; ".join(cell.head.texts) or "no texts"
    note = f", most of all {cell.note}" if cell.note else ""
    says = f"{cell.head.address}: {label}. {found.title}: {value}{note}"
    return {
        "href": links.href("heads", head=cell.head.address),
        "name": cell.head.address,
        "label": label,
        "value": value,
        "note": cell.note,
        "fill": colour,
        "ink": ink,
        "says": says,
        "hover": f"{says}, {found.population}",
    }
