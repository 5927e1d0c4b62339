"""Instead of neurons: why this bundle has none, and the command that makes one that has."""

import streamlit as st

from pages._ui import states


def draw() -> None:
    """The sentence and the command."""
    states.empty(
        "This bundle was made without neurons",
        "Its neurons were not analysed: it was made with `--neuron-layers none`, with `--layernorm equal`, or before "
        "Unitscope knew them. Without these options a run analyses the three layers of a ViT that write most through "
        "later attention, or the last map of a ResNet:",
    )
    st.code(states.MAKE_OWN, language="bash")
