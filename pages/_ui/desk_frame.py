"""The desk itself: mounts it with what it draws now and next, and takes what it sends. A fragment, so that a label
costs no run of the whole page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import LabelsUnavailable, UnitscopeError
from core.labels import queues
from core.labels.ledger import Ledger
from pages._ui import desk_maps, desk_save, desk_unit, labels, states
from pages._ui.desk_queue import Work
from pages._ui.desk_view import DeskView
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

KEY = "desk"
COMPLETIONS = 400
AHEAD = 3
"""Units sent to the browser before they are asked for; as many again are made ready here."""
_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "unitscope_desk",
    html=(_HERE / "desk.html").read_text(),
    css=(_HERE / "desk.css").read_text(),
    js="".join((_HERE / f"desk{name}.js").read_text() for name in ("_draw", "_box", "")),
)


def place(opened: Opened, chosen: Chosen[DeskView], work: Work) -> str:
    """Go where the URL says; a sentence where that is not possible, else ""."""
    view = chosen.view
    if not view.unit:
        return ""
    at = work.places.get((view.unit, view.end if ":" not in view.unit else ""))
    if at is not None:
        work.at = at
        return ""
    try:
        opened.store.units.parse(view.unit)
    except UnitscopeError as error:
        return f"{error} You see the queue's next one instead."
    return f"{view.unit} {view.end} is not in this queue as it is filtered now: you see the queue's next one instead."


@st.fragment
def draw(opened: Opened, chosen: Chosen[DeskView], work: Work, me: str) -> None:
    """The desk and, below it, scores and what belongs to heatmaps."""
    view = chosen.view

    def came() -> None:
        received(opened, work, me, getattr(st.session_state.get(KEY), "said", None))

    with states.calm():
        desk_save.watch(labels.ledger(opened.store.facts().bundle, fresh=False), me)
        _others(me)
        on = st.query_params.get("map", "off") == "on"
        _mount(key=KEY, data=told(opened, view, work, me, on), on_said_change=came)
        if work.items:
            path = _path(work, 2 * AHEAD)
            desk_unit.ahead(opened, [work.items[at] for at in path])
            if view.scores:
                desk_unit.scored(opened, work.items[work.at], me, view.blind)
            if on:
                desk_maps.draw(opened, work.items[work.at], view.blind)


def received(opened: Opened, work: Work, me: str, message: object) -> None:
    """Take a message of the browser: where it is in the queue, what was said, what else was pressed."""
    if not isinstance(message, Mapping):
        return
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    said = desk_save.read(message)
    before = work.at
    if message.get("queue") == work.id:
        work.number = _whole(message.get("number"), work.number, 2**53)
        work.at = _whole(message.get("at"), work.at, len(work.items) - 1)
    acks = desk_save.take(opened, work, me, said, asked.get("map") == ["on"])
    st.session_state["desk-last"] = acks
    if message.get("next") is True and all(ack["ok"] for ack in acks):
        following = queues.resume(len(work.items), work.done, work.at + 1)
        work.at = work.at if following is None else following
    if isinstance(message.get("map"), bool):
        asked["map"] = ["on" if message["map"] else "off"]
    if work.items and (work.at != before or "map" in message):
        unit, end = work.items[work.at]
        st.query_params.from_dict(asked | {"unit": [unit], "end": [end or "+"]})


def told(opened: Opened, view: DeskView, work: Work, me: str, maps: bool) -> dict[str, Any]:
    """What the browser is told; while the database does not answer, with what was known before."""
    bundle = opened.store.facts().bundle
    try:
        ledger = labels.ledger(bundle)
    except LabelsUnavailable:
        ledger = labels.ledger(bundle, fresh=False)
    common = {
        "session": labels.session(),
        "number": work.number,
        "bundle": opened.name,
        "blind": view.blind,
        "queue": _progress(work),
        "at": work.at,
        "acks": st.session_state.get("desk-last", []),
        "maps": maps,
        "empty": not work.items,
        "completions": [*_own(work, ledger, me)] if view.blind else ledger.texts(COMPLETIONS),
    }
    if not work.items:
        return common | {"ahead": [], "units": {}}
    path = _path(work, AHEAD)
    beside = [at for at in (work.at - 1, work.at + 1) if 0 <= at < len(work.items)]
    units = {}
    for at in dict.fromkeys([work.at, *path, *beside]):
        try:
            units[str(at)] = desk_unit.payload(opened, work.items[at], me, view.blind, full=at == work.at)
        except UnitscopeError:
            if at == work.at:  # of one that cannot be drawn the page says so when it is reached
                raise
    return common | {"ahead": path, "units": units}


def _own(work: Work, ledger: Ledger, me: str) -> list[str]:
    """One's own labels: in blind mode nobody else's may be shown."""
    if work.own is None:
        said = (standing.by.get(me) for standing in ledger.all().values())
        senses = (sense for event in said if event and event.kind == "label" for sense in event.senses)
        work.own = list(dict.fromkeys(senses))[:COMPLETIONS]
    return work.own


def _path(work: Work, size: int) -> list[int]:
    """The next places without a word of this annotator, after the one that is shown."""
    at, passed = work.at, {*work.done, work.at}
    found: list[int] = []
    while len(found) < size and (following := queues.resume(len(work.items), passed, at + 1)) is not None:
        found.append(following)
        passed.add(following)
        at = following
    return found


def _progress(work: Work) -> dict[str, Any]:
    every, said = len(work.items), len(work.done)
    speed = queues.pace(work.times[-30:])
    text = f"{said:,} of {'the first ' if every == queues.MOST else ''}{every:,} done"
    if speed is not None and said < every:
        hours = (every - said) / speed
        left = f"{60 * hours:.0f} min" if hours < 2 else f"{hours:,.0f} hours"
        text += f" · {speed:,.0f} an hour, {left} left"
    return {"id": work.id, "all": every, "done": said, "told": text, "finished": bool(every) and said == every}


def _others(me: str) -> None:
    """That somebody labels under the same name at another desk, until one of them says that this is right."""
    others = set(st.session_state.get("desk-others", {})) - set(st.session_state.get("desk-allowed", ()))
    if not others:
        return
    allow = lambda: st.session_state.update({"desk-allowed": [*st.session_state.get("desk-allowed", ()), *others]})
    st.warning(
        f"**{plain(me, 80)}** labelled at {count(len(others), 'other desk')} too within the last hours. If that was "
        "you, at another machine or browser, go on. If two people use one name, their labels replace each other's: "
        "choose another name.",
        icon=":material/group:",
    )
    with st.container(horizontal=True, gap="small"):
        st.button("That was me, go on", key="desk-go-on", on_click=allow)
        if st.button("Choose another name", key="desk-rename"):
            labels.leave()
            st.rerun()


def _whole(value: object, otherwise: int, most: int) -> int:
    """A whole number from 0 to `most` that the browser sent: it sends 3 as 3.0, and can send anything."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
    return value if whole else otherwise  # type: ignore[return-value]  # an int, as tested
