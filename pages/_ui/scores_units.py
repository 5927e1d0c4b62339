"""Every unit of a kind with the score of its automatic label, the best or the worst first."""

import numpy as np
import pandas as pd
import streamlit as st

from core.store.units import Kind
from pages._ui import figures, linked_table, links, scores
from pages._ui.resources import Opened
from pages._ui.words import count

SHOWN = 300
SORTS = {"score": "best label first", "-score": "worst label first", "importance": "most important first"}
_TOLD = {
    "label": "The automatic label; − marks texts that describe the − end.",
    "score": scores.TOLD,
    "random": "The same of one text of the pool by chance.",
}


_MADE = {
    "head": " TextSpan chose heads' texts with the covariance of these same images; above, halves are kept apart.",
    "neuron": " The images that a neuron's direction was made from are left out.",
    "pair": " The images that gave a pair's direction its sign are left out.",
}


def draw(opened: Opened, kind: Kind, sort: str) -> None:
    """The table."""
    found = scores.column(opened, kind)
    if found is None:
        return
    units, random = opened.store.units, opened.store.label_scores.quick(kind)[1]
    rows = order(found, units.importance(kind), sort)
    there = len(rows)
    if not there:
        st.caption("None has a score: too few images are left that its label was not made from, or none is described.")
        return
    st.caption(
        f"{count(there, 'unit')} of {units.count(kind):,} have a score; the first {min(SHOWN, there):,} are shown. "
        f"Median {np.median(found[rows]):.2f}, that of a text by chance {abs(np.nanmedian(random[rows])):.2f}; "
        f"{np.mean(found[rows] > np.abs(random[rows])):.0%} of labels beat it in size.{_MADE[kind]}"
    )
    shown = frame(opened, kind, rows[:SHOWN], found, random)
    href = lambda row: links.href(f"{kind}s", **{kind: row["unit"]})
    formats = {"score": "{:+.2f}", "random": "{:+.2f}", "importance": "{:.4f}"}
    linked_table.draw(
        shown, f"scores-units-{kind}", "Units and the scores of their labels", href, told=_TOLD, formats=formats,
        height="34rem",
    )  # fmt: skip
    every = lambda: frame(opened, kind, rows, found, random)
    if there > SHOWN and st.button("Prepare all as CSV", icon=":material/table_rows:", type="tertiary"):
        figures.csv(every(), f"scores-all-{kind}")


def order(score_u: np.ndarray, importance_u: np.ndarray, sort: str) -> np.ndarray:
    """Rows of the units that have a score, as asked for."""
    rows = np.flatnonzero(~np.isnan(score_u))
    key = {"score": -score_u, "-score": score_u, "importance": -importance_u}[sort]
    return rows[np.argsort(key[rows], kind="stable")]


def frame(opened: Opened, kind: Kind, rows: np.ndarray, score_u: np.ndarray, random_u: np.ndarray) -> pd.DataFrame:
    """These units as a table."""
    units = opened.store.units
    return pd.DataFrame(
        {
            "unit": [units.address(kind, row) for row in rows],
            "label": [units.label(kind, row) for row in rows],
            "score": score_u[rows],
            "random": random_u[rows],
            "importance": units.importance(kind)[rows],
        }
    )
