"""The queue that the URL asks for, made of a bundle and what was said of its units, and kept while it is worked
through."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import streamlit as st

from core.errors import AddressError, InputError
from core.ids import Neuron, Pair, parse
from core.labels import queues
from core.labels.ledger import About, Standing
from core.labels.queues import Pool
from core.store import Store
from core.store.units import Kind
from pages._ui import desk_links, dictionaries, labels, rosetta_links
from pages._ui.desk_view import DeskView
from pages._ui.resources import Opened
from pages._ui.words import count

HOW = {
    "disagreement": "No two annotators differ about an end that passes these filters. Ends come here once two people "
    "labelled them differently: let somebody else label blind what is labelled already.",
    "list": "Paste addresses above, such as L3.H2, L9.N1234 or L9.N1234>L11.H3, or send a selection here from the "
    "Search page.",
    "neuron": "Give a neuron above, such as L9.N1234 (N624 in a ResNet): its pairs with later heads are labelled one "
    "by one.",
    "concept": "Open a concept on the Rosetta page and choose “Label this” there, or give its address above, such as "
    "model:L3.N17.",
}  # fmt: skip
ELSE = "No end of a unit passes these filters. Take one away: another state, kind or layer."


@dataclass
class Work:
    """A queue in work. `items` (address, end) in their order; `done` places that the annotator said something of;
    `refused` pieces of a list that are not here; `advice` for an empty queue; `times` of one's labels (microseconds)
    and `keys` of one's events since it was opened, newest last, with what they are about. `at` the place shown;
    `number` of the browser's last message; `own` one's labels, once they were asked for."""

    name: str
    items: list[About]
    done: set[int]
    refused: list[str] = field(default_factory=list)
    advice: str = ELSE
    times: list[int] = field(default_factory=list)
    keys: list[tuple[str, About]] = field(default_factory=list)
    at: int = 0
    number: int = 0
    own: list[str] | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    places: dict[About, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = {about: at for at, about in enumerate(self.items)}


def work(opened: Opened, view: DeskView, me: str) -> Work:
    """The queue of this session: made when the URL first asks for it, and then kept in its order."""
    asked = replace(view, unit="", end="+", blind=False, map="off", scores=False)
    key = (opened.name, opened.stamp, asked, me)
    held = st.session_state.get("desk-work")
    if held is None or held[0] != key:
        held = st.session_state["desk-work"] = key, build(opened, view, me)
    found: Work = held[1]
    return found


def build(opened: Opened, view: DeskView, me: str) -> Work:
    """Read the ledger, order, filter. UnitscopeError where the queue cannot be made."""
    standings: Mapping[About, Standing] = labels.ledger(opened.store.facts().bundle).all()
    order, refused, advice = _order(opened, view, standings)
    if view.queue == "concept":
        standings = {**standings, **_of_concepts(view)}
    items = queues.kept(order, standings, view.state, me)  # type: ignore[arg-type]  # the view's reader knows the states
    found = Work(title(view), items, queues.done(items, standings, me), refused, advice)
    found.at = queues.resume(len(items), found.done) or 0
    return found


def title(view: DeskView) -> str:
    """What the queue is called in events."""
    name = {"random": f"random {view.seed}", "neuron": f"pairs of {view.of}", "concept": f"members of {view.of}"}
    return name.get(view.queue, f"list {view.name}".strip() if view.queue == "list" else view.queue)[:200]


def _order(
    opened: Opened, view: DeskView, standings: Mapping[About, Standing]
) -> tuple[Iterable[About], list[str], str]:
    store, both = opened.store, view.side == "both"
    advice = HOW.get(view.queue, ELSE)
    if view.queue == "list":
        text = desk_links.text(view)
        found, refused = queues.listed(text, lambda address: known(opened, address), both)
        return _passing(store, view, found), refused, ELSE if found else advice
    if view.queue == "neuron":
        return (queues.with_ends(_pairs(store, view.of), both), [], advice) if view.of else ((), [], advice)
    if view.queue == "concept":
        return (queues.with_ends(_members(opened, view), both), [], advice) if view.of else ((), [], advice)
    if view.queue == "disagreement":
        here = [about for about in queues.disagreements(standings) if both or about[1] != "-"]
        return _passing(store, view, [about for about in here if _here(store, about[0])]), [], advice
    kinds = [kind for kind in store.units.kinds if kind in view.kind or not view.kind]
    only = standings if queues.only_said(view.state) else None  # type: ignore[arg-type]  # as above
    pools = [pool(store, kind, only) for kind in kinds]
    if view.queue == "random":
        return queues.with_ends(queues.at_random(pools, view.seed, view.layer), both), [], ELSE
    if view.queue == "score":
        scores = [np.asarray(store.label_scores.quick(kind)[0]) for kind in kinds]
        return queues.with_ends(queues.by_score(pools, scores, view.layer), both), [], ELSE
    return queues.with_ends(queues.by_importance(pools, view.layer), both), [], ELSE


def pool(store: Store, kind: Kind, only: Mapping[About, Standing] | None = None) -> Pool:
    """The units of a kind; with `only`, those of which something stands."""
    units = store.units
    importance_n = units.importance(kind)
    if only is not None:
        rows = [units.row(address) for address in {address for address, _ in only} if _is(store, address, kind)]
        kept_n = np.zeros_like(importance_n)
        kept_n[rows] = importance_n[rows]
        importance_n = kept_n
    named = store.facts().layers if kind == "head" else store.neurons.layers if store.neurons else ()
    layer_l = np.array([-1 if layer is None else layer for layer in named])
    each = len(importance_n) // max(1, len(layer_l))
    return Pool(importance_n, np.repeat(layer_l, each), lambda row: units.address(kind, row))


def known(opened: Opened, address: str) -> str:
    """The canonical address of a unit of this bundle or of a concept of any dictionary here. UnitscopeError."""
    if ":" not in address:
        return str(opened.store.units.parse(address))
    dictionaries.having(address)
    return address


def bundle_of(opened: Opened, address: str) -> str:
    """The id that events about this address carry."""
    return dictionaries.having(address).store.id if ":" in address else opened.store.facts().bundle


def _pairs(store: Store, neuron: str) -> list[str]:
    unit = parse(neuron.strip())
    if store.pairs is None or not isinstance(unit, Neuron):
        raise InputError(f"{neuron[:60]!r} is no neuron of this bundle, so it has no pairs to label.")
    return [row.address for row in store.pairs.of_neuron(unit)]


def _members(opened: Opened, view: DeskView) -> list[str]:
    """The concept itself, and those of its units that this bundle has."""
    found = dictionaries.having(view.of)
    concept = found.store.concept(view.of)
    assert concept is not None
    addresses = [concept.address]
    for unit in concept.members:
        here = rosetta_links.unit_in(opened, found.store.member(unit.member), unit.layer, unit.unit)
        if here is not None and _here(opened.store, here):
            addresses.append(here)
    return addresses


def _of_concepts(view: DeskView) -> Mapping[About, Standing]:
    return labels.ledger(dictionaries.having(view.of).store.id).all() if view.of else {}


def _passing(store: Store, view: DeskView, items: Sequence[About]) -> list[About]:
    """Those of a list that are of the kinds and layers asked for; concepts are of neither."""
    if not view.kind and not view.layer:
        return list(items)
    tests: list[Callable[[str], bool]] = []
    if view.kind:
        tests.append(lambda address: store.units.kind(address) in view.kind)
    if view.layer:
        tests.append(lambda address: _layer(address) in view.layer)
    return [about for about in items if ":" not in about[0] and all(test(about[0]) for test in tests)]


def _layer(address: str) -> int | None:
    unit = parse(address)
    return unit.neuron.layer if isinstance(unit, Pair) else unit.layer


def _here(store: Store, address: str) -> bool:
    try:
        store.units.parse(address)
    except AddressError:
        return False
    return True


def _is(store: Store, address: str, kind: Kind) -> bool:
    return ":" not in address and _here(store, address) and store.units.kind(address) == kind


def refused(pieces: Sequence[str]) -> str:
    """That some of a list is not here, in a sentence; plain text."""
    some = ", ".join(piece[:40] for piece in pieces[:5]) + (" and others" if len(pieces) > 5 else "")
    return f"{count(len(pieces), 'address', 'addresses')} of the list cannot be labelled with this bundle: {some}."
