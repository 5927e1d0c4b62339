"""What a neuron writes: its texts as signed bars, the later heads that carry it, and the neurons alike."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store import Store
from core.store.neuron_answers import Carrier, NeuronSummary
from core.store.neurons import NeuronTable
from pages._ui import figures, linked_table, links, selection, sparse_texts
from pages._ui.image_figures import MINUS, PLUS, WHOLE
from pages._ui.overview_entry import target
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

CARRIERS = 10
SIMILAR = 12


def title(summary: NeuronSummary, table: NeuronTable) -> None:
    """The neuron's address, its label, and its numbers with their population."""
    st.title(summary.address)
    st.markdown(f"**{plain(summary.label, 1_000)}**" if summary.label else "*no texts*")
    st.caption(
        plain(
            f"strength {summary.std:.5f} (deviation of x) · above its layer's threshold in {summary.share_above:.1%} "
            f"of images · its direction explains {summary.explained:.0%} of its largest effects, "
            f"{summary.explained_all:.0%} of all · {count(summary.concepts, 'concept')} among the images of its "
            f"largest effect · mean activation {summary.activation_mean:.3f} · mean effect of length "
            f"{summary.mean_norm:.4f} · {table.population}",
            1_000,
        )
    )


def draw(opened: Opened, chosen: Chosen[Any], table: NeuronTable) -> dict[str, Any]:
    """The left half; returns what it drew."""
    address = str(chosen.view.neuron)
    name = address.replace(".", "-")
    fewer = lambda picks: table.text(address, picks)
    texts = sparse_texts.draw(chosen, table.text(address), fewer, name, opened_pool(table))
    carriers = table.carriers(address)
    _carriers(opened.store, carriers, address, name)
    similar = table.similar(address, SIMILAR)
    st.subheader("Similar direction", anchor=False)
    st.caption("Cosine of their directions with this one's; negative for neurons that write the opposite.")
    rows = pd.DataFrame([[s.address, s.label, s.cosine] for s in similar], columns=["neuron", "label", "cosine"])
    href = lambda row: links.href("neurons", neuron=row["neuron"])
    formats = {"cosine": "{:+.3f}"}
    linked_table.draw(rows, f"similar-{name}", "Neurons of similar direction", href, formats=formats, height="20rem")
    return {"texts": texts, "carriers": carriers, "similar": similar}


def opened_pool(table: NeuronTable) -> int:
    """Texts of the bundle's pool."""
    return table.bundle.axes["text"].size


def _carriers(store: Store, carriers: tuple[Carrier, ...], neuron: str, name: str) -> None:
    st.subheader("Later heads that carry it", anchor=False)
    if not carriers:
        st.caption("No later head carries anything of it.")
        return
    known = {head.address: head.label for head in store.heads()}
    figures.show(shares(carriers), f"carriers-{name}", height=90 + 20 * min(len(carriers), CARRIERS + 1))
    st.caption(
        f"What each adds to the variance of the coefficient; all {len(carriers)} together give 1, and one that works "
        "against the others is negative. Heads of layers that this bundle does not analyse have no page."
    )
    rows = pd.DataFrame(
        [[c.address, known.get(c.address, "not analysed"), c.share] for c in carriers],
        columns=["head", "label", "share"],
    )
    to_pairs = {"pair": links.to_pair} if store.pairs is not None else {}
    if to_pairs:
        rows["pair"] = [links.pair(neuron, c.address) for c in carriers]
    linked_table.draw(
        rows, f"carriers-table-{name}", "Heads that carry this neuron",
        lambda row: links.href("heads", head=row["head"]) if row["head"] in known else "", formats={"share": "{:+.1%}"},
        height="16rem", links=to_pairs,
    )  # fmt: skip
    if to_pairs:
        st.page_link(
            target("pairs", "Pairs"), label="What it does through each head", icon=":material/join_inner:",
            query_params=selection.query(neuron=neuron, sort="share"),
        )  # fmt: skip


def shares(carriers: tuple[Carrier, ...]) -> go.Figure:
    """Bars of the largest shares, and one of all the others, so that they sum to 1."""
    rows = [(carrier.address, carrier.share) for carrier in carriers[:CARRIERS]]
    if others := carriers[CARRIERS:]:
        rows.append((f"{len(others)} others", sum(carrier.share for carrier in others)))
    rows = rows[::-1]
    colours = [WHOLE if name.endswith("others") else PLUS if share >= 0 else MINUS for name, share in rows]
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in rows], y=[name for name, _ in rows], orientation="h", marker_color=colours,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="share of the coefficient's variance", tickformat=".0%")
    figure.update_yaxes(type="category", dtick=1)
    figure.update_layout(bargap=0.25)
    return figure
