"""Instead of neurons: why this bundle has none, and the command that makes one that has."""

import streamlit as st

from pages._ui import states
from pages._ui.resources import Opened


def draw(opened: Opened) -> None:
    """The sentence and the command."""
    which = {
        "resnet": "all channels of the last map",
        "vit": "the three layers that write most through later attention",
    }[opened.store.facts().tower]
    states.empty(
        "This bundle was made without neurons",
        "Its neurons were not analysed: it was made with `--neuron-layers none`, with `--layernorm equal`, or before "
        f"Unitscope knew the neurons of such a model. Without these options a run analyses {which}:",
    )
    st.code(states.MAKE_OWN, language="bash")
