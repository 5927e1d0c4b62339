"""What a pair is: its label and numbers, its texts, how alike its images are beside its neuron's, and its relatives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store.pair_answers import PairColumns, PairRow, PairSummary
from core.store.pairs import PairTable
from pages._ui import figures, linked_table, links, selection, sparse_texts
from pages._ui.image_figures import MINUS, PLUS, WHOLE
from pages._ui.overview_entry import target
from pages._ui.pairs_images import inertia
from pages._ui.selection import Chosen
from pages._ui.words import plain

RELATIVES = 12
BEST = 1_000
"""Pairs of best score that the figure of inertia shows."""


def title(summary: PairSummary, label: str) -> None:
    """The pair's address, its label, and its numbers with their population."""
    st.title(summary.address)
    st.markdown(f"**{plain(label, 1_000)}**" if label else "*no texts*")
    st.caption(
        plain(
            f"{summary.share:.1%} of its neuron's effect · score {summary.score:.4f} (mean of its {summary.largest} "
            f"largest |x|), number {summary.rank:,} of {summary.pairs:,} pairs · strength {summary.std:.5f} (deviation "
            f"of x) · images {closeness(summary)} than its neuron's · length of its direction in "
            f"weights {abs(summary.length):.3f} · {summary.population}",
            1_000,
        )
    )


def closeness(summary: PairSummary) -> str:
    """ "36% closer together"."""
    return f"{abs(summary.tightness):.0%} {'closer together' if summary.tightness >= 0 else 'farther apart'}"


def draw(chosen: Chosen[Any], table: PairTable, summary: PairSummary) -> dict[str, Any]:
    """The left half; returns what it drew."""
    address, name = summary.address, summary.address.replace(".", "-").replace(">", "-")
    note = "" if summary.label else " Made now: only the pairs of best score have theirs stored."
    pool = table.bundle.axes["text"].size
    fewer = lambda picks: table.text(address, picks)
    texts = sparse_texts.draw(chosen, table.text(address), fewer, name, pool, note)
    st.subheader("How alike its images are", anchor=False)
    figures.show(spread(table.columns(), summary), f"inertia-{name}", height=210)
    st.caption(f"{inertia(summary)} The figure has the {BEST:,} pairs of best score and their neurons; "
               "the lines are these two.")  # fmt: skip
    own, others, similar = (
        table.named(rows)
        for rows in (table.of_neuron(summary.neuron), _others(table, summary), table.similar(address, RELATIVES))
    )
    st.subheader(f"Neuron {summary.neuron} through its heads", anchor=False)
    st.caption("Shares of the neuron's whole effect; all together give 1, and a head that works against the others is "
               "negative.")  # fmt: skip
    relatives(own, f"own-{name}", "Pairs of this neuron", "share")
    everything("All pairs of this neuron", neuron=summary.neuron, sort="share")
    st.subheader(f"Head {summary.head} through its neurons", anchor=False)
    relatives(others, f"others-{name}", "Pairs of this head", "score")
    everything("All pairs of this head", head=summary.head)
    st.subheader("Similar direction", anchor=False)
    st.caption("Cosine of their directions with this one's; negative for pairs that write the opposite.")
    relatives(similar, f"similar-{name}", "Pairs of similar direction", "cosine")
    return {"texts": texts, "of_neuron": own, "of_head": others, "similar": similar}


def _others(table: PairTable, summary: PairSummary) -> tuple[PairRow, ...]:
    found = table.of_head(summary.head, RELATIVES + 1)
    return tuple(row for row in found if row.address != summary.address)[:RELATIVES]


def relatives(rows: Sequence[PairRow], name: str, told: str, by: str) -> None:
    """Pairs with their labels and one number, each linked to its page."""
    if not rows:
        st.caption("There are none.")
        return
    made = pd.DataFrame([[row.address, row.label, getattr(row, by)] for row in rows], columns=["pair", "label", by])
    formats = {by: {"share": "{:+.1%}", "score": "{:.4f}", "cosine": "{:+.3f}"}[by]}
    linked_table.draw(made, f"pairs-{name}", told, lambda row: links.href("pairs", pair=row["pair"]), formats=formats,
                      height="16rem")  # fmt: skip


def everything(label: str, **view: Any) -> None:
    """The way to a table of pairs."""
    st.page_link(
        target("pairs", "Pairs"), label=label, icon=":material/table_rows:", query_params=selection.query(**view)
    )


def spread(columns: PairColumns, summary: PairSummary) -> go.Figure:
    """How inertia is distributed over the pairs of best score and over their neurons, with these two (figure 3)."""
    pair_p, neuron_p = columns.inertia_p[:BEST], columns.neuron_inertia_p[:BEST]
    units = np.stack([columns.layer_p[:BEST], columns.neuron_p[:BEST]])
    neuron_p = neuron_p[np.unique(units, axis=1, return_index=True)[1]]  # each neuron once
    edge_b = np.histogram_bin_edges(np.concatenate([pair_p, neuron_p]), bins=32)
    figure = go.Figure()
    for name, values, colour in (("neurons", neuron_p, WHOLE), ("pairs", pair_p, PLUS)):
        share_b = np.histogram(values, edge_b)[0] / max(1, len(values))
        figure.add_bar(
            x=((edge_b[:-1] + edge_b[1:]) / 2).tolist(), y=share_b.tolist(), name=name, marker_color=colour,
            opacity=0.65, hovertemplate=f"%{{y:.1%}} of {name} near %{{x:.2f}}<extra></extra>",
        )  # fmt: skip
    for value, colour, dash in ((summary.inertia, MINUS, "solid"), (summary.neuron_inertia, MINUS, "dot")):
        figure.add_vline(x=value, line={"color": colour, "width": 2, "dash": dash})
    figure.update_layout(barmode="overlay", bargap=0.02, legend={"orientation": "h", "y": 1.15, "x": 0})
    figure.update_xaxes(title="inertia (line: this pair; dotted: its neuron)")
    figure.update_yaxes(title="share", tickformat=".0%")
    return figure
