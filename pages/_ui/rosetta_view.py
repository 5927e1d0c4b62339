"""What of the Rosetta page is in the URL, and which concepts that asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import streamlit as st

from core.store.dictionary_answers import Concept
from pages._ui import labels, links, rosetta_frame, rosetta_words, selection
from pages._ui.dictionaries import Opened
from pages._ui.selection import Chosen

TABS = {"concepts": "Concepts", "image": "In one image"}
PAGE = 24
MOST_CHARACTERS = 200
MOST_SHOWN = 120
"""Cards on one page: on a busy machine of two cores each took 60 ms, every time that the page was drawn."""


@dataclass(frozen=True)
class RosettaView:
    """Without a `concept` those of the `hub` are listed: all, or those whose label or units have each word of
    `search`, with units in at least `models` models and in every `member`; the first `shown`. `every`: all of a
    concept's units, not the best of each model; `own`: each map on its own scale. The tab "image" has all concepts of
    `image`."""

    dictionary: str | None = None
    hub: str = ""
    tab: str = "concepts"
    concept: str | None = None
    search: str = ""
    models: int = 2
    member: tuple[str, ...] = ()
    shown: int = PAGE
    every: bool = False
    own: bool = False
    image: int = 0


def read(found: Opened) -> Chosen[RosettaView]:
    """The view that the URL asks for."""
    store = found.store
    members = [member.name for member in store.members]

    def concept(text: str) -> str:
        known = store.concept(text)
        if known is None:
            raise ValueError
        return known.address

    chosen = selection.read(
        RosettaView,
        {"dictionary": found.name, "hub": rosetta_words.first_hub(store)},
        "dictionary",
        dictionary=rosetta_frame.reader(),
        hub=selection.one_of(*members),
        tab=selection.one_of(*TABS),
        concept=concept,
        search=selection.words(MOST_CHARACTERS),
        models=selection.integer(2, len(members)),
        member=selection.one_of(*members),
        shown=selection.at_most(1, MOST_SHOWN),
        every=selection.flag,
        own=selection.flag,
        image=selection.integer(0, store.images - 1),
    )
    if chosen.view.shown == MOST_SHOWN and st.query_params.get("shown") != str(MOST_SHOWN):
        st.toast(
            f"At most {MOST_SHOWN} concepts are drawn: find one by its words, or narrow them down; the CSV has all."
        )
        chosen.go(shown=MOST_SHOWN)
    known = store.concept(chosen.view.concept) if chosen.view.concept else None
    if known is not None and known.hub != chosen.view.hub:  # its address says whose it is
        chosen.go(hub=known.hub)
        return read(found)
    return chosen


def matching(found: Opened, view: RosettaView) -> tuple[Concept, ...]:
    """The concepts that the view asks for, strongest first."""
    return _matching(found, view, view.hub, labels.texts(found.store.id) if view.search else {})


def of_other_hubs(found: Opened, view: RosettaView) -> dict[str, int]:
    """How many concepts of each other hub that has some the same would find."""
    others = (member.name for member in found.store.members if member.name != view.hub)
    said = labels.texts(found.store.id) if view.search else {}
    return {hub: number for hub in others if (number := len(_matching(found, view, hub, said)))}


def _matching(found: Opened, view: RosettaView, hub: str, said: Mapping[str, str]) -> tuple[Concept, ...]:
    wanted, words = set(view.member), view.search.casefold().split()
    return tuple(
        concept
        for concept in found.store.concepts(hub)
        if concept.models >= view.models
        and wanted <= {unit.member for unit in concept.members}
        and (not words or _has(concept, words, said.get(concept.address, "")))
    )


def _has(concept: Concept, words: Sequence[str], said: str) -> bool:
    """Whether each word is in a concept's label, in what people `said` it is, or a unit's address, with or without its
    model."""
    label = f"{concept.label.text.casefold() if concept.label is not None else ''} {said}"
    units = [unit.address.casefold() for unit in concept.members]
    names = {*units, *(name.partition(":")[2] for name in units)}
    return all(word in label or word in names for word in words)


def href(chosen: Chosen[RosettaView], **changes: object) -> str:
    """The address of this page with `changes`."""
    return f"{links.base_path()}/rosetta?{urlencode(chosen.query(**changes), doseq=True)}"


def link(found: Opened, concept: Concept) -> str:
    """The address of a concept's page, for other pages."""
    return links.href("rosetta", dictionary=found.name, hub=concept.hub, concept=concept.address)
