"""From a unit of a dictionary's model to its own page, where the folder has a bundle of the same weights."""

from collections.abc import Sequence

import streamlit as st

from core.store.dictionary_answers import MemberInfo
from pages._ui import overview_entry, resources
from pages._ui.resources import Opened
from pages._ui.selection import BUNDLE

LAST_OF_RESNET = "layer4"
"""Of a CLIP ResNet, a bundle's neurons are the channels of its last map, without a layer in their address."""


def elsewhere(member: MemberInfo, layer: str, unit: int) -> None:
    """The link to the Neurons page, or nothing."""
    found = page(member, layer, unit)
    if found is not None:
        bundle, neuron = found
        st.page_link(
            overview_entry.target("neurons", "Neurons"),
            label=f"Neuron {neuron}",
            icon=":material/hub:",
            query_params={BUNDLE: bundle, "neuron": neuron},
            width="content",
        )


def page(member: MemberInfo, layer: str, unit: int) -> tuple[str, str] | None:
    """The bundle and the address there of a model's unit; None where no bundle analysed its layer."""
    if not member.clip:
        return None
    for listing in resources.listings():
        if listing.facts is None or listing.facts["model"]["weights_digest"] != member.weights_digest:
            continue
        axis = listing.facts["axes"].get("neuron_layer")
        address = _neuron((axis or {}).get("labels") or [], layer, unit)
        if address is not None:
            return listing.path.name, address
    return None


def unit_in(opened: Opened, member: MemberInfo, layer: str, unit: int) -> str | None:
    """The address in this bundle of a model's unit; None where its model is another or the layer not analysed."""
    table = opened.store.neurons
    if not member.clip or table is None or opened.store.facts().weights_digest != member.weights_digest:
        return None
    return _neuron(table.layers, layer, unit)


def _neuron(layers: Sequence[int | None], layer: str, unit: int) -> str | None:
    for label in layers:
        if layer == (LAST_OF_RESNET if label is None else f"L{label}"):
            return f"N{unit}" if label is None else f"{layer}.N{unit}"
    return None
