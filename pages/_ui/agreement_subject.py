"""What labels are about: the units of the open bundle, or the concepts of a dictionary; the page asks both alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from core.errors import AddressError
from core.ids import Pair, parse
from core.store.units import Kind
from pages._ui import desk_links, dictionaries, links, resources
from pages._ui.thumbs import Pictured

CONCEPT = "concept"
KINDS = ("head", "neuron", "pair", CONCEPT)
ENDS = {"+": "+ end", "-": "− end", "": "as a whole"}
TEXTS = 3
IMAGES = 10


@dataclass(frozen=True)
class Row:
    """Images that show what a unit does; `end` is "" where it has no two ends."""

    end: str
    title: str
    images: tuple[int, ...]
    captions: tuple[str, ...]


class Subject(Protocol):
    """One bundle or dictionary. Any address may be asked about: labels may come from elsewhere."""

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def opened(self) -> Pictured: ...
    @property
    def by(self) -> str:
        """What `rank` is by, in words."""
        ...

    def place(self, address: str) -> tuple[str, int | None]:
        """Kind and layer; ("", None) for what is no unit."""
        ...

    def rank(self, address: str) -> tuple[int, int] | None:
        """Place by importance among the units of its kind, from 1, and how many there are; None if it is not here."""
        ...

    def automatic(self, address: str, end: str) -> str:
        """The automatic label of an end in one line, "" without one. AddressError."""
        ...

    def line(self, address: str) -> str:
        """The automatic label of a unit as tables have it, "" where there is none or no such unit."""
        ...

    def rows(self, address: str) -> Sequence[Row]:
        """Its images. AddressError."""
        ...

    def page(self, address: str) -> tuple[str, dict[str, Any]] | None:
        """Its page and what its URL says; None where it is not here."""
        ...

    def desk(self, address: str) -> dict[str, Any]:
        """What the desk's URL says to show it."""
        ...


@dataclass(frozen=True)
class Units:
    """The heads, neurons and pairs of a bundle."""

    opened: resources.Opened
    by: str = "by importance"
    _ascending: dict[Kind, np.ndarray] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.opened.store.facts().bundle

    @property
    def model(self) -> str:
        return self.opened.store.facts().weights_digest

    def place(self, address: str) -> tuple[str, int | None]:
        try:
            unit = parse(address)
        except AddressError:
            return "", None
        layer = unit.neuron.layer if isinstance(unit, Pair) else unit.layer
        return self.opened.store.units.kind(address), layer

    def rank(self, address: str) -> tuple[int, int] | None:
        units = self.opened.store.units
        try:
            kind, row = units.kind(address), units.row(address)
        except AddressError:
            return None
        values = units.importance(kind)
        if kind not in self._ascending:
            self._ascending[kind] = np.sort(values)
        above = len(values) - int(np.searchsorted(self._ascending[kind], values[row], side="right"))
        return above + 1, int(np.count_nonzero(values)) if kind == "pair" else len(values)  # 0: no such pair

    def automatic(self, address: str, end: str) -> str:
        card = self.opened.store.units.card(address, TEXTS)
        return "; ".join(card.minus if end == "-" else card.plus)

    def line(self, address: str) -> str:
        units = self.opened.store.units
        try:
            return units.label(units.kind(address), units.row(address))
        except AddressError:
            return ""

    def rows(self, address: str) -> Sequence[Row]:
        found = self.opened.store.units.ends(address, IMAGES)
        return [
            Row(end, title, tuple(hit.image_id for hit in hits), tuple(f"{hit.score:.4f}" for hit in hits))
            for end, title, hits in (("+", "+ end", found.plus), ("-", "− end", found.minus))
        ]

    def page(self, address: str) -> tuple[str, dict[str, Any]] | None:
        if self.rank(address) is None:
            return None
        kind = self.opened.store.units.kind(address)
        return f"{kind}s", {kind: address}

    def desk(self, address: str) -> dict[str, Any]:
        return desk_links.asked([address])


@dataclass(frozen=True)
class Concepts:
    """The concepts of a dictionary. They have no two ends, and several models, so no model's name goes with them."""

    opened: dictionaries.Opened
    model: str = ""
    by: str = "of its hub by strength"

    @property
    def id(self) -> str:
        return self.opened.store.id

    def place(self, address: str) -> tuple[str, int | None]:
        return (CONCEPT if ":" in address else ""), None

    def rank(self, address: str) -> tuple[int, int] | None:
        return self._rank.get(address)

    @cached_property
    def _rank(self) -> dict[str, tuple[int, int]]:
        by_hub = [self.opened.store.concepts(member.name) for member in self.opened.store.members]
        return {one.address: (n, len(all_)) for all_ in by_hub for n, one in enumerate(all_, 1)}  # strongest first

    def automatic(self, address: str, end: str) -> str:
        concept = self.opened.store.concept(address)
        if concept is None:
            raise AddressError(f"This dictionary has no concept {address[:60]}.")
        return concept.label.text if concept.label else ""

    def line(self, address: str) -> str:
        return self.automatic(address, "") if self.opened.store.concept(address) else ""

    def rows(self, address: str) -> Sequence[Row]:
        concept = self.opened.store.concept(address)
        return [Row("", "The images of its concept", tuple(concept.images), ())] if concept else []

    def page(self, address: str) -> tuple[str, dict[str, Any]] | None:
        concept = self.opened.store.concept(address)
        if concept is None:
            return None
        return "rosetta", {"dictionary": self.opened.name, "hub": concept.hub, "concept": concept.address}

    def desk(self, address: str) -> dict[str, Any]:
        return {"queue": "concept", "of": address, "dictionary": self.opened.name}


def href(subject: Subject, address: str) -> str:
    """The address of a unit's page, "" where it is not here."""
    page = subject.page(address)
    return links.href(page[0], **page[1]) if page else ""
