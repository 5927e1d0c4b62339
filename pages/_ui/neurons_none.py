"""Instead of neurons: why this bundle has none, and the command that makes one that has."""

import streamlit as st

from pages._ui import states
from pages._ui.resources import Opened


def draw(opened: Opened) -> None:
    """The sentence and the command."""
    facts = opened.store.facts()
    if facts.tower == "resnet":
        states.empty(
            "A ResNet has no neurons of this kind",
            "This page is about the neurons of a transformer's MLPs, and a ResNet has none: its attention pool is the "
            "only attention there is. Its heads are on the Heads page. For neurons, make a bundle of a ViT:",
        )
    else:
        states.empty(
            "This bundle was made without neurons",
            "Its MLP neurons were not analysed: it was made with `--neuron-layers none`, with `--layernorm equal`, or "
            "before Unitscope knew neurons. Without these options a run analyses the three layers that write most "
            "through later attention:",
        )
    st.code(states.MAKE_OWN, language="bash")
