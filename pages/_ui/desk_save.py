"""What the browser sends is stored, or comes back with a sentence.

A message is a place in the queue and the outbox: every event whose storing was not confirmed, in order. So the same
event may come several times; its key, made in the browser when it was said, lets it be stored once.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.errors import LabelsUnavailable, UnitscopeError
from core.labels import queues
from core.labels.events import ENDS, End, Event, Kind
from core.labels.ledger import Ledger
from pages._ui import desk_queue, desk_unit, labels
from pages._ui.desk_queue import Work
from pages._ui.resources import Opened

KINDS: tuple[Kind, ...] = ("label", "unsure", "skip", "uninterpretable", "undo")
_MOST = 200
_REMEMBERED = 400
_DONE = {
    "label": "Saved",
    "unsure": "Saved as unsure",
    "skip": "Skipped",
    "uninterpretable": "Saved as uninterpretable",
}


@dataclass(frozen=True)
class Said:
    """One entry of the outbox, of the right types; what it says is checked when it is stored."""

    key: str
    kind: Kind
    about: tuple[str, End]
    text: str
    tags: tuple[str, ...]
    confidence: float | None
    shown_ms: int
    hidden: bool


def read(sent: object) -> list[Said]:
    """The outbox of a message; entries that no page of ours could have sent are left out."""
    events = sent.get("events") if isinstance(sent, Mapping) else None
    found = [_one(event) for event in events[:_MOST]] if isinstance(events, list) else []
    return [each for each in found if each is not None]


def take(opened: Opened, work: Work, me: str, said: list[Said], maps: bool) -> list[dict[str, Any]]:
    """Store what was said and return, for each, what became of it."""
    known: dict[str, dict[str, Any]] = st.session_state.setdefault("desk-acks", {})
    acks, trouble = [], ""
    for each in said:
        ack = known.get(each.key)
        if ack is None:
            try:
                if trouble:  # a database that does not answer is asked once, not once for each event
                    raise LabelsUnavailable(trouble)
                ack = _undo(opened, work, me, each) if each.kind == "undo" else _store(opened, work, me, each, maps)
                known[each.key] = ack
            except LabelsUnavailable as error:
                trouble = str(error)
                ack = _failed(work, each, trouble)
            except UnitscopeError as error:
                ack = _failed(work, each, str(error))
        acks.append(ack)
    while len(known) > _REMEMBERED:
        known.pop(next(iter(known)))
    return acks


def _store(opened: Opened, work: Work, me: str, said: Said, maps: bool) -> dict[str, Any]:
    address, end = said.about
    at = work.places.get(said.about)
    if at is None:  # said of a queue that was left meanwhile, or by no page of ours
        desk_queue.known(opened, address)
    shown = desk_unit.shown(opened, said.about)
    evidence = {"images": dict(shown.evidence), "desk": labels.desk(), "heatmaps": maps, "shown_ms": said.shown_ms}
    bundle, model = desk_queue.bundle_of(opened, address), ""
    if ":" not in address:
        model = opened.store.facts().weights_digest
    event = Event(
        said.key, me, bundle, address, end, said.kind, said.text, said.tags, said.confidence, evidence,
        automatic=None if said.hidden else shown.automatic, model=model, queue=work.name, blind=said.hidden,
    )  # fmt: skip
    watch(labels.ledger(bundle), me)
    stored = labels.database().add([event])[0]
    if at is not None:
        work.done.add(at)
    if said.kind != "skip":
        work.times.append(stored.at)
    work.keys.append((stored.key, said.about))
    if work.own is not None:
        work.own[:] = dict.fromkeys([*stored.senses, *work.own])
    name = f"{address} {end.replace('-', '−')}".strip()
    told = f"{_DONE[said.kind]}: {name}" + (f", “{stored.text}”" if stored.text else "")
    if said.hidden:
        told += f". The automatic label is “{shown.automatic}”" if shown.automatic else ". It has no automatic label"
    return {"key": said.key, "ok": True, "at": at, "told": told + "."}


def _undo(opened: Opened, work: Work, me: str, said: Said) -> dict[str, Any]:
    """Take back what was said last at this desk."""
    base = labels.database()
    before = base.by_key([said.key]).get(said.key)  # sent again after this session had ended
    undone = base.by_key([before.undoes or ""]).get(before.undoes or "") if before else _last(opened, work, me)
    if undone is None:
        return {
            "key": said.key,
            "ok": False,
            "at": None,
            "told": "There is nothing of yours at this desk to take back.",
        }
    undo = Event(
        said.key, me, undone.bundle, undone.address, undone.end, "undo", undoes=undone.key, model=undone.model,
        queue=work.name, evidence={"desk": labels.desk()},
    )  # fmt: skip
    base.add([undo])
    ledger = labels.ledger(undone.bundle)
    about = undone.address, undone.end
    at = work.places.get(about)
    work.keys[:] = [pair for pair in work.keys if pair[0] != undone.key]
    work.times[:] = [when for when in work.times if when != undone.at]
    if at is not None:
        work.at = at
        if me not in ledger.standing(*about).by:
            work.done.discard(at)
    what = f"“{undone.text}”" if undone.text else undone.kind
    told = f"Taken back: {undone.address} {undone.end.replace('-', '−')}".rstrip() + f", {what}"
    told += "." if at is not None else ", which is not in this queue."
    return {"key": said.key, "ok": True, "at": at, "told": told, "undone": desk_unit.words(undone)}


def _last(opened: Opened, work: Work, me: str) -> Event | None:
    """What an undo takes back: the last event of this session's queue, else, after a reload, of this browser."""
    while work.keys:
        key, (address, end) = work.keys[-1]
        ledger = labels.ledger(desk_queue.bundle_of(opened, address))
        for event in (ledger.last(me), ledger.standing(address, end).by.get(me)):
            if event is not None and event.key == key:
                return event
        work.keys.pop()  # taken back, or said anew, elsewhere
    last = labels.ledger(opened.store.facts().bundle).last(me)
    ours = last is not None and last.kind != "adjudicate" and last.evidence.get("desk") == labels.desk()
    return last if ours else None


def watch(ledger: Ledger, me: str) -> None:
    """Notice a second desk under the same name, before this desk's own word is the last."""
    last = ledger.last(me)
    if last is not None and queues.shared_name(last, labels.desk(), time.time_ns() // 1000):
        st.session_state.setdefault("desk-others", {})[str(last.evidence["desk"])] = last.at


def _failed(work: Work, said: Said, sentence: str) -> dict[str, Any]:
    told = f"Not saved, and still in the box: {sentence}" if said.kind != "undo" else f"Not taken back: {sentence}"
    return {"key": said.key, "ok": False, "at": work.places.get(said.about), "told": told}


def _one(event: object) -> Said | None:
    if not isinstance(event, Mapping):
        return None
    texts = [event.get(name, "") for name in ("key", "kind", "address", "end", "text")]
    tags, confidence, ms = event.get("tags", []), event.get("confidence"), event.get("shown_ms", 0)
    if not all(isinstance(text, str) for text in texts):
        return None
    end: End | None = next((end for end in ENDS if end == texts[3]), None)
    kind: Kind | None = next((kind for kind in KINDS if kind == texts[1]), None)
    if kind is None or end is None:
        return None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return None
    number = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    return Said(
        texts[0], kind, (texts[2], end), texts[4], tuple(tags),
        float(confidence) if isinstance(confidence, int | float) else None,
        min(max(0, int(ms)), 86_400_000) if number(ms) and math.isfinite(ms) else 0, event.get("hidden") is True,
    )  # fmt: skip
