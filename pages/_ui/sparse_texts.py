"""A direction as a signed sum of texts: how many, signed bars, what is left, and the table; for neurons and pairs."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store.neuron_answers import SparseLabel
from pages._ui import figures
from pages._ui.image_figures import MINUS, PLUS, short
from pages._ui.selection import Chosen
from pages._ui.words import count, plain


def draw(
    chosen: Chosen[Any], every: SparseLabel, fewer: Callable[[int], SparseLabel], name: str, pool: int, note: str = ""
) -> SparseLabel:
    """The section; returns the texts shown. `every` text that there is, `fewer(n)` the first n, whose number the view
    has in `texts`; `name` for figures and files; out of a `pool` of so many texts; `note` ends the caption."""
    st.subheader("Texts", anchor=False)
    stored = len(every.terms)
    if not stored:
        st.caption("No text of the pool says anything about its direction.")
        return every
    picks = min(chosen.view.texts, stored)
    if stored > 1:
        key = f"{type(chosen.view).__name__}.texts"
        st.session_state[key] = picks
        st.slider(
            "Number of texts",
            1,
            stored,
            key=key,
            help="The direction as a signed sum of this many texts; the coefficients depend on how many there are.",
            on_change=lambda: chosen.go(texts=st.session_state[key]),
        )
    shown = fewer(picks)
    figures.show(bars(shown), f"texts-{name}", height=70 + 22 * picks)
    left = float(every.left_m[picks - 1])
    st.caption(
        plain(
            f"The direction is nearly the sum of {count(picks, 'text')} with these coefficients, chosen one after "
            f"another out of {pool:,} (orthogonal matching pursuit); blue it writes toward, orange "
            f"against. {left:.0%} of its squared length is left, a cosine of {max(0.0, 1 - left) ** 0.5:.2f} with the "
            f"direction itself.{note}",
            600,
        )
    )
    figures.show(errors(every, picks), f"errors-{name}", height=190)
    rows = pd.DataFrame(
        [[n + 1, term.text, term.coefficient, float(left)] for n, (term, left) in
         enumerate(zip(shown.terms, shown.left_m, strict=True))],
        columns=["no.", "text", "coefficient", "left"],
    )  # fmt: skip
    with st.expander("As a table"):
        figures.table(rows, f"texts-{name}", columns={"left": st.column_config.NumberColumn(format="percent")})
    return shown


def bars(label: SparseLabel) -> go.Figure:
    """Coefficients as signed bars, the first text on top."""
    terms = label.terms[::-1]
    figure = go.Figure(
        go.Bar(
            x=[term.coefficient for term in terms],
            y=list(range(len(terms))),  # not the texts: two may be cut to the same
            orientation="h",
            marker_color=[PLUS if term.coefficient >= 0 else MINUS for term in terms],
            hovertext=[f"{short(term.text, 90)}: {term.coefficient:+.3f}" for term in terms],
            hoverinfo="text",
        )
    )
    figure.update_yaxes(tickvals=list(range(len(terms))), ticktext=[short(term.text, 34) for term in terms])
    figure.update_xaxes(title="coefficient", zeroline=True)
    figure.update_layout(bargap=0.25)
    return figure


def errors(label: SparseLabel, picks: int) -> go.Figure:
    """What is left of the direction after each text; the number shown is marked."""
    x = list(range(1, len(label.terms) + 1))
    figure = go.Figure(
        go.Scatter(
            x=x, y=label.left_m.tolist(), mode="lines", line={"color": PLUS},
            customdata=[short(term.text, 80) for term in label.terms],
            hovertemplate="%{x} texts, the last “%{customdata}”: %{y:.1%} left<extra></extra>",
        )
    )  # fmt: skip
    figure.add_scatter(
        x=[picks], y=[float(label.left_m[picks - 1])], mode="markers", marker={"size": 9, "color": MINUS},
        hovertemplate="%{x} texts: %{y:.1%} left<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="texts", rangemode="tozero")
    figure.update_yaxes(title="left", tickformat=".0%", range=[0, 1.02])
    figure.update_layout(showlegend=False)
    return figure
