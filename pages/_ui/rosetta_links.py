"""From a unit of a dictionary's model to its own page, where the folder has a bundle of the same weights."""

from collections.abc import Sequence

import streamlit as st

from core.errors import AddressError, UnitscopeError
from core.store.dictionary import Dictionary
from core.store.dictionary_answers import Concept, MemberInfo
from pages._ui import dictionaries, overview_entry, resources, selection
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


def to_concept(opened: Opened, address: str) -> None:
    """The link from a neuron's page to the concept that other models share with it, if a dictionary here has one."""
    for name in dictionaries.names():
        try:
            found = dictionaries.open_named(name)
        except UnitscopeError:
            continue
        if concepts := holding(found.store, opened, address):
            st.page_link(
                overview_entry.target("rosetta", "Rosetta"),
                label=f"Shared by {concepts[0].models} models",
                icon=":material/translate:",
                help="The Rosetta concept that it is in.",
                query_params=selection.query(dictionary=name, hub=concepts[0].hub, concept=concepts[0].address),
                width="content",
            )
            return


def holding(store: Dictionary, opened: Opened, address: str) -> list[Concept]:
    """The concepts that a neuron of a bundle's model is in: those that start from its own model first, then the
    strongest; none where the dictionary does not compare it."""
    digest = opened.store.facts().weights_digest
    for member in store.members:
        if member.clip and member.weights_digest == digest:
            name = f"{member.name}:{address}" if "." in address else f"{member.name}:{LAST_OF_RESNET}.{address}"
            try:
                return sorted(store.concepts_of_unit(name), key=lambda concept: concept.hub != member.name)
            except AddressError:  # the dictionary compares other layers
                return []
    return []


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
