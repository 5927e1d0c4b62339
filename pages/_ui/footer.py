"""What every number on a page rests on: model, weights, data set, pool, bundle; and a loud badge for random weights."""

import streamlit as st

from core.store import Facts
from pages._ui.words import count, plain


def warn_if_random(facts: Facts) -> None:
    """Above the page, unmistakably, when the weights were never trained."""
    if facts.random_weights:
        st.error("**RANDOM WEIGHTS** · this model was never trained: nothing on this page means anything.", icon="🎲")


def told(facts: Facts) -> str:
    """A bundle in a line, for lists; plain text."""
    weights = ", random weights" if facts.random_weights else ""
    return f"{facts.model}{weights}, {count(facts.ok, 'image')} of the data set {facts.data}, made {facts.created[:10]}"


def draw(facts: Facts) -> None:
    """Below the page."""
    st.divider()
    if facts.random_weights:
        st.markdown(":red-badge[RANDOM WEIGHTS]")
    lines = (
        f"model {plain(facts.model)}, {plain(facts.weights)}, {plain(facts.precision)}",
        f"data set {plain(facts.data)}, {count(facts.ok, 'image')}",
        f"text pool {plain(facts.pool)}, {count(facts.pool_texts, 'text')}",
        f"bundle {plain(facts.bundle)}",
    )
    st.caption("  ·  ".join(lines))
