"""Universality: how many units of each model have a partner in another, at what depth, and how widely concepts are
shared."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import figures, rosetta_frame, selection, states, universal_words
from pages._ui import rosetta_figures as charts
from pages._ui.selection import Chosen
from pages._ui.words import count, plain


@dataclass(frozen=True)
class UniversalView:
    """The units of model `a`, and where those of `b` that partner them sit."""

    dictionary: str | None = None
    a: str = ""
    b: str = ""


def main() -> None:
    found = None
    st.title("Universality")
    with states.calm():
        found = rosetta_frame.opened()
    if found is None or rosetta_frame.shares_nothing(found):
        return
    rosetta_frame.warn_if_random(found)
    members = [member.name for member in found.store.members]
    one = selection.one_of(*members)
    start = universal_words.start(found.store)
    chosen = selection.read(
        UniversalView, start | {"dictionary": found.name}, "dictionary", dictionary=rosetta_frame.reader(), a=one, b=one
    )
    if chosen.view.a == chosen.view.b:  # a model is not compared with itself: the address says what is drawn instead
        other = next(name for name in members if name != chosen.view.a)
        chosen.go(b=other)
        chosen = replace(chosen, view=replace(chosen.view, b=other))
    view = chosen.view
    shares = {(a, b): found.store.universality(a, b) for a in members for b in members if a != b}
    st.write(
        "Do models that were trained apart, even with another aim, come to the same units? A unit counts as shared "
        "with another model if it and a unit there are among each other's "
        f"{found.store.k} nearest by the correlation of their maps, above the null level."
    )
    st.caption(universal_words.population(found))
    most = {pair: universal_words.most(found.store, *pair) for pair in shares}
    pairs = [
        {"units of": a, "partners in": b, "share": charts.whole(layers), "at most": most[a, b]}
        for (a, b), layers in shares.items()
    ]
    figures.show(charts.overall(shares, members, most), "universal-pairs", height=120 + 56 * len(members))
    st.caption(universal_words.bound(found.store))
    st.caption(universal_words.reference(found.store, shares))
    _choose(chosen, members)
    seeds = frozenset(universal_words.seeds(found.store).get(view.a, ()))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(f"Layers of {plain(view.a)}", anchor=False)
        figures.show(charts.by_layer({b: shares[view.a, b] for b in members if b != view.a}, seeds), "universal-layers")
        st.caption("Share of a layer's living units (those that vary) with a partner in each other model.")
    with right:
        st.subheader(f"Where their partners in {plain(view.b)} sit", anchor=False)
        layers = next(member.layers for member in found.store.members if member.name == view.b)
        figure, counts = charts.depths(shares[view.a, view.b], [(layer.name, layer.depth) for layer in layers])
        figure.update_xaxes(title=f"layer of {view.a}")
        figure.update_yaxes(title=f"layer of {view.b}")
        figures.show(figure, "universal-depths")
        st.caption(
            "The number is of units, the colour their share of the column's units with a partner. Deeper layers stand "
            "to the right and above; were depth all that counts, the dark cells would rise with the diagonal."
        )
    st.subheader("How widely concepts are shared", anchor=False)
    sharing = {name: found.store.sharing(name) for name in members}
    figures.show(charts.sharing(sharing[view.a], len(members)), "universal-sharing", height=280)
    st.caption(
        plain(
            f"{count(sum(sharing[view.a].values()), 'concept')} that start from units of {view.a}, by the number of "
            f"models with a unit in them; over {count(found.store.images, 'image')}.", 500
        )
    )  # fmt: skip
    table = _table(shares)
    figures.table(table, "universal", columns={"share": st.column_config.NumberColumn(format="percent")}, height=320)
    about: dict[str, Any] = {"dictionary": found.name, "view": view, "sharing": sharing, "depths": counts}
    figures.page_data(lambda: about | {"shares": table.to_dict("records"), "pairs": pairs}, "universality")
    rosetta_frame.footer(found)


def _choose(chosen: Chosen[UniversalView], members: list[str]) -> None:
    view = chosen.view
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        key = chosen.bound("a")["key"]
        st.selectbox(
            "Units of", members, width=220, key=key,  # the model of the partners: the two change places
            on_change=lambda: chosen.go(
                a=st.session_state[key], b=view.a if st.session_state[key] == view.b else view.b
            ),
        )  # fmt: skip
        st.selectbox("Partners in", [name for name in members if name != view.a], width=220, **chosen.bound("b"))


def _table(shares: dict[tuple[str, str], Any]) -> pd.DataFrame:
    rows = [
        [a, layer.layer, b, layer.units, layer.alive, layer.partnered, layer.share, layer.median_r]
        for (a, b), layers in shares.items() for layer in layers
    ]  # fmt: skip
    names = ["units of", "layer", "partners in", "units", "living", "with a partner", "share", "median best r"]
    return pd.DataFrame(rows, columns=names)
