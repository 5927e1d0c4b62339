"""Pairs in a table: the best of all, those of one neuron, of one head, with some words in their label, or nearest to a
text; a click on a row opens its pair."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.ids import parse
from core.store.pair_answers import PairRow
from core.store.pairs import PairTable
from pages._ui import figures, resources, scores, states
from pages._ui.pairs_view import MOST_CHARACTERS, SORTS
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain, typed

SHOWN = 1_000
NEAREST = 500
TOLD = {
    "label": "Its first texts; − marks those it writes against. The pairs of best score have one stored; of the others "
    "the first of a list are described now, any other when you open it.",
    "score": "Mean of its largest |x|: how far the pair moves, along its direction, the images that it moves most.",
    "share": "Share of the variance of its neuron's whole effect that goes through this head.",
    "strength": "Standard deviation of its coefficient x over the images.",
    "tightness": "How much closer together its first images are than its neuron's: 1 − inertia / the neuron's inertia.",
    "cosine": "Cosine of its direction with the text, less the mean of the bundle's texts; below zero, its − end.",
}


@dataclass(frozen=True)
class Listed:
    """What the table shows: the `rows` in order, of `passing` that pass the filters, of `every` looked through."""

    rows: tuple[PairRow, ...]
    passing: int
    every: int

    @property
    def names(self) -> list[str]:
        return [row.address for row in self.rows]


def matching(opened: Opened, table: PairTable, view: Any) -> Listed:
    """The pairs that the view asks for. With a text, the nearest NEAREST are looked through, which needs the model."""
    if view.near:
        embedding_o = resources.explainer(opened).embed([view.near])[0]
        found = table.for_text(embedding_o, NEAREST)
        wanted = view.label.casefold()
        keep = [
            row for row in found
            if (view.neuron is None or row.neuron == str(view.neuron))
            and (view.head is None or row.head == str(view.head)) and wanted in row.label.casefold()
        ]  # fmt: skip
        return Listed(table.named(keep), len(keep), len(found))
    columns = table.columns()
    keep_p = np.ones(len(columns.row_p), bool)
    if view.neuron is not None:
        i, n = table.neurons.at(view.neuron)
        keep_p &= (columns.layer_p == i) & (columns.neuron_p == n)
    if view.head is not None:
        keep_p &= columns.head_p == table.heads.index(view.head)
    if view.label:
        keep_p &= np.isin(columns.row_p, table.labelled(view.label))
    at_p = np.flatnonzero(keep_p)
    if view.sort != "score":  # which they are in already
        at_p = at_p[np.argsort(-np.nan_to_num(getattr(columns, f"{view.sort}_p")[at_p]), kind="stable")]
    return Listed(table.named(table.rows(columns.row_p[at_p[:SHOWN]])), len(at_p), len(keep_p))


def draw(opened: Opened, chosen: Chosen[Any], table: PairTable, listed: Listed) -> None:
    """What is listed, in words, and the table."""
    _choices(chosen, table)
    _told(chosen, table, listed)
    if not listed.rows:
        states.empty("No pair passes", "Take away a word, the neuron or the head; or look for a text by its meaning.")
        return
    score_u = scores.column(opened, "pair")
    shown = frame(listed.rows)
    if score_u is not None:
        shown.insert(2, "label score", score_u[[table.row(row.address) for row in listed.rows]])
    figures.table(
        shown,
        "pairs",
        columns={
            "pair": st.column_config.TextColumn(width=150),
            "label": st.column_config.TextColumn(width="large", help=TOLD["label"]),
            "label score": st.column_config.NumberColumn(
                format="%+.2f", help=f"{scores.TOLD} Only described pairs have one."
            ),
            "cosine": st.column_config.NumberColumn(format="%+.3f", help=TOLD["cosine"]),
            "score": st.column_config.NumberColumn(format="%.4f", help=TOLD["score"]),
            "share": st.column_config.NumberColumn(format="percent", help=TOLD["share"]),
            "strength": st.column_config.NumberColumn(format="%.5f", help=TOLD["strength"]),
            "tightness": st.column_config.NumberColumn(format="%.2f", help=TOLD["tightness"]),
        },
        height=560,
        on_row=lambda at: chosen.go(pair=parse(listed.rows[at].address)),
    )


def frame(rows: tuple[PairRow, ...]) -> pd.DataFrame:
    """These pairs as a table; a cosine only where they were found by a text."""
    made = pd.DataFrame(
        {
            "pair": [row.address for row in rows],
            "label": [row.label for row in rows],
            "score": [row.score for row in rows],
            "share": [row.share for row in rows],
            "strength": [row.std for row in rows],
            "tightness": [row.tightness for row in rows],
        }
    )
    if rows and rows[0].cosine is not None:
        made.insert(2, "cosine", [row.cosine for row in rows])
    return made


def _choices(chosen: Chosen[Any], table: PairTable) -> None:
    """By a text's meaning, by head, by order; what else narrows it down can be taken away."""
    view = chosen.view
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        key = "PairsView.near"
        st.session_state[key] = view.near
        st.text_input(
            "Nearest to a text",
            key=key,
            max_chars=MOST_CHARACTERS,
            placeholder="a butterfly on a flower",
            on_change=lambda: chosen.go(near=typed(st.session_state[key])),
            help="Pairs whose direction is most along or against this text, by the live model's text encoder.",
            width=300,
        )
        st.selectbox("Head", table.heads, index=None, placeholder="every head", width=150, **chosen.bound("head"))
        if not view.near:
            st.selectbox("Sort by", list(SORTS), format_func=SORTS.__getitem__, width=210, **chosen.bound("sort"))
        if view.neuron is not None:
            st.button(
                f"Not only {view.neuron}",
                icon=":material/close:",
                on_click=chosen.go,
                kwargs={"neuron": None},
            )
        if view.neuron or view.head or view.label or view.near:
            clear = {"neuron": None, "head": None, "label": "", "near": ""}
            st.button("All pairs", icon=":material/filter_alt_off:", on_click=chosen.go, kwargs=clear)


def _told(chosen: Chosen[Any], table: PairTable, listed: Listed) -> None:
    view = chosen.view
    narrowed = [f"of neuron {view.neuron}"] * bool(view.neuron) + [f"read by head {view.head}"] * bool(view.head)
    narrowed += [f"whose label has “{view.label}”"] * bool(view.label)
    what = f"**{count(listed.passing, 'pair')}**"
    if view.near:
        text = f"{what} of the {listed.every:,} nearest to “{plain(view.near)}”"
        order = "by the size of the cosine"
    else:
        text = f"{what} of {listed.every:,}"
        order = f"by {SORTS[view.sort]}"
    if narrowed:
        text += plain(" " + ", ".join(narrowed))
    some = f", the first {len(listed.rows):,} shown" if len(listed.rows) < listed.passing else ""
    st.caption(
        f"{text}{some}, {order}. Numbers are {table.population}. Click a row to open its pair; its keys then step "
        "through these, in this order."
    )
