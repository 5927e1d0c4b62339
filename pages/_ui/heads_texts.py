"""A head's texts: a table to pick from, and how much of the head's variance they explain, beside what chance would."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store import Baseline, HeadAnswer
from pages._ui import figures
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

FIRST = 5
"""Texts that a short statement is about: all of a head's texts reach 100 % whatever they say."""


def title(answer: HeadAnswer, baseline: Baseline) -> None:
    """The head's address, its first texts in full, and its numbers in a line."""
    head, everyone = answer.summary, answer.population
    median = min(answer.norm_quantiles, key=lambda pair: abs(pair[0] - 0.5))[1]
    st.title(head.address)
    st.markdown(f"**{plain('; '.join(head.texts))}**" if head.texts else "*no texts*")
    st.caption(
        plain(
            f"{head.share:.1%} of the output's variance · {first(answer, baseline)} · median length "
            f"{median:.3f} of a representation of length 1 · {everyone}"
        )
    )


def draw(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, baseline: Baseline, pick: int) -> None:
    """The field that picks a text, the curve, and the table."""
    st.subheader("Texts", anchor=False)
    texts = {text.pick: f"{text.pick + 1}. {text.text} ({text.explained:.1%})" for text in answer.texts}
    key = "unit-text"
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
    figures.show(curve(answer, baseline, pick), name, height=330)
    st.caption(plain(told(baseline), 1_000))
    columns = {
        "no.": st.column_config.NumberColumn(width=40),
        "text": st.column_config.TextColumn(width=190),
        "explained": st.column_config.NumberColumn("adds", format="percent", help="Variance that it adds", width=60),
        "cumulative": st.column_config.NumberColumn("together", format="percent", help="Up to and with it", width=70),
        "random": st.column_config.NumberColumn(
            format="percent", help="As many texts of the pool at random, together: mean of the draws", width=70
        ),
        "best": st.column_config.NumberColumn(format="percent", help="As many principal components", width=60),
        "r": st.column_config.NumberColumn(
            format="%+.2f",
            width=60,
            help="Score of the label: correlation, over images, of the text's cosine with the head's coordinate along "
            "its first principal component, turned toward the text that follows it most closely.",
        ),
        "mean": st.column_config.NumberColumn(format="%.4f", help="Mean of ⟨c, t⟩ over the images"),
        "std": st.column_config.NumberColumn(format="%.4f", help="Standard deviation of ⟨c, t⟩ over the images"),
    }
    shown = rows(answer, baseline)
    texts_wo = opened.store.bundle.array("text_embeddings")[[text.row for text in answer.texts]]
    shown.insert(6, "r", opened.store.label_scores.pearson(answer.summary.address, "+", texts_wo))
    figures.table(shown, name, columns=columns)


def told(baseline: Baseline) -> str:
    """What the curves are, and why the end of each says nothing."""
    reach = "reach" if len(baseline.best_m) >= baseline.dimensions else "would reach"
    return (
        f"Share of the head's variance, {baseline.population}. Random: as many of the pool's {baseline.pool_texts:,} "
        f"texts by chance, projected out in the same way; mean of {baseline.draws} draws, always the same. At best: "
        f"principal components. The head writes into {baseline.dimensions} dimensions, so any {baseline.dimensions} "
        f"texts that differ {reach} 100 %: what counts is how early."
    )


def first(answer: HeadAnswer, baseline: Baseline) -> str:
    """The first texts against chance, in a few words."""
    n = min(FIRST, len(answer.texts))
    if not n:
        return "its own variance is zero"
    ours, random = answer.texts[n - 1].cumulative, baseline.random_m[n - 1]
    return f"first {count(n, 'text')} explain {ours:.0%} of its own variance, {n} random ones {random:.0%}"


def rows(answer: HeadAnswer, baseline: Baseline) -> pd.DataFrame:
    """The texts as a table."""
    names = ("pick", "text", "explained", "cumulative")
    frame = pd.DataFrame([[getattr(text, name) for name in names] for text in answer.texts], columns=names)
    frame = frame.assign(pick=frame["pick"] + 1, random=baseline.random_m, best=baseline.best_m)
    more = {name: [getattr(text, name) for text in answer.texts] for name in ("mean", "std")}
    return frame.assign(**more).rename(columns={"pick": "no."})


def curve(answer: HeadAnswer, baseline: Baseline, pick: int) -> go.Figure:
    """Bars of what each text adds, the picked one full; lines of all up to it, of as many at random, and at best."""
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
    figure.add_scatter(
        x=x, y=baseline.random_m.tolist(), mode="lines", name="random", line={"width": 1.2},
        customdata=[f"{low:.0%} to {high:.0%}" for low, high in zip(baseline.low_m, baseline.high_m, strict=True)],
        hovertemplate="%{x} random texts: %{y:.1%} (draws: %{customdata})<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=baseline.best_m.tolist(), mode="lines", name="at best", line={"width": 1.2, "dash": "dot"},
        hovertemplate="%{x} principal components: %{y:.1%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="text", rangemode="tozero")
    figure.update_yaxes(title="share of variance", tickformat=".0%", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": -0.28, "yanchor": "top", "x": 0})
    return figure


def _hover(text: str) -> str:
    """Plotly reads a little HTML in hover texts: so there are no brackets and ampersands in ours."""
    shown = text if len(text) <= 80 else text[:79] + "…"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
