"""Universality: how many units of each model have a partner in another, at what depth, and how widely concepts are
shared."""

from dataclasses import dataclass
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
    chosen = selection.read(UniversalView, start, dictionary=rosetta_frame.reader(), a=one, b=one)
    view = chosen.view
    shares = {(a, b): found.store.universality(a, b) for a in members for b in members if a != b}
    st.write(
        "Do models that were trained apart, even with another aim, come to the same units? A unit counts as shared "
        "with another model if it and a unit there are among each other's "
        f"{found.store.k} nearest by the correlation of their maps, above the null level."
    )
    st.caption(universal_words.population(found))
    figures.show(charts.overall(shares, members), "universal-pairs", height=120 + 56 * len(members))
    st.caption(universal_words.reference(found.store, shares))
    other = view.b if view.b != view.a else next(name for name in members if name != view.a)
    _choose(chosen, members, other)
    seeds = frozenset(universal_words.seeds(found.store).get(view.a, ()))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(f"Layers of {plain(view.a)}", anchor=False)
        figures.show(charts.by_layer({b: shares[view.a, b] for b in members if b != view.a}, seeds), "universal-layers")
        st.caption(universal_words.share(found.store, view.a))
    with right:
        st.subheader(f"Where their partners in {plain(other)} sit", anchor=False)
        layers = next(member.layers for member in found.store.members if member.name == other)
        figure, counts = charts.depths(shares[view.a, other], [(layer.name, layer.depth) for layer in layers])
        figure.update_xaxes(title=f"layer of {view.a}")
        figure.update_yaxes(title=f"layer of {other}")
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
    figures.page_data(lambda: about | {"shares": table.to_dict("records")}, "universality")
    rosetta_frame.footer(found)


def _choose(chosen: Chosen[UniversalView], members: list[str], other: str) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.selectbox("Units of", members, width=220, **chosen.bound("a"))
        bound = chosen.bound("b")
        st.session_state[bound["key"]] = other
        st.selectbox("Partners in", [name for name in members if name != chosen.view.a], width=220, **bound)


def _table(shares: dict[tuple[str, str], Any]) -> pd.DataFrame:
    rows = [
        [a, layer.layer, b, layer.units, layer.alive, layer.partnered, layer.share, layer.median_r]
        for (a, b), layers in shares.items() for layer in layers
    ]  # fmt: skip
    names = ["units of", "layer", "partners in", "units", "living", "with a partner", "share", "median best r"]
    return pd.DataFrame(rows, columns=names)
