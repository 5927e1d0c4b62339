"""Overview: what this bundle is, every head at a glance, where to start, and how well the model does."""

from dataclasses import asdict, dataclass

import streamlit as st

from core.store import Facts
from pages._ui import (
    figures,
    grid,
    overview_accuracy,
    overview_entry,
    overview_grid,
    overview_neurons,
    overview_table,
    resources,
    selection,
    sink_panel,
)
from pages._ui.overview_entry import Entry
from pages._ui.resources import Opened
from pages._ui.words import count, plain

PICTURES = 10
MOST_SAMPLES = 10_000


@dataclass(frozen=True)
class OverviewView(sink_panel.SinkView):
    """`sample` numbers the random pictures."""

    measure: str = "share"
    sample: int = 0


def main() -> None:
    opened = resources.current()
    facts = opened.store.facts()
    titles = overview_grid.measures(opened)
    numbers = selection.integer(0, MOST_SAMPLES)
    chosen = selection.read(
        OverviewView, None, measure=selection.one_of(*titles), sample=numbers, **sink_panel.readers(opened)
    )
    st.title("Overview")
    introduction(opened, facts, chosen)
    heads(opened, titles, chosen)
    st.subheader("Try these")
    with st.spinner("Looking for heads to start with", show_time=True):
        shown = overview_entry.entries(opened)
    overview_entry.cards(opened, shown)
    with st.expander("How these were picked"):
        st.caption(overview_entry.RULE)
    neurons = overview_neurons.draw(opened)
    overview_table.draw(opened, facts)
    st.subheader("Zero-shot accuracy")
    overview_accuracy.draw(facts, opened.store.ablations())
    sink = sink_panel.draw(opened, chosen)
    figures.page_data(lambda: data(opened, facts, chosen.view, shown, neurons) | {"sink": sink}, "overview")


def introduction(opened: Opened, facts: Facts, chosen: selection.Chosen[OverviewView]) -> None:
    """A paragraph and a few pictures."""
    left, right = st.columns([1, 1], gap="large")
    with left:
        st.write(told(facts))
        st.button(
            "Other pictures",
            key="other-pictures",
            icon=":material/shuffle:",
            help="Another sample of the same images; the link keeps which one.",
            on_click=chosen.go,
            kwargs={"sample": (chosen.view.sample + 1) % (MOST_SAMPLES + 1)},
        )
    with right:
        ids = opened.store.random(chosen.view.sample, PICTURES)
        grid.images(opened, ids, key="sample", size=80, label="Images of this bundle", href=overview_entry.image_link)
        st.caption(f"{count(len(ids), 'image')} drawn at random from {count(facts.ok, 'usable image')}.")


def told(facts: Facts) -> str:
    """What this bundle is, in a paragraph."""
    total = count(len(facts.layers) * facts.heads, "attention head")
    where = "of its attention pool" if facts.layers == (None,) else (
        f"in {len(facts.layers)} of its {count(facts.model_layers, 'layer')}"
    )  # fmt: skip
    return (
        f"**{plain(facts.model)}** ({plain(facts.weights)}) looked at {count(facts.ok, 'image')} of the data set "
        f"**{plain(facts.data)}**. What it says of an image is a sum, of which each attention head writes a part. This "
        f"bundle holds that part for {total} {where}: which images move it most, and which of the "
        f"{count(facts.pool_texts, 'text')} of the pool **{plain(facts.pool)}** describe it. Choose a head below to "
        "see what it looks for; its label is the first texts that explain it."
    )


def heads(opened: Opened, titles: dict[str, str], chosen: selection.Chosen[OverviewView]) -> None:
    """Every head in one figure."""
    st.subheader("Every head")
    st.selectbox(
        "Colour by",
        list(titles),
        format_func=lambda name: titles[name],
        help="What the colour of a cell says of its head. “Follows …” compares it with a column of the manifest.",
        **chosen.bound("measure"),
    )
    found = overview_grid.grid(opened, chosen.view.measure)
    note = " In italics: the value that the head sets apart most." if found.note_lh else ""
    st.caption(f"{plain(found.description)}{note} Numbers are {found.population}. Click a cell to open its head.")
    overview_grid.draw(found, opened.store.heads())


def data(
    opened: Opened, facts: Facts, view: OverviewView, shown: tuple[Entry, ...], neurons: tuple[str, ...]
) -> dict[str, object]:
    """Everything above, as plain values."""
    return {"view": view, "facts": asdict(facts), "grid": overview_grid.grid(opened, view.measure),
            "heads": opened.store.heads(), "sample": opened.store.random(view.sample, PICTURES), "entries": shown,
            "neurons": neurons, "ablations": opened.store.ablations(), "parts": opened.store.parts()}  # fmt: skip
