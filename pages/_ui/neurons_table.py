"""All neurons in a table: filters, which are in the URL, and a click on a row that opens its neuron."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.ids import parse
from core.store.neuron_answers import NeuronColumns
from core.store.neurons import NeuronTable
from pages._ui import figures, scores, states
from pages._ui.neurons_view import CONCEPTS, PERCENTS, SHARES, SORTS, Span
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count

TOLD = {
    "strength": "Standard deviation of the coefficient x over the images: how much the neuron moves representations "
    "of length 1 along its direction.",
    "above": "Share of images in which its effect is longer than the layer's threshold, the 98th percentile over all "
    "its neurons and images. Few: a selective neuron; none: one that is hardly ever of consequence.",
    "explained": "Share of its effects, over the images of its largest ones, that lie along its one direction.",
    "concepts": "Clusters among the images of its largest effects. One: they are all alike; many: polysemantic.",
}


def matching(columns: NeuronColumns, view: Any) -> np.ndarray:
    """Rows of the neurons that pass the filters, in the order asked for."""
    keep = np.ones(len(columns.address), bool)
    if view.layer:
        keep &= np.isin(columns.layer, view.layer)
    if view.label:
        wanted = view.label.casefold()
        keep &= np.fromiter((wanted in label.casefold() for label in columns.label), bool, len(keep))
    if view.std is not None:
        low, high = np.percentile(columns.std, [view.std.low, view.std.high])
        keep &= (columns.std >= low) & (columns.std <= high)
    keep &= _inside(100 * columns.share_above, view.above, SHARES)
    keep &= _inside(100 * columns.explained, view.explained, PERCENTS)
    keep &= _inside(columns.concepts, view.concepts, CONCEPTS)
    rows = np.flatnonzero(keep)
    if view.sort == "address":
        return rows
    return rows[np.argsort(-getattr(columns, view.sort)[rows], kind="stable")]


def _inside(values: np.ndarray, span: Span | None, steps: Sequence[float]) -> np.ndarray:
    if span is None:
        return np.ones(len(values), bool)
    return (values >= span.low) & ((values <= span.high) | (span.high == steps[-1]))


def draw(opened: Opened, chosen: Chosen[Any], table: NeuronTable, rows: np.ndarray) -> None:
    """Filters and table."""
    columns = table.columns()
    _filters(chosen, table)
    st.caption(
        f"**{count(len(rows), 'neuron')}** of {len(columns.address):,}, {where(table)}. Numbers are "
        f"{columns.population}. Click a row to open its neuron; its keys then step through these, in this order."
    )
    if not len(rows):
        states.empty("No neuron passes these filters", "Widen one of them, or clear them all.")
        return
    score_u = scores.column(opened, "neuron")
    shown = frame(columns, rows, None if score_u is None else score_u[rows])
    figures.table(
        shown,
        "neurons",
        columns={
            "neuron": st.column_config.TextColumn(width=90),
            "label": st.column_config.TextColumn(
                width="large", help="Its first texts; − marks those it writes against."
            ),
            "label score": st.column_config.NumberColumn(format="%+.2f", help=scores.TOLD),
            "strength": st.column_config.NumberColumn(format="%.5f", help=TOLD["strength"]),
            "above": st.column_config.NumberColumn("above threshold", format="percent", help=TOLD["above"]),
            "explained": st.column_config.NumberColumn(format="percent", help=TOLD["explained"]),
            "concepts": st.column_config.NumberColumn(help=TOLD["concepts"]),
        },
        height=560,
        on_row=lambda at: chosen.go(neuron=parse(columns.address[rows[at]])),
    )


def where(table: NeuronTable) -> str:
    """Which layers these neurons are of."""
    if table.layers == (None,):
        return "the channels of the last map"
    return f"in layers {', '.join(map(str, table.layers))}"


def frame(columns: NeuronColumns, rows: np.ndarray, score: np.ndarray | None = None) -> pd.DataFrame:
    """These neurons as a table, with the scores of their labels where they are known."""
    made = pd.DataFrame(
        {
            "neuron": [columns.address[row] for row in rows],
            "label": [columns.label[row] for row in rows],
            "strength": columns.std[rows],
            "above": columns.share_above[rows],
            "explained": columns.explained[rows],
            "concepts": columns.concepts[rows],
        }
    )
    if score is not None:
        made.insert(2, "label score", score)
    return made


def _filters(chosen: Chosen[Any], table: NeuronTable) -> None:
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        if table.layers != (None,):
            key = "NeuronsView.layer"
            st.session_state[key] = list(chosen.view.layer)
            st.pills(
                "Layers",
                table.layers,
                selection_mode="multi",
                key=key,
                on_change=lambda: chosen.go(layer=tuple(sorted(st.session_state[key]))),
                help="None chosen: all.",
                width="content",
            )
        st.selectbox("Sort by", list(SORTS), format_func=SORTS.__getitem__, width=230, **chosen.bound("sort"))
        st.button(
            "Clear filters",
            icon=":material/filter_alt_off:",
            on_click=chosen.go,
            kwargs={"layer": (), "label": "", "std": None, "above": None, "explained": None, "concepts": None},
        )
    places = st.columns(4, gap="medium")
    for place, name, label, steps, unit, told in (
        (places[0], "std", "Strength, percentile", PERCENTS, "", TOLD["strength"]),
        (places[1], "above", "Images above threshold", SHARES, " %", TOLD["above"]),
        (places[2], "explained", "Explained by its direction", PERCENTS, " %", TOLD["explained"]),
        (places[3], "concepts", "Concepts", CONCEPTS, "", TOLD["concepts"]),
    ):
        with place:
            _slider(chosen, name, label, steps, unit, told)


def _slider(chosen: Chosen[Any], name: str, label: str, steps: Sequence[float], unit: str, told: str) -> None:
    """A range of one column; whole, it is no filter and not in the URL."""
    key, span = f"NeuronsView.{name}", getattr(chosen.view, name)
    st.session_state[key] = (span.low, span.high) if span else (steps[0], steps[-1])

    def changed() -> None:
        low, high = st.session_state[key]
        chosen.go(**{name: None if (low, high) == (steps[0], steps[-1]) else Span(low, high)})

    last = "+" if unit == "" and steps is CONCEPTS else ""
    st.select_slider(
        label,
        steps,
        value=(steps[0], steps[-1]),  # makes it a range; what it shows is in the session's state, from the link
        key=key,
        format_func=lambda step: f"{step:g}{unit}{last if step == steps[-1] else ''}",
        on_change=changed,
        help=told,
    )
