"""How far annotators agree, each figure with a sentence that says what it is and of what."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.labels.agreement import LEAST_UNITS, Agreement, Meaning, agreement
from pages._ui import agreement_meaning, agreement_view, figures, image_sections, states
from pages._ui.agreement_meaning import Encoder
from pages._ui.agreement_view import NO_QUEUE, AgreementView, Asked
from pages._ui.image_figures import short
from pages._ui.resources import Opened
from pages._ui.words import count, plain

UNDEFINED = "not defined"
MOST_NAMES = 12
"""Annotators in the heat map; a table has them all."""


def draw(asked: Asked, opened: Opened) -> dict[str, Any]:
    """Returns what it drew."""
    encoder = agreement_meaning.encoder(opened)
    found = computed(asked, asked.view, encoder)
    if not found.units:
        states.empty(
            "No end has two answers",
            "Agreement is between annotators who judged the same end of the same unit, and here no two did, unsure and "
            "skipped apart. Let a second annotator go through the same queue, or take away a filter.",
        )
        return {"agreement": found}
    st.markdown(
        f"Over **{count(found.units, 'end')}** that two annotators or more answered: {count(found.judgments, 'answer')}"
        f", {found.blind:,} of them given blind, {count(found.answers, 'different one', 'different ones')} among them."
    )
    if found.blind < found.judgments:
        st.caption("Who saw the automatic label or another's first is drawn to it, which raises every figure below.")
    _three(found)
    _told(found, encoder)
    if encoder.waiting and found.embedded < found.texts:
        image_sections.wait(opened, agreement_meaning.status(opened))
    _pairs(found)
    queues = _queues(asked, encoder)
    return {"agreement": found, "queues": queues}


def computed(asked: Asked, view: AgreementView, encoder: Encoder) -> Agreement:
    """The figures of what this view leaves; made once for all sessions until somebody says more."""
    kept = (view.queue, view.kind, view.layer, view.annotator, view.blind)
    standings = (
        asked.standings if view == asked.view else agreement_view.narrowed(asked.everything, view, asked.subject)
    )
    key = (asked.ledger.labels.where, asked.subject.id, asked.seq, encoder.key, *kept)
    return _computed(key, standings, encoder)


@st.cache_resource(max_entries=64, show_spinner="Comparing the annotators")
def _computed(key: tuple, _standings: Any, _encoder: Encoder) -> Agreement:
    return agreement(_standings, _encoder.embed)


def _three(found: Agreement) -> None:
    left, middle, right = st.columns(3)
    left.metric("Krippendorff's alpha", number(found.alpha))
    left.caption(alpha_told(found))
    middle.metric("Identical answers", f"{found.same / found.compared:.0%}")
    middle.caption(
        f"{found.same:,} of {count(found.compared, 'comparison')} of two annotators on one end; letters' case, spaces "
        "and the order of senses do not count. Chance is not taken off."
    )
    right.metric("Alike in meaning", number(found.meaning.cosine))
    right.caption(meaning_told(found.meaning, found.compared))


def number(value: float) -> str:
    """A figure, or that it is not defined."""
    return UNDEFINED if math.isnan(value) else f"{value:.3f}"


def alpha_told(found: Agreement) -> str:
    """What alpha is, in a sentence, with its interval or why there is none."""
    if math.isnan(found.alpha):
        return "Everybody always gave one and the same answer: with nothing that varies, chance cannot be told apart."
    told = (
        "1 where all agree, 0 where they agree as often as by chance: how much less they differ on one end than on "
        "any two ends, all annotators together."
    )
    if found.interval is None:
        why = f"fewer than {LEAST_UNITS} ends" if found.units < LEAST_UNITS else "too little varies"
        return f"{told} No interval: {why}."
    low, high = found.interval
    return f"95 % interval {low:.3f} to {high:.3f}, from drawing the {count(found.units, 'end')} anew. {told}"


def meaning_told(found: Meaning, compared: int) -> str:
    """What the mean cosine is, in a sentence, beside what chance gives."""
    if not found.units:
        return "Of no end, two labels could be embedded."
    chance = (
        f"labels of different ends have {found.by_chance:.3f}"
        if not math.isnan(found.by_chance)
        else "of a single end, chance cannot be told"
    )
    return (
        f"Mean cosine of two annotators' labels of one end, as a text encoder sees them, over the {found.units:,} of "
        f"{count(compared, 'comparison')} where both are labels that could be embedded; {chance}."
    )


def _told(found: Agreement, encoder: Encoder) -> None:
    told = (
        f"Meanings by the text encoder of {encoder.model}: {found.embedded:,} of {count(found.texts, 'label')} embedded"
    )
    if found.embedded < found.texts:
        live = encoder.key.startswith("live")
        told += (
            "; the others have words it was never trained on." if live
            else "; the others are no texts of the bundle's pool, which is all there is without the live model."
        )  # fmt: skip
    else:
        told += "."
    st.caption(plain(f"{told} A label with several senses counts as their mean. {encoder.problem}".strip(), 900))


def _pairs(found: Agreement) -> None:
    st.markdown("**Every two annotators**")
    names = sorted({name for pair in found.pairs for name in (pair.one, pair.other)})
    if 2 < len(names) <= MOST_NAMES:
        figures.show(heat_map(found, names), "agreement-kappa", height=120 + 44 * len(names))
    figures.table(
        pairs(found), "agreement-pairs",
        columns={name: st.column_config.NumberColumn(format="%.3f") for name in ("kappa", "cosine", "by chance")}
        | {"identical": st.column_config.NumberColumn(format="percent")},
    )  # fmt: skip
    undefined = sum(math.isnan(pair.kappa) for pair in found.pairs)
    st.caption(
        "Cohen's kappa: how far two agree beyond what their own habits of answering give by chance, over the ends that "
        "both answered. Where both always gave one and the same answer it is not defined"
        + (f", as {count(undefined, 'time')} here." if undefined else ".")
    )


def pairs(found: Agreement) -> pd.DataFrame:
    """A row for every two who share an end; what is not defined is left empty."""
    none = lambda value: None if math.isnan(value) else value
    return pd.DataFrame(
        {
            "one": [pair.one for pair in found.pairs],
            "other": [pair.other for pair in found.pairs],
            "ends": [pair.units for pair in found.pairs],
            "kappa": pd.array([none(pair.kappa) for pair in found.pairs], "Float64"),
            "identical": [pair.same / pair.units for pair in found.pairs],
            "cosine": pd.array([none(pair.meaning.cosine) for pair in found.pairs], "Float64"),
            "by chance": pd.array([none(pair.meaning.by_chance) for pair in found.pairs], "Float64"),
            "ends embedded": [pair.meaning.units for pair in found.pairs],
        }
    )


def heat_map(found: Agreement, names: Sequence[str]) -> go.Figure:
    """Kappa of every two, with how many ends they share. Names are cut and escaped: Plotly reads some HTML."""
    at = {name: i for i, name in enumerate(names)}
    values: list[list[float | None]] = [[None] * len(names) for _ in names]
    texts = [["" for _ in names] for _ in names]
    for pair in found.pairs:
        for row, column in ((at[pair.one], at[pair.other]), (at[pair.other], at[pair.one])):
            defined = not math.isnan(pair.kappa)
            values[row][column] = pair.kappa if defined else None
            texts[row][column] = f"{pair.kappa:.2f}<br>n {pair.units}" if defined else f"–<br>n {pair.units}"
    ticks = [f"{i + 1} {short(name, 18)}" for i, name in enumerate(names)]  # numbered: two names may begin alike
    figure = go.Figure(
        go.Heatmap(
            z=values, x=ticks, y=ticks, text=texts, texttemplate="%{text}", zmin=-1, zmax=1, zmid=0,
            colorscale=figures.DIVERGING, colorbar={"title": "kappa"}, hoverongaps=False, xgap=2, ygap=2,
            hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    return figure


def _queues(asked: Asked, encoder: Encoder) -> list[dict[str, Any]]:
    """The same figures queue by queue, where there are several."""
    events = [event for standing in asked.everything.values() for event in standing.by.values()]
    names = sorted({event.queue or NO_QUEUE for event in events})
    if asked.view.queue is not None or len(names) < 2:
        return []
    rows = []
    for name in names:
        found = computed(asked, agreement_view.queue(asked.view, name), encoder)
        low, high = found.interval or (None, None)
        rows.append(
            {
                "queue": name,
                "ends": found.units,
                "alpha": None if math.isnan(found.alpha) else found.alpha,
                "from": low,
                "to": high,
                "identical": found.same / found.compared if found.compared else None,
                "cosine": None if math.isnan(found.meaning.cosine) else found.meaning.cosine,
                "by chance": None if math.isnan(found.meaning.by_chance) else found.meaning.by_chance,
            }
        )
    st.markdown("**Queue by queue**, of what was said in each")
    decimals = {name: st.column_config.NumberColumn(format="%.3f") for name in ("alpha", "from", "to", "cosine")}
    figures.table(
        pd.DataFrame(rows), "agreement-by-queue",
        columns=decimals | {"by chance": st.column_config.NumberColumn(format="%.3f"),
                            "identical": st.column_config.NumberColumn(format="percent")},
    )  # fmt: skip
    st.caption("Empty where a figure is not defined: no end with two answers, or nothing that varies.")
    return rows
