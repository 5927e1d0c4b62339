"""What the desk draws of one end of a unit: its images, and what is known and was said of it.

The images and texts of a unit never change, so they are made once, and for the units to come ahead of time.
"""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import streamlit as st

from core.errors import LabelsUnavailable, UnitscopeError
from core.labels.events import Event
from core.labels.ledger import About, Standing
from core.store.answers import Hit
from pages._ui import desk_queue, dictionaries, labels, links, resources, scores, scores_jobs, thumbs
from pages._ui.resources import Opened, Stamp

FIRST, SECOND, PER_INTERVAL = 12, 12, 6
CANDIDATES = 9
_SAID = 20
_PAGES = {"head": "heads", "neuron": "neurons", "pair": "pairs"}
_TITLES = {"+": "+ end: where its number is largest", "-": "− end: where its number is smallest"}
_WHATS = {"label": "labelled it", "unsure": "was unsure", "skip": "skipped it", "undo": "took that back",
          "uninterpretable": "called it uninterpretable", "adjudicate": "decided on"}  # fmt: skip
_ahead = ThreadPoolExecutor(1, thread_name_prefix="desk")


@dataclass(frozen=True)
class Shown:
    """One end of a unit. `rows` and `intervals` of images as the browser draws them; `candidates` texts of the
    automatic label for this end, of which `automatic` has the first; `evidence` ids of the images by row."""

    address: str
    end: str
    told: str
    href: str
    rows: tuple[dict[str, Any], ...]
    intervals: tuple[dict[str, Any], ...]
    candidates: tuple[str, ...]
    automatic: str
    evidence: Mapping[str, Sequence[int]]

    @property
    def ids(self) -> list[int]:
        """All images shown."""
        return sorted({image for ids in self.evidence.values() for image in ids})


def shown(opened: Opened, about: About) -> Shown:
    """What is drawn of an end of a unit of this bundle, or of a concept. UnitscopeError."""
    return _shown(opened.name, opened.stamp, *about)


def ahead(opened: Opened, abouts: Iterable[About]) -> None:
    """Make what will be drawn of these, in the background."""
    for about in abouts:
        _ahead.submit(_quietly, opened.name, opened.stamp, about)


def payload(opened: Opened, about: About, me: str, blind: bool, *, full: bool) -> dict[str, Any]:
    """What the browser is told. In blind mode nothing that anybody or anything said of it, before `me` saved a word of
    one's own. `full`: with what was ever said of it, which is looked up in the database."""
    found = shown(opened, about)
    standing = labels.ledger(desk_queue.bundle_of(opened, about[0]), fresh=False).standing(*about)
    mine = standing.by.get(me)
    hidden = blind and mine is None
    return {
        "address": found.address,
        "end": found.end,
        "told": found.told,
        "href": found.href,
        "rows": found.rows,
        "intervals": found.intervals,
        "hidden": hidden,
        "candidates": [] if hidden else found.candidates,
        "automatic": "" if hidden else found.automatic,
        "score": "" if hidden else _score(opened, about),
        "said": [] if hidden else said(opened, about, standing, full),
        "mine": words(mine) if mine else None,
    }


def scored(opened: Opened, about: About, me: str, blind: bool) -> None:
    """Draw the scores of the automatic label and of every label that stands, each on images that it was not made
    from; none of them before in blind mode one's own word is saved."""
    address, end = about
    ledger = labels.ledger(desk_queue.bundle_of(opened, address), fresh=False)
    found, standing = shown(opened, about), ledger.standing(*about)
    if blind and me not in standing.by:
        st.caption("Blind: the scores come once your own word is saved.")
        return
    if found.candidates:
        scores.beside(opened, address, end, found.candidates[0], before=f"Automatic, “{found.candidates[0]}”:")
    for event in (*standing.by.values(), *([standing.adjudication] if standing.adjudication else [])):
        if event.text:
            before = f"{event.annotator}, “{event.text[:80]}”:"
            scores.beside(opened, address, end, event.text, event.seen, before=before)


def words(event: Event) -> dict[str, Any]:
    """What one said, for the box."""
    return {"kind": event.kind, "text": event.text, "tags": event.tags, "confidence": event.confidence}


def said(opened: Opened, about: About, standing: Standing, full: bool) -> list[dict[str, Any]]:
    """What people said of this end, the last first: what stands, or with `full` all of it, undone words too, and what
    was said of the same unit of the same model in other bundles."""
    if full:
        with contextlib.suppress(LabelsUnavailable):  # then what was known before
            return _history(opened, about)
    events = [*standing.by.values(), *([standing.adjudication] if standing.adjudication else [])]
    return [_line(event) for event in sorted(events, key=lambda event: -event.at)]


def _history(opened: Opened, about: About) -> list[dict[str, Any]]:
    address, end = about
    base, bundle = labels.database(), desk_queue.bundle_of(opened, address)
    history = base.history(bundle, address)
    undone = {event.undoes for event in history if event.undoes}
    here = [event for event in history if event.end == end and event.kind != "undo"]
    lines = [_line(event, undone=event.key in undone) for event in here[: -_SAID - 1 : -1]]
    model = opened.store.facts().weights_digest
    if ":" not in address:
        other = [event for event in base.elsewhere(model, bundle, address) if event.end == end]
        lines += [_line(event, f"in bundle {event.bundle}") for event in other[: -_SAID - 1 : -1]]
    return lines


def _line(event: Event, where: str = "", *, undone: bool = False) -> dict[str, Any]:
    parts = [time.strftime("%-d %B %Y, %H:%M", time.localtime(event.at / 1e6)) if event.at else "", where]
    parts += [
        ", ".join(event.tags),
        event.reason,
        f"{event.confidence:.0%} sure" if event.confidence is not None else "",
    ]
    parts += ["blind" if event.blind else "", "taken back" if undone else ""]
    more = " · ".join(part for part in parts if part)
    return {"who": event.annotator, "what": _WHATS[event.kind], "text": event.text, "more": more, "undone": undone}


def _quietly(name: str, stamp: Stamp, about: About) -> None:
    with contextlib.suppress(UnitscopeError):  # whoever comes to it is told
        _shown(name, stamp, *about)


@lru_cache(512)
def _shown(name: str, stamp: Stamp, address: str, end: str) -> Shown:
    opened = resources.open_named(name)
    return _concept(address) if ":" in address else _unit(opened, address, end)


def _unit(opened: Opened, address: str, end: str) -> Shown:
    units = opened.store.units
    card, found = units.card(address), units.ends(address, FIRST)
    sides = {"+": found.plus, "-": found.minus}
    order = ("+", "-") if end == "+" else ("-", "+")
    hits = {order[0]: sides[order[0]][:FIRST], order[1]: sides[order[1]][:SECOND]}
    rows = tuple({"title": _TITLES[side], "images": _images(opened, hits[side])} for side in order)
    spread = units.intervals(address, PER_INTERVAL)
    between = tuple(
        {
            "title": f"{row.low_level:.0%} to {row.high_level:.0%}",
            "note": f"{row.low:.3g} to {row.high:.3g}",
            "images": _images(opened, row.hits, captions=False),
        }
        for row in spread.rows
    )
    evidence: dict[str, Sequence[int]] = {side: [hit.image_id for hit in hits[side]] for side in order}
    evidence["between"] = [hit.image_id for row in spread.rows for hit in row.hits]
    texts = (card.plus if end == "+" else card.minus)[:CANDIDATES]
    href = links.base_path() + f"/{_PAGES[card.kind]}?bundle={opened.name}&{card.kind}={address}"
    told = f"{card.kind}{'' if card.layer is None else f' of layer {card.layer}'} · {found.population}"
    return Shown(address, end, told, href, rows, between, texts, "; ".join(texts[:3]), evidence)


def _concept(address: str) -> Shown:
    found = dictionaries.having(address)
    concept = found.store.concept(address)
    assert concept is not None
    hits = [Hit(image, 0.0) for image in concept.images]
    texts = [concept.label.text] if concept.label else []
    texts += [text.text for unit in concept.members for text in found.store.texts(unit.address)]
    texts = list(dict.fromkeys(texts))[:CANDIDATES]
    row = {
        "title": "Its images: of largest activation, of each model its best unit",
        "images": _images(found, hits, captions=False),
    }
    told = f"concept of {concept.models} models · {len(concept.members)} units"
    href = f"{links.base_path()}/rosetta?dictionary={found.name}&hub={concept.hub}&concept={address}"
    automatic = concept.label.text if concept.label else ""
    return Shown(address, "", told, href, (row,), (), tuple(texts), automatic, {"": list(concept.images)})


def _images(opened: Opened | dictionaries.Opened, hits: Sequence[Hit], captions: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "id": hit.image_id,
            "src": thumbs.source(opened, hit.image_id),
            "alt": f"image {hit.image_id}",
            "caption": f"{hit.score:.3g}" + (f" +{len(hit.folded)}" if hit.folded else "") if captions else "",
        }
        for hit in hits
        if hit.image_id >= 0
    ]


def _score(opened: Opened, about: About) -> str:
    """How well the automatic label predicts the unit, in a few words; "" where that is not known."""
    store, (address, end) = opened.store, about
    if end != "+":
        return ""
    row, kind = store.units.row(address), store.units.kind(address)
    if not store.label_scores.is_quick(kind):  # takes a second or more for all of a kind: later units have it
        scores_jobs.table(opened, kind)
        return ""
    both = store.label_scores.quick(kind)
    value, by_chance = (float(np.asarray(each)[row]) for each in both)
    return (
        f"predicts the unit with r {value:.2f}; one random text {by_chance:.2f}".replace("-", "−")
        if np.isfinite(value)
        else ""
    )
