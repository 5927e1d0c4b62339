"""Instead of pairs: why this bundle has none, and the command that makes one that has."""

import streamlit as st

from pages._ui import states


def draw() -> None:
    """The sentence and the command."""
    states.empty(
        "This bundle was made without neuron-head pairs",
        "Pairs come with neurons: this bundle was made with `--neuron-layers none`, with `--layernorm equal`, or "
        "before Unitscope knew pairs. Without these options a run measures the pairs of all its neurons:",
    )
    st.code(states.MAKE_OWN, language="bash")
