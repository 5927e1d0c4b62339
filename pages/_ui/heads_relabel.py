"""Relabel: the same choice of texts, from another pool, for this head or for all, and what changed."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.store import Baseline, HeadAnswer, Relabelled
from core.text.pools import TextPool
from pages._ui import figures, relabel
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

SCOPES = {"head": "This head", "all": "All heads"}
PICKS = 10


def draw(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, baseline: Baseline) -> dict[str, Any]:
    """The pool, and the result if there is one; returns what it drew."""

    def result(pool: TextPool, vectors: np.ndarray) -> tuple[Relabelled, ...]:
        st.segmented_control(
            "Relabel", list(SCOPES), format_func=SCOPES.__getitem__, required=True,
            help="TextSpan from the stored covariances, over all images that could be used.", **chosen.bound("scope"),
        )  # fmt: skip
        address = answer.summary.address if chosen.view.scope == "head" else None
        with st.spinner("Choosing texts"):
            made = opened.store.relabel(pool.texts, vectors, PICKS, address)
        if address:
            one(made[0], baseline)
        else:
            every(made, str(answer.population))
        return made

    question = "Which texts would describe this head best if they came from another pool?"
    return relabel.draw(opened, chosen, question, result)


def one(made: Relabelled, baseline: Baseline) -> None:
    """New texts beside the stored ones."""
    verdict = "The first text is another one." if made.changed else "The first text is the same."
    n = len(made.texts)
    by_chance = f", as many random ones of its pool {baseline.random_m[n - 1]:.0%}" if 0 < n <= len(made.before) else ""
    st.markdown(
        f"**{plain(verdict)}** The {count(n, 'text')} chosen from this pool explain {made.explained:.0%} of the head's "
        f"variance; as many chosen from the bundle's explain {made.explained_before:.0%}{by_chance} "
        f"({plain(baseline.population)})."
    )
    rows = [
        {
            "no.": m + 1,
            "this pool's": text.text,
            "together": text.cumulative,
            "the bundle's": made.before[m].text if m < len(made.before) else "",
            "together before": made.before[m].cumulative if m < len(made.before) else None,
        }
        for m, text in enumerate(made.texts)
    ]
    _percent(pd.DataFrame(rows), f"relabel-{made.address}", "together", "together before")


def every(made: tuple[Relabelled, ...], population: str) -> None:
    """A line for each head."""
    changed = sum(each.changed for each in made)
    st.markdown(f"**{changed} of {count(len(made), 'head')}** got another first text. Shares {plain(population)}.")
    rows = [
        {
            "head": each.address,
            "this pool's": each.texts[0].text if each.texts else "",
            "the bundle's": each.before[0].text if each.before else "",
            "changed": each.changed,
            "explained": each.explained,
            "explained before": each.explained_before,
        }
        for each in made
    ]
    st.caption(f"Explained: by the first {PICKS} texts together, before by as many of the bundle's.")
    _percent(pd.DataFrame(rows), "relabel-all", "explained", "explained before")


def _percent(rows: pd.DataFrame, name: str, *columns: str) -> None:
    formats: dict[str, Any] = {c: st.column_config.NumberColumn(format="percent", width=70) for c in columns}
    formats |= {c: st.column_config.TextColumn(width=180) for c in ("this pool's", "the bundle's")}
    formats |= {"no.": st.column_config.NumberColumn(width=40), "head": st.column_config.TextColumn(width=60)}
    figures.table(rows, name, columns=formats)
