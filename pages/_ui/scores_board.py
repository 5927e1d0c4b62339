"""The leaderboard of labelling methods: begun when asked for, then its figure, its verdict, and all its numbers."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.errors import LabelsUnavailable
from core.leaderboard import UNITS, Board, Hand, Row, digest, standing_labels
from core.methods.label_leaderboard import (
    CLASS_MEAN,
    CLASS_NEAR,
    FITTED,
    HAND,
    METHODS,
    NEAREST,
    PAPER,
    RANDOM,
    TEXTSPAN,
    TEXTSPAN_FIRST,
    UNIT,
)
from core.methods.label_scores import NAMES, TOP, Estimate
from pages._ui import figures, labels, linked_table, links, scores_jobs, states
from pages._ui.image_figures import MINUS, PLUS, WHOLE
from pages._ui.resources import Opened
from pages._ui.words import count, plain

KINDS = {"head": "Heads", "neuron": "Neurons", "pair": "Pairs"}
FIGURES = {"pearson": "Pearson r", "auprc": "AUPRC", "f1": "F1", "auroc": "AUROC"}
ONE_TEXT = (TEXTSPAN, TEXTSPAN_FIRST, UNIT, PAPER, NEAREST, CLASS_NEAR, CLASS_MEAN)
"""Methods that call a unit one text by a rule: what the verdict compares."""


def by_hand(opened: Opened) -> tuple[Hand, ...]:
    """The labels that stand of this bundle; none where there is no database."""
    try:
        return standing_labels(labels.ledger(opened.store.facts().bundle))
    except LabelsUnavailable:
        return ()


def draw(opened: Opened, kind: str, figure: str) -> Board | None:
    """The section; returns the leaderboard if there is one."""
    hand, board, job = by_hand(opened), scores_jobs.board(opened), scores_jobs.find(opened)
    if job is not None and job.running:
        _progress(opened)
    elif board is None:
        states.empty(
            "The methods have not been compared on this bundle yet",
            f"Every method labels up to {UNITS} units of each kind, from half of the images; the labels are scored on "
            "the other half. That takes seconds for the demo world and minutes for a large bundle, and is kept.",
        )
        _button(opened, hand, "Compare the methods", "primary")
    elif digest(hand) != board.hand:
        st.caption("Labels by hand have changed since this was computed.")
        _button(opened, hand, "Compare again", "secondary")
    if job is not None and (problem := job.problem("The methods could not be compared; the server's log says why.")):
        states.problem(problem)
    if board is not None:
        _shown(board, kind, figure)
    return board


def _button(opened: Opened, hand: Sequence[Hand], label: str, kind: Any) -> None:
    begin: Any = scores_jobs.begin  # what it returns, nobody asks for here
    st.button(label, key="scores-begin", type=kind, icon=":material/leaderboard:", on_click=begin, args=(opened, hand))


@st.fragment(run_every=1)
def _progress(opened: Opened) -> None:
    job = scores_jobs.find(opened)
    if job is None or not job.running:
        st.rerun()
    else:
        st.progress(job.share, text=f"Comparing the methods: {job.what}")


def _shown(board: Board, kind: str, figure: str) -> None:
    rows = [row for row in board.rows if row.kind == kind]
    if not rows:
        st.caption(f"No {KINDS[kind].lower()} could be compared: too few images are left that no label was made from.")
        return
    drawn, of = board.counts[kind]
    unread = f" {count(board.unread, 'label')} by hand could not be embedded." if board.unread else ""
    less = "" if kind == "head" else ", less those of each direction"
    st.caption(
        f"Mean over {count(drawn, 'unit')} of {of:,}, spread evenly over the ranks by importance; bars are 95 % "
        f"bootstrap intervals over units. Scored on {board.images[kind]:,} images that the labels were not made "
        f"from{less}; positive are the {TOP:.0%} with the largest number. The dotted line is a random text of the "
        f"pool.{unread}"
    )
    figures.show(chart(rows, figure), f"scores-{kind}-{figure}", height=90 + 34 * len(rows))
    st.markdown(verdict(board, kind))
    with st.expander("What each method does", icon=":material/help:"):
        for row in rows:
            st.markdown(f"**{plain(row.method)}**: {plain(METHODS[row.method], 600)}")
    with st.expander("All numbers", icon=":material/table_rows:"):
        figures.table(table(rows), f"scores-{kind}", columns={"units": st.column_config.NumberColumn(width=60)})
    _by_hand(board, kind)


def chart(rows: Sequence[Row], figure: str) -> go.Figure:
    """A point and its interval a method, the best on top; chance as a dotted line."""
    ordered = sorted(rows, key=lambda row: getattr(row, figure).value)
    colour = lambda name: {RANDOM: WHOLE, FITTED: WHOLE, HAND: MINUS}.get(name, PLUS)
    values: list[Estimate] = [getattr(row, figure) for row in ordered]
    drawn = go.Figure(
        go.Scatter(
            x=[value.value for value in values],
            y=[row.method for row in ordered],
            mode="markers",
            marker={"size": 10, "color": [colour(row.method) for row in ordered]},
            error_x={
                "type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": WHOLE,
                "array": [value.high - value.value for value in values],
                "arrayminus": [value.value - value.low for value in values],
            },
            customdata=[[str(value), row.units] for value, row in zip(values, ordered, strict=True)],
            hovertemplate="%{y}: %{customdata[0]}, %{customdata[1]} units<extra></extra>",
        )
    )  # fmt: skip
    for row in rows:
        if row.method == RANDOM:
            drawn.add_vline(x=getattr(row, figure).value, line={"dash": "dot", "width": 2, "color": WHOLE})
    drawn.update_xaxes(title=f"{FIGURES[figure]}, mean over units", rangemode="tozero")
    drawn.update_yaxes(type="category", dtick=1)
    return drawn


def verdict(board: Board, kind: str) -> str:
    """Which rule that calls a unit one text does best, whether the next can be told from it, and how far it is from the
    best text there is; in Markdown."""
    rules = [row for row in board.rows if row.kind == kind and row.method in ONE_TEXT and row.units]
    rules = sorted((row for row in rules if row.pearson.value == row.pearson.value), key=lambda row: -row.pearson.value)
    if len(rules) < 2:
        return ""
    best, told = rules[0], []
    for other in rules[1:]:
        gap = board.difference(kind, best.method, other.method)
        told.append((other.method, gap, gap.low > 0))
    equal = [name for name, _, sure in told if not sure]
    beaten = [(name, gap) for name, gap, sure in told if sure]
    text = f"Of the rules that call a unit one text, **{plain(best.method)}** does best (r {plain(best.pearson)})"
    if equal:
        text += "; " + plain(", ".join(equal)) + " cannot be told from it"
    if beaten:
        text += "; it is ahead of " + plain(", ".join(f"{name} by {gap}" for name, gap in beaten), 600)
    fitted = board.difference(kind, FITTED, best.method)
    if best.over_random.low <= 0:
        text += ". It is no better than a random text"
    return text + f". The text that fits best is {plain(fitted)} ahead. Differences are paired by unit."


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """All numbers of one kind, the best first, each with its interval."""
    ordered = sorted(rows, key=lambda row: -row.pearson.value)
    made = []
    for row in ordered:
        told: dict[str, Any] = {"method": row.method, "units": row.units}
        told |= {FIGURES[name]: str(getattr(row, name)) for name in NAMES}
        made.append(told | {"r less random": str(row.over_random)})
    return pd.DataFrame(made)


def _by_hand(board: Board, kind: str) -> None:
    rows = [one for one in board.labels if one.kind == kind and one.method == HAND]
    if rows:
        st.markdown("**Labels by hand**")
        made = pd.DataFrame(
            [[x.address, x.end, x.text, x.pearson] for x in rows], columns=["unit", "end", "label", "r"]
        )
        href = lambda row: links.href(f"{kind}s", **{kind: row["unit"]})
        linked_table.draw(made, f"scores-hand-{kind}", "Labels by hand", href, formats={"r": "{:+.2f}"}, height="16rem")
