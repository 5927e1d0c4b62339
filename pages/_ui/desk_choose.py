"""Which queue, and what of it: the row of controls above the desk."""

from typing import Any

import streamlit as st

from core.errors import UnitscopeError
from pages._ui import desk_links, desk_view, dictionaries, labels
from pages._ui.desk_view import QUEUES, SIDES, STATES, DeskView
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain, typed

_KINDS = {"head": "Heads", "neuron": "Neurons", "pair": "Pairs"}


def draw(opened: Opened, chosen: Chosen[DeskView]) -> None:
    """Who labels, what, and how, in one row, so that the images have the screen. Each control writes the URL, and the
    desk begins with the first end of the new queue that is not said."""
    view = chosen.view
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        with st.popover(plain(said(view)), icon=":material/format_list_bulleted:", width="content"):
            _queue(opened, chosen)
        st.toggle(
            "Blind", width="content", help="Hides the automatic label, its texts and what others said of a unit until "
            "your own word on it is saved. The event says so.", **chosen.bound("blind"),
        )  # fmt: skip
        st.toggle(
            "Scores", width="content", help="How well the labels of the unit that is shown predict it, below the "
            "pictures. Takes a moment for each unit.", **chosen.bound("scores"),
        )  # fmt: skip
        labels.choose()
    if view.queue == "list":
        _list(chosen)


def said(view: DeskView) -> str:
    """What is labelled, in a few words."""
    of = {"neuron": view.of, "concept": view.of, "list": view.name, "random": f"seed {view.seed}"}.get(view.queue, "")
    kinds = ", ".join(_KINDS[kind].lower() for kind in view.kind)
    layers = ", ".join(map(str, view.layer))
    layers = f"layer{'s' if len(view.layer) > 1 else ''} {layers}" if layers else ""
    state = STATES[view.state].lower() if view.state != "any" else ""
    parts = [QUEUES[view.queue], of, kinds, layers, state, SIDES[view.side]]
    return " · ".join(part for part in parts if part)


def _queue(opened: Opened, chosen: Chosen[DeskView]) -> None:
    view, store = chosen.view, opened.store
    st.selectbox("Queue", desk_view.queues(store), format_func=QUEUES.__getitem__, **_bound(chosen, "queue"))
    if view.queue == "random":
        st.number_input("Seed", min_value=0, max_value=10**9, step=1, **_bound(chosen, "seed"))
    if view.queue in ("neuron", "concept"):
        _of(chosen)
    else:
        kinds = store.units.kinds
        st.multiselect("Kinds", kinds, format_func=_KINDS.__getitem__, placeholder="All", **_many(chosen, "kind"))
        if layers := desk_view.layers(store):
            st.multiselect("Layers", layers, placeholder="All", **_many(chosen, "layer"))
    st.selectbox("State", list(STATES), format_func=STATES.__getitem__, **_bound(chosen, "state"))
    st.segmented_control("Ends", list(SIDES), format_func=SIDES.__getitem__, required=True, **_bound(chosen, "side"))


def _of(chosen: Chosen[DeskView]) -> None:
    """The neuron or concept."""
    key = "desk-of"
    st.session_state[key] = chosen.view.of
    what = {"neuron": ("Neuron", "L9.N1234"), "concept": ("Concept", "model:L3.N17")}
    name, example = what[chosen.view.queue]
    st.text_input(
        name, key=key, placeholder=example, max_chars=200,
        on_change=lambda: chosen.go(of=" ".join(typed(st.session_state[key]).split()), unit="", end="+"),
    )  # fmt: skip
    if chosen.view.queue == "concept" and len(dictionaries.names()) > 1:
        st.caption("Looked for in every dictionary here.")


def _list(chosen: Chosen[DeskView]) -> None:
    """Paste a list; folded away once there is one."""
    view = chosen.view
    try:
        text = desk_links.text(view)
    except UnitscopeError as error:
        st.warning(plain(error), icon=":material/info:")
        text = ""
    title = f"The list “{view.name}”" if view.name else "The list"
    with st.expander(plain(title), expanded=not text):
        key = "desk-list"
        st.session_state[key] = text
        st.text_area(
            "Addresses", key=key, height=120, label_visibility="collapsed",
            placeholder="L3.H2, L9.N1234- or L9.N1234>L11.H3, between spaces, commas or line breaks; a + or - after an "
            "address means this end alone",
            on_change=lambda: _pasted(chosen, st.session_state[key]),
        )  # fmt: skip


def _pasted(chosen: Chosen[DeskView], text: str) -> None:
    changes: dict[str, Any] = desk_links.pasted(text)
    chosen.go(**changes, name="", unit="", end="+")


def _bound(chosen: Chosen[DeskView], name: str) -> dict[str, Any]:
    """As `chosen.bound`, but another queue begins anew."""
    key = chosen.bound(name)["key"]
    return {"key": key, "on_change": lambda: chosen.go(**{name: st.session_state[key]}, unit="", end="+")}


def _many(chosen: Chosen[DeskView], name: str) -> dict[str, Any]:
    """The same for a field that takes several values."""
    key = f"DeskView.{name}"
    st.session_state[key] = list(getattr(chosen.view, name))
    return {"key": key, "on_change": lambda: chosen.go(**{name: tuple(st.session_state[key])}, unit="", end="+")}
