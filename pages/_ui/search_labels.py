"""Labels of a bundle's units and of a dictionary's concepts as the Search page finds them: automatic ones are indexed
once, those by hand as they are given."""

import threading
from collections.abc import Iterable

import streamlit as st

from core.errors import UnitscopeError
from core.labels.ledger import Ledger
from core.store.search_labels import LabelIndex, Said
from core.store.store import Store
from pages._ui import dictionaries, resources
from pages._ui.resources import Stamp
from pages._ui.search_view import CONCEPT


class Indexed:
    """The labels of one bundle or dictionary; `automatic` the words of a unit's own label by its address, `kind_of`
    what kind of unit an address names. Shared by all sessions, thread-safe."""

    def __init__(self, automatic: Iterable[Said], store: Store | None) -> None:
        self.index = LabelIndex(automatic)
        self._store = store
        self._hand: dict[str, dict[str, tuple[Said, ...]]] = {}
        self._lock = threading.Lock()
        self._seen: tuple[Ledger, int] | None = None

    def take(self, ledger: Ledger) -> None:
        """Take in what was labelled since. Raises LabelsUnavailable."""
        with self._lock:
            if self._seen is None or self._seen[0] is not ledger:
                seq = ledger.refresh()
                abouts = {*ledger.all(), *((address, end) for address, ends in self._hand.items() for end in ends)}
            else:
                events = ledger.labels.since(self._seen[1], ledger.bundle)
                seq = max((event.seq for event in events), default=self._seen[1])
                abouts = {(event.address, event.end) for event in events}
                ledger.refresh()
            for address, end in abouts:
                self._take(ledger, address, end)
            self._seen = ledger, seq

    def hand(self, address: str) -> tuple[Said, ...]:
        """The labels by hand that stand of a unit, its + end first."""
        ends = self._hand.get(address, {})
        return tuple(said for end in ("+", "-", "") for said in ends.get(end, ()))

    def _take(self, ledger: Ledger, address: str, end: str) -> None:
        kind = self._kind(address)
        if kind is None:  # labelled in another bundle's unit that this one lacks
            return
        events = ledger.standing(address, end).labels
        said = tuple(Said(address, kind, event.text, event.annotator, end) for event in events)
        self.index.replace(address, end, kind, said)
        self._hand.setdefault(address, {})[end] = said

    def _kind(self, address: str) -> str | None:
        if self._store is None:
            return CONCEPT
        try:
            return self._store.units.kind(address)
        except UnitscopeError:
            return None


def of_bundle(opened: resources.Opened) -> Indexed:
    """The labels of a bundle's units."""
    return _of_bundle(opened.name, opened.stamp, opened)


def of_dictionary(found: dictionaries.Opened) -> Indexed:
    """The labels of a dictionary's concepts."""
    return _of_dictionary(found.name, found.stamp, found)


@st.cache_resource(max_entries=resources.MAX_OPEN, show_spinner="Indexing the labels")
def _of_bundle(name: str, mark: Stamp, _opened: resources.Opened) -> Indexed:
    return Indexed(automatic(_opened.store), _opened.store)


@st.cache_resource(max_entries=resources.MAX_OPEN, show_spinner="Indexing the concepts")
def _of_dictionary(name: str, mark: Stamp, _found: dictionaries.Opened) -> Indexed:
    store = _found.store
    concepts = [concept for member in store.members for concept in store.concepts(member.name)]
    concepts.sort(key=lambda concept: -concept.strength)
    return Indexed((Said(c.address, CONCEPT, c.label.text) for c in concepts if c.label is not None), None)


def automatic(store: Store) -> Iterable[Said]:
    """Every unit's automatic label, strongest units first: its first three texts, of pairs the described ones'."""
    units = store.units
    for kind in units.kinds:
        for row in (-units.importance(kind)).argsort(kind="stable"):
            text = "; ".join(store.heads()[row].texts) if kind == "head" else units.label(kind, int(row))
            if text:
                yield Said(units.address(kind, int(row)), kind, text)
