"""What of the Rosetta page is in the URL, and which concepts that asks for."""

from dataclasses import dataclass
from urllib.parse import urlencode

from core.store.dictionary_answers import Concept
from pages._ui import dictionaries, links, rosetta_frame, rosetta_words, selection
from pages._ui.dictionaries import Opened
from pages._ui.selection import Chosen

TABS = {"concepts": "Concepts", "image": "In one image"}
PAGE = 24
MOST_CHARACTERS = 200


@dataclass(frozen=True)
class RosettaView:
    """Without a `concept` those of the `hub` are listed: all, or those whose label or units have `search`, with units
    in at least `models` models and in every `member`; the first `shown`. `every`: all of a concept's units, not the
    best of each model; `own`: each map on its own scale. The tab "image" has all concepts of `image`."""

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
        {"hub": rosetta_words.first_hub(store)},
        dictionary=rosetta_frame.reader(),
        hub=selection.one_of(*members),
        tab=selection.one_of(*TABS),
        concept=concept,
        search=selection.words(MOST_CHARACTERS),
        models=selection.integer(2, len(members)),
        member=selection.one_of(*members),
        shown=selection.integer(1, 100_000),
        every=selection.flag,
        own=selection.flag,
        image=selection.integer(0, store.images - 1),
    )
    known = store.concept(chosen.view.concept) if chosen.view.concept else None
    if known is not None and known.hub != chosen.view.hub:  # its address says whose it is
        chosen.go(hub=known.hub)
        return read(found)
    return chosen


def matching(found: Opened, view: RosettaView) -> tuple[Concept, ...]:
    """The concepts that the view asks for, strongest first."""
    wanted, text = set(view.member), view.search.strip().casefold()
    return tuple(
        concept
        for concept in found.store.concepts(view.hub)
        if concept.models >= view.models
        and wanted <= {unit.member for unit in concept.members}
        and (not text or _has(concept, text))
    )


def _has(concept: Concept, text: str) -> bool:
    """Whether a concept's label has this text, or a unit this address, with or without its model."""
    if concept.label is not None and text in concept.label.text.casefold():
        return True
    return any(text in (name, name.partition(":")[2]) for name in (u.address.casefold() for u in concept.members))


def href(chosen: Chosen[RosettaView], **changes: object) -> str:
    """The address of this page with `changes`."""
    return f"{links.base_path()}/rosetta?{urlencode(chosen.query(**changes), doseq=True)}"


def link(found: Opened, concept: Concept) -> str:
    """The address of a concept's page, for other pages."""
    several = found.name if len(dictionaries.names()) > 1 else None
    return links.href("rosetta", dictionary=several, hub=concept.hub, concept=concept.address)
