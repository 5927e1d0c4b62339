"""The map of all units: what it is made of, how, and what was chosen on it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store.unit_map import Population
from pages._ui import figures, linked_table, links, map_figure, map_jobs, scores, search_scores, states
from pages._ui.map_figure import Points
from pages._ui.map_jobs import Map
from pages._ui.resources import Opened
from pages._ui.search_view import COLOURS, SearchView
from pages._ui.selection import Chosen
from pages._ui.words import count

LISTED = 500
HEIGHT = 640


def draw(opened: Opened, chosen: Chosen[SearchView]) -> None:
    """The map, or how far it is."""
    job = map_jobs.ask(opened)
    if job.running:
        _making(opened)
    elif made := job.result:
        _map(opened, chosen, made)
    else:
        map_jobs.forget(opened)
        failed = job.problem("The map could not be made; the server's log says why.")
        states.problem(f"{failed} Come back to this tab to try again.")


@st.fragment(run_every=1)
def _making(opened: Opened) -> None:
    job = map_jobs.ask(opened)
    if not job.running:
        st.rerun()
    st.progress(map_jobs.share(opened, job), f"Making the map: {job.what}, {job.seconds:.0f} s")
    st.caption(
        "Once for this bundle: it is kept on the server, for everybody. It takes minutes for 10,000 units; the other "
        "pages work meanwhile."
    )


def _map(opened: Opened, chosen: Chosen[SearchView], made: Map) -> None:
    if not made.units.size:
        states.empty("There is nothing to map", "No unit of this bundle writes anything that varies.")
        return
    shown = map_figure.points(opened.store, made.units)
    by = chosen.view.colour
    score = search_scores.of_units(opened, made.units) if by == "score" else None
    st.segmented_control(
        "Colour by", list(COLOURS), format_func=COLOURS.__getitem__, required=True, **chosen.bound("colour"),
        help="First text: the most frequent words of the first texts of the units' + ends, by the automatic labels.",
    )  # fmt: skip
    shown_by = chosen.start.colour if by == "score" and score is None else by
    figure = map_figure.figure(shown, made.places, shown_by, score)
    selected = _show(figure)
    st.caption(_told(made.units))
    if by == "score" and score is None:
        _scoring(opened, made, shown_by)
    elif score is not None:
        st.caption(f"{scores.TOLD} Grey: units without a score.")
    _selected(shown, selected)
    figures.page_data(lambda: {"bundle": opened.name, "view": chosen.view, "units": _data(shown, made)}, "map")


@st.fragment(run_every=2)
def _scoring(opened: Opened, made: Map, shown_by: str) -> None:
    if search_scores.of_units(opened, made.units) is not None:
        st.rerun()
    st.caption(f":material/hourglass_top: The labels are being scored; until they are, colours are {shown_by}s.")


def _show(figure: go.Figure) -> Any:
    """The chart with what chooses points: a lasso, a box, a click."""
    figure.update_layout(height=HEIGHT, margin={"l": 8, "r": 8, "t": 8, "b": 8}, dragmode="lasso", hovermode="closest")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    buttons = ["lasso2d", "select2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]
    config = {"displaylogo": False, "displayModeBar": True, "modeBarButtons": [buttons], "scrollZoom": True}
    return st.plotly_chart(
        figure, key="map", config=config, on_select="rerun", selection_mode=("lasso", "box", "points")
    )


def _told(units: Population) -> str:
    """Who is on the map, and how it is made."""
    parts = []
    for kind, rows in units.rows.items():
        every = units.every[kind]
        few = "" if len(rows) == every else f" of {every:,}, the strongest"
        parts.append(f"{count(len(rows), kind)}{few}")
    settings = map_jobs.SETTINGS
    return (
        f"{', '.join(parts)}; units that never vary are left out. Directions in the joint space, of a head its first "
        f"principal component, by PCA to {settings.components} dimensions and then t-SNE (cosine, perplexity "
        f"{settings.perplexity:g}, seed {settings.seed}). Directions are taken as they are: the same axis turned round "
        "is another place. **Distances here are not similarities**: only that near points are mostly alike; how far "
        "apart groups lie, and how large they are, means nothing."
    )


def _selected(shown: Points, event: Any) -> None:
    """The table of what was chosen, and what can be done with it."""
    selection = getattr(event, "selection", None) or {}
    numbers = map_figure.chosen(selection.get("points", ()), len(shown.address))
    if not numbers:
        drawn = selection.get("lasso") or selection.get("box")
        if drawn:
            states.empty("No unit lies in there", "Draw round some points; a double click takes a selection away.")
        else:
            st.caption("Draw a lasso or a box round points, or click one: their units are listed here.")
        return
    table = frame(shown, numbers)
    some = f", the first {LISTED} shown; the CSV has all" if len(numbers) > LISTED else ""
    st.markdown(f"**{count(len(numbers), 'unit')}** chosen{some}")
    linked_table.draw(
        table.head(LISTED), "map-chosen", "Units chosen on the map",
        lambda row: links.href(f"{row['kind']}s", **{row["kind"]: row["unit"]}), height="24rem",
    )  # fmt: skip
    if len(numbers) > LISTED:
        figures.csv(table, "map-all-chosen")
    search_scores.send(list(table["unit"]), "map", True)


def frame(shown: Points, numbers: Sequence[int]) -> pd.DataFrame:
    """Units as a table."""
    rows = [[shown.address[n], shown.label[n], shown.kind[n], _layer(shown.layer[n])] for n in numbers]
    return pd.DataFrame(rows, columns=["unit", "label", "kind", "layer"])


def _layer(layer: int | None) -> str:
    return "" if layer is None else str(layer)


def _data(shown: Points, made: Map) -> list[dict[str, Any]]:
    return [
        {"unit": address, "x": float(x), "y": float(y)}
        for address, (x, y) in zip(shown.address, made.places, strict=True)
    ]
