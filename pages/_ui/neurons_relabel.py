"""Relabel neurons: the same sparse decomposition over another pool, for this neuron or for all, and what changed."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.store.neuron_answers import RelabelledNeuron
from core.text.pools import TextPool
from pages._ui import figures, relabel
from pages._ui.neurons_view import SCOPES
from pages._ui.resources import Opened, Stamp
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

PICKS = 10
_ALL_PICKS = 3


def draw(opened: Opened, chosen: Chosen[Any]) -> dict[str, Any]:
    """The pool, and the result if there is one; returns what it drew."""
    address = str(chosen.view.neuron)

    def result(pool: TextPool, vectors: np.ndarray) -> tuple[RelabelledNeuron, ...]:
        st.segmented_control(
            "Relabel", list(SCOPES), format_func=SCOPES.__getitem__, required=True,
            help="Orthogonal matching pursuit of the stored directions over this pool.", **chosen.bound("scope"),
        )  # fmt: skip
        if chosen.view.scope == "neuron":
            made = _made(opened.name, opened.stamp, pool.digest, address, opened, pool, vectors)
            one(made[0])
        else:
            made = _made(opened.name, opened.stamp, pool.digest, None, opened, pool, vectors)
            every(made)
        return made

    return relabel.draw(
        opened, chosen, "As a sum of which texts would this neuron's direction read best, out of another pool?", result
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _made(
    name: str, stamp: Stamp, digest: str, address: str | None, _opened: Opened, _pool: TextPool, _vectors: np.ndarray
) -> tuple[RelabelledNeuron, ...]:
    """Kept: all neurons over a large pool take a minute."""
    table = _opened.store.neurons
    assert table is not None
    place = st.empty()
    bar = place.progress(0.0, text="Choosing texts")

    def tell(done: int, total: int) -> None:
        bar.progress(done / total, text=f"Choosing texts: {done / total:.0%}")

    picks = PICKS if address else _ALL_PICKS
    made = table.relabel(_pool.texts, _vectors, picks, address, progress=tell)
    place.empty()
    return made


def one(made: RelabelledNeuron) -> None:
    """New texts beside the stored ones."""
    after, before = made.after, made.before
    if not after.terms:
        st.markdown("**No text of this pool says anything about its direction.**")
        return
    verdict = "The first text is another one." if made.changed else "The first text is the same."
    n = len(after.terms)
    st.markdown(
        f"**{verdict}** The {count(n, 'text')} chosen from this pool leave {float(after.left_m[-1]):.0%} of the "
        f"direction's squared length; as many chosen from the bundle's leave {float(before.left_m[-1]):.0%}."
        if len(before.terms)
        else f"**{verdict}**"
    )
    rows = [
        {
            "no.": m + 1,
            "this pool's": term.text,
            "coefficient": term.coefficient,
            "left": float(after.left_m[m]),
            "the bundle's": before.terms[m].text if m < len(before.terms) else "",
            "coefficient before": before.terms[m].coefficient if m < len(before.terms) else None,
            "left before": float(before.left_m[m]) if m < len(before.terms) else None,
        }
        for m, term in enumerate(after.terms)
    ]
    _table(pd.DataFrame(rows), f"relabel-{after.address}", ("left", "left before"))


def every(made: tuple[RelabelledNeuron, ...]) -> None:
    """A line for each neuron."""
    changed = sum(each.changed for each in made)
    st.markdown(f"**{changed:,} of {count(len(made), 'neuron')}** got another first text.")
    st.caption(plain(f"Left: of the direction's squared length after {_ALL_PICKS} texts, before after as many."))
    signed = lambda label: "; ".join(f"{'−' if t.coefficient < 0 else ''}{t.text}" for t in label.terms)
    rows = [
        {
            "neuron": each.after.address,
            "this pool's": signed(each.after),
            "the bundle's": signed(each.before),
            "changed": each.changed,
            "left": float(each.after.left_m[-1]) if each.after.terms else None,
            "left before": float(each.before.left_m[-1]) if each.before.terms else None,
        }
        for each in made
    ]
    _table(pd.DataFrame(rows), "relabel-neurons", ("left", "left before"))


def _table(rows: pd.DataFrame, name: str, percents: tuple[str, ...]) -> None:
    formats: dict[str, Any] = {c: st.column_config.NumberColumn(format="percent", width=70) for c in percents}
    formats |= {c: st.column_config.NumberColumn(format="%.3f") for c in ("coefficient", "coefficient before")}
    formats |= {c: st.column_config.TextColumn(width=200) for c in ("this pool's", "the bundle's")}
    figures.table(rows, name, columns={c: f for c, f in formats.items() if c in rows})
