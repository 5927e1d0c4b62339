"""Heatmaps at the desk: computed by the live model after the unit is drawn, laid over its pictures when they come."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import streamlit as st

from core.ids import Head, Neuron, parse
from core.labels.ledger import About
from core.store.answers import Hit
from pages._ui import desk_unit, heads_maps, neurons_maps, pairs_maps
from pages._ui.overlays import Overlays
from pages._ui.resources import Opened

_JS = """
export default function ({ data, parentElement }) {
  const host = parentElement.host ?? parentElement;
  const told = JSON.stringify(data);
  if (host.dataset.told === told) return;
  host.dataset.told = told;
  window.dispatchEvent(new CustomEvent("unitscope-desk-maps", { detail: data }));
}
"""
_mount = st.components.v2.component("unitscope_desk_maps", js=_JS)


def draw(opened: Opened, about: About, blind: bool) -> None:
    """Make the heatmaps of the images at both ends and send them to the desk, with a word on what they are."""
    address, _ = about
    if ":" in address:
        st.caption("A concept belongs to several models: its heatmaps are on its own page.")
        return
    if blind and isinstance(parse(address), Head):
        st.caption("A head's heatmaps are toward its automatic label, so there are none in blind mode.")
        return
    made = _over(opened, about)
    if made is None or not made.maps:
        return
    _mount(key="desk-maps", data={"address": address, "maps": _by_id(made)})


def _over(opened: Opened, about: About) -> Overlays | None:
    address, _ = about
    shown = desk_unit.shown(opened, about)
    hits = [Hit(image, 0.0) for side in ("+", "-") for image in shown.evidence.get(side, ())]
    view = SimpleNamespace(map="on", own=False, neuron=address, head=address)
    unit = parse(address)
    if isinstance(unit, Head):
        texts = opened.store.units.texts(address, 1)
        view.map = "head"
        return heads_maps.over(opened, view, texts[0][0], hits) if texts else None
    if isinstance(unit, Neuron):
        return neurons_maps.over(opened, view, hits)
    return pairs_maps.over(opened, view, address, hits)


def _by_id(made: Overlays) -> Mapping[str, Any]:
    return {str(image): source for image, source in made.row(list(made.maps)).items()}
