"""A head's texts: a table to pick from, and how much of the head's variance they explain, one by one and together."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store import HeadAnswer
from pages._ui import figures
from pages._ui.selection import Chosen
from pages._ui.words import plain


def draw(chosen: Chosen[Any], answer: HeadAnswer, pick: int) -> None:
    """The field that picks a text, the curve, and the table."""
    st.subheader("Texts", anchor=False)
    texts = {text.pick: f"{text.pick + 1}. {text.text} ({text.explained:.1%})" for text in answer.texts}
    key = "heads-text"
    st.session_state[key] = pick
    st.selectbox(
        "Text",
        list(texts),
        key=key,
        format_func=texts.__getitem__,
        on_change=lambda: chosen.go(text=st.session_state[key]),
        help="The head's own texts, in the order TextSpan chose them; in brackets, the variance that each adds.",
    )
    name = f"texts-{answer.summary.address.replace('.', '-')}"
    figures.show(curve(answer, pick), name, height=280)
    st.caption(
        plain(f"Share of the head's variance, {answer.population}: what each text adds, and all up to it together.")
    )
    columns = {
        "no.": st.column_config.NumberColumn(width=40),
        "text": st.column_config.TextColumn(width=180),
        "explained": st.column_config.NumberColumn("adds", format="percent", help="Variance that it adds"),
        "cumulative": st.column_config.NumberColumn("together", format="percent", help="Up to and with it"),
        "mean": st.column_config.NumberColumn(format="%.4f", help="Mean of ⟨c, t⟩ over the images"),
        "std": st.column_config.NumberColumn(format="%.4f", help="Standard deviation of ⟨c, t⟩ over the images"),
    }
    figures.table(rows(answer), name, columns=columns)


def rows(answer: HeadAnswer) -> pd.DataFrame:
    """The texts as a table."""
    names = ("pick", "text", "explained", "cumulative", "mean", "std")
    frame = pd.DataFrame([[getattr(text, name) for name in names] for text in answer.texts], columns=names)
    return frame.assign(pick=frame["pick"] + 1).rename(columns={"pick": "no."})


def curve(answer: HeadAnswer, pick: int) -> go.Figure:
    """Bars of what each text adds, the picked one full, and the line of all up to it."""
    x = [text.pick + 1 for text in answer.texts]
    names = [_hover(text.text) for text in answer.texts]
    strength = [1.0 if text.pick == pick else 0.45 for text in answer.texts]
    figure = go.Figure()
    figure.add_bar(
        x=x, y=[text.explained for text in answer.texts], marker={"opacity": strength}, name="adds",
        customdata=names, hovertemplate="%{customdata}: %{y:.1%}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=[text.cumulative for text in answer.texts], mode="lines+markers", name="together", marker={"size": 4},
        customdata=names, hovertemplate="up to %{customdata}: %{y:.1%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="text")
    figure.update_yaxes(title="share of variance", tickformat=".0%", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": 1.12, "x": 0})
    return figure


def _hover(text: str) -> str:
    """Plotly reads a little HTML in hover texts: so there are no brackets and ampersands in ours."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:80]
