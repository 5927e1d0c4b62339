"""From what the Search page is asked to one list of units, each with why it is there."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.errors import AddressError, LabelsUnavailable, UnitscopeError
from core.store.search import NEAREST, By, Found, Match, Numbers, Search, interleaved
from core.store.search_labels import MOST_WORDS, Said, as_match, merged
from pages._ui import dictionaries, image_source, labels, resources, rosetta_links, search_labels
from pages._ui.resources import Stamp
from pages._ui.search_view import CONCEPT, SearchView
from pages._ui.words import plain

if TYPE_CHECKING:
    from core.explain import Explainer

RANKED = f"The {NEAREST} best of each kind, best first; kinds take turns, since their numbers have different scales."


_log = logging.getLogger("unitscope.search")


@dataclass(frozen=True)
class Answer:
    """`matches` of each unit that answers, the best first and in turn over the kinds. `told`: by what they are ranked,
    in Markdown of ours; `notes`: sentences; `needs_model`: what the live model would add is missing; `text_o`: the
    embedding of what was asked by meaning."""

    matches: tuple[tuple[Match, ...], ...] = ()
    told: str = ""
    notes: tuple[str, ...] = ()
    needs_model: bool = False
    text_o: np.ndarray | None = None


@dataclass
class Asked:
    """Everything a question is put to."""

    opened: resources.Opened
    search: Search
    indexed: search_labels.Indexed
    dictionary: dictionaries.Opened | None
    concepts: search_labels.Indexed | None
    notes: list[str] = field(default_factory=list)


def prepare(opened: resources.Opened) -> Asked:
    """Opens what is needed, once for all sessions. Labels by hand that cannot be read cost a sentence."""
    found = dictionary(opened)
    concepts = None if found is None else search_labels.of_dictionary(found)
    asked = Asked(opened, of(opened), search_labels.of_bundle(opened), found, concepts)
    try:
        asked.indexed.take(labels.ledger(opened.store.facts().bundle))
        if found is not None and asked.concepts is not None:
            asked.concepts.take(labels.ledger(found.store.id))
    except LabelsUnavailable as error:
        asked.notes.append(f"Labels by hand are not searched now. {error}")
    return asked


def of(opened: resources.Opened) -> Search:
    """The search over a bundle, kept as long as the bundle is open."""
    return _search(opened.name, opened.stamp, opened)


@st.cache_resource(max_entries=resources.MAX_OPEN, show_spinner=False)
def _search(name: str, mark: Stamp, _opened: resources.Opened) -> Search:
    return Search(_opened.store)


def dictionary(opened: resources.Opened) -> dictionaries.Opened | None:
    """The dictionary whose concepts are searched: the first with this bundle's model, else the first, else none."""
    digest = opened.store.facts().weights_digest
    try:
        found = [dictionaries.open_named(name) for name in dictionaries.names()]
    except UnitscopeError as error:  # its own page says so too
        _log.warning("concepts are not searched: %s", error)
        return None
    ours = [each for each in found if any(member.weights_digest == digest for member in each.store.members)]
    return next(iter(ours or found), None)


def answer(asked: Asked, view: SearchView, explainer: "Explainer | None") -> Answer:
    """The units that the view asks for. UnitscopeError with a sentence."""
    if view.unit is not None:
        found = asked.search.alike(str(view.unit))
        told = f"By |cosine| of directions with {plain(view.unit)}; a head's direction is its first principal component"
        return Answer(_listed([found, _holding(asked, str(view.unit), "likeness")]), f"{told}. {RANKED}")
    if view.asks == "image":
        return _image(asked, view, explainer)
    there = _addressed(asked, view.q)
    if there is not None:
        return Answer(_listed([there]), "By address.")
    return _words(asked, view, explainer)


def _words(asked: Asked, view: SearchView, explainer: "Explainer | None") -> Answer:
    by: list[Found] = []
    told, notes, needs, text_o = [], [], False, None
    if view.how != "words":
        text_o = asked.search.embedding(view.q)
        if text_o is None and explainer is not None:
            text_o = explainer.embed([view.q])[0]
        if text_o is not None:
            by.append(asked.search.by_meaning(text_o))
            told.append(
                "by meaning: neurons and pairs by |cosine| of their direction with the text, heads by how much what "
                "they write varies along it"
            )
        needs = text_o is None
    if view.how != "meaning":
        if as_match(view.q) is None:
            notes.append("There is no word in this to look for in labels.")
        by.append(_labelled(asked, view.q))
        told.append("by words: labels that have all of them, whole or as the beginning of a word (BM25)")
    if len(view.q.split()) > MOST_WORDS:
        notes.append(f"Labels are searched for the first {MOST_WORDS} words.")
    how = "; ".join(told)
    return Answer(_listed(by), f"{how[:1].upper()}{how[1:]}. {RANKED}", tuple(notes), needs, text_o)


def _labelled(asked: Asked, query: str) -> Found:
    found: dict[str, list[Said]] = merged(asked.indexed.index.search(query, NEAREST))
    if asked.concepts is not None:
        found |= merged(asked.concepts.index.search(query, NEAREST))
    first = query.replace('"', " ").casefold().split()[:1]
    return {kind: [_worded(said, at, *first) for at, said in enumerate(each)] for kind, each in found.items()}


def _worded(said: Said, at: int, first: str = "") -> Match:
    """The match of a label. An automatic one has several texts: the one with the query's first word says which end of
    the unit is meant, since a text that the unit writes against is at its − end."""
    fits = [text for text in said.text.split("; ") if first in text.casefold()]
    against = said.end == "-" or (not said.by and bool(fits) and fits[0].startswith("−"))
    told = f"in the label by hand of {said.by}" if said.by else "in its label"
    return Match(said.address, said.kind, "words", 1.0 / (1 + at), -1 if against else 1, told)


def _image(asked: Asked, view: SearchView, explainer: "Explainer | None") -> Answer:
    told = "By |z|: how many of its standard deviations a unit's number in this image lies from its mean"
    notes, needs = [], False
    if view.upload:
        numbers = Numbers()
        source = image_source.look(asked.opened, None, view.upload)
        needs = explainer is None
        if source is not None and explainer is not None:
            numbers = live_numbers(asked.opened, image_source.read(source, explainer), explainer)
        elif source is None:
            needs = False
    else:
        numbers = asked.search.numbers(int(view.image or 0))
        if asked.opened.store.neurons is not None and numbers.neuron_ln is None:
            needs = explainer is None
            notes.append("The neurons of this image were not measured: they are read now, from its thumbnail.")
            if explainer is not None:
                source = image_source.look(asked.opened, view.image, None)
                assert source is not None  # only an upload can be missing
                read = live_numbers(asked.opened, image_source.read(source, explainer), explainer)
                numbers = Numbers(numbers.head_lhc, read.neuron_ln, read.pair_lnm)
    if asked.opened.store.pairs is not None:
        notes.append("Of pairs only the described ones are looked through: the numbers of the others are not kept.")
    return Answer(_listed([asked.search.by_image(numbers)]), f"{told}. {RANKED}", tuple(notes), needs)


def live_numbers(opened: resources.Opened, shown: image_source.Shown, explainer: "Explainer") -> Numbers:
    """What units do in any picture, less what they do on average, by the live model."""
    store = opened.store
    heads = [store.coords(h.address, explainer.contribution(shown.trace, h.address)) for h in store.heads()]
    mean_lhc = np.asarray(store.bundle.array("mean"), np.float32)
    head_lhc = np.stack(heads).reshape(mean_lhc.shape) - mean_lhc
    if store.neurons is None:
        return Numbers(head_lhc)
    neuron_ln, centred_lnm = resources.neuron_explainer(opened).coefficients(shown.trace)
    pair_lnm = None if store.pairs is None else centred_lnm * store.pairs.array("length")
    return Numbers(head_lhc, neuron_ln, pair_lnm)


def _addressed(asked: Asked, text: str) -> Found | None:
    """The unit, or the units of a number in any layer, or the concepts of a dictionary's unit; None for no address."""
    if ":" in text and asked.dictionary is not None and len(text.split()) == 1:
        member, _, unit = text.strip().partition(":")
        store = asked.dictionary.store
        if member.casefold() in {each.name.casefold() for each in store.members}:
            layer, _, number = unit.rpartition(".")
            names = {each.name.casefold(): each for each in store.members}
            known = {each.name.casefold(): each.name for each in names[member.casefold()].layers}
            address = f"{names[member.casefold()].name}:{known.get(layer.casefold(), layer)}.{number.upper()}"
            concepts = store.concepts_of_unit(address)
            if not concepts:
                raise AddressError(f"{address} is in no concept of this dictionary.")
            first = sorted(concepts, key=lambda concept: concept.address != address)  # the one of that name
            short = address.partition(":")[2]
            return {
                CONCEPT: [
                    Match(c.address, CONCEPT, "address", 0.0, told="" if c.address == address else f"{short} is in it")
                    for c in first
                ]
            }
    found = asked.search.by_address(text)
    if found is None or sum(map(len, found.values())) != 1:
        return found
    return {**found, **_holding(asked, next(iter(found.values()))[0].address, "address")}


def _holding(asked: Asked, address: str, by: By) -> Found:
    """The concepts that a neuron of this bundle's model is in."""
    if asked.dictionary is None or asked.opened.store.units.kind(address) != "neuron":
        return {}
    concepts = rosetta_links.holding(asked.dictionary.store, asked.opened, address)
    told = f"{address} is in it"
    return {CONCEPT: [Match(c.address, CONCEPT, by, 0.0, told=told) for c in concepts]} if concepts else {}


def _listed(by: Iterable[Found]) -> tuple[tuple[Match, ...], ...]:
    """Each unit once, with all that speaks for it: within a kind ways of asking take turns, and then kinds do."""
    of_kind: dict[str, list[Sequence[Match]]] = defaultdict(list)
    for found in by:
        for kind, matches in found.items():
            of_kind[kind].append(matches)
    ranked: list[list[tuple[Match, ...]]] = []
    for lists in of_kind.values():
        whys: Mapping[str, dict[str, Match]] = defaultdict(dict)
        order: dict[str, None] = {}
        for match in interleaved(lists):
            order.setdefault(match.address)
            whys[match.address].setdefault(f"{match.by} {match.told}", match)
        ranked.append([tuple(whys[address].values()) for address in order])
    return tuple(interleaved(ranked))
