"""Events folded in their order into what is current.

Order is that of time, which the database gives so that no annotator's later word has an earlier one (ties by key), not
that of arrival: desks that exchanged their events, in whatever order, agree on what stands.

Of one annotator the last word about an end of a unit stands, unless an undo by the same annotator names it: then the
one before stands again. Skipping is no word: it stands only where nothing else was said. Of all annotators together
the last adjudication that stands decides; without one, those who agree do, and where they differ nothing is decided,
and that is said.
"""

import unicodedata
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, get_args

from core.labels.events import SENSES, Event

About = tuple[str, str]
"""Address and end."""
State = Literal["open", "labelled", "unsure", "uninterpretable", "disputed", "decided"]
STATES: tuple[State, ...] = get_args(State)
_MANY = 1_000  # ends changed at once, from which on the ranking of texts is made anew rather than kept


def same(text: str) -> str:
    """What two labels have in common that differ in letters' case, the bytes of a letter, spaces and the order of their
    senses alone."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    senses = {" ".join(sense.split()) for sense in folded.split(SENSES)}
    return f" {SENSES} ".join(sorted(senses - {""})) if len(senses) > 1 else senses.pop()


@dataclass(frozen=True)
class Standing:
    """What stands of one end of one unit: each annotator's last word, and the adjudication, if there is one."""

    by: Mapping[str, Event] = field(default_factory=dict)
    adjudication: Event | None = None

    @cached_property
    def state(self) -> State:
        """Two who say the same in other letters agree; "open" where nobody said a word, skipping apart."""
        if self.adjudication:
            return "decided"
        kinds = {event.kind for event in self.by.values()}
        texts = {event.text for event in self.by.values() if event.kind == "label"}
        labels = {same(text) for text in texts} if len(texts) > 1 else texts
        if len(labels) > 1 or (labels and "uninterpretable" in kinds):
            return "disputed"
        if labels:
            return "labelled"
        return "uninterpretable" if "uninterpretable" in kinds else "unsure" if "unsure" in kinds else "open"

    @cached_property
    def labels(self) -> tuple[Event, ...]:
        """What it is called: the adjudication alone where there is one, else each annotator's label."""
        return (self.adjudication,) if self.adjudication else tuple(e for e in self.by.values() if e.kind == "label")

    @cached_property
    def label(self) -> Event | None:
        """The event whose text is the current label; None where nobody gave one or they differ."""
        if self.adjudication:
            return self.adjudication
        if self.state != "labelled":
            return None
        return max((event for event in self.by.values() if event.kind == "label"), key=order)


NOTHING = Standing()


def order(event: Event) -> tuple[int, str]:
    """When it was said; ties by key, so that there are none."""
    return event.at, event.key


class Fold:
    """What stands after the events that it took. An event costs as much as there are events about the same end, not as
    many as there are at all. Not thread-safe."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.counts: Counter[State] = Counter()
        self._events: dict[str, Event] = {}
        self._undone: set[tuple[str, str]] = set()  # annotator and key: nobody takes back another's word
        self._about: dict[About, list[Event]] = defaultdict(list)  # in order, undone ones left out
        self._said: dict[str, list[Event]] = defaultdict(list)  # the same of each annotator
        self._standings: dict[About, Standing] = {}
        self._texts: Counter[str] = Counter()
        self._ranked: list[tuple[int, str]] | None = None  # (-uses, text)
        self._snapshot: Mapping[About, Standing] | None = None
        self.take(events)

    def take(self, events: Iterable[Event]) -> None:
        """Take in more, in any order; one that was taken before changes nothing."""
        changed = {about: None for event in events for about in self._take(event)}  # a set that keeps its order
        if len(changed) > _MANY:
            self._ranked = None
        for about in changed:
            self._restand(about)
        if changed:
            self._snapshot = None

    def standing(self, about: About) -> Standing:
        """What stands; an empty Standing where nothing was said."""
        return self._standings.get(about, NOTHING)

    def all(self) -> Mapping[About, Standing]:
        """Every end of which something stands, as of now: what is taken in later does not change it."""
        if self._snapshot is None:
            self._snapshot = MappingProxyType(dict(self._standings))
        return self._snapshot

    def last(self, annotator: str) -> Event | None:
        """What this annotator said last that is not undone."""
        said = self._said.get(annotator)
        return said[-1] if said else None

    def texts(self, limit: int | None = None) -> list[str]:
        """Senses of labels that stand, the most used first, then by alphabet."""
        if self._ranked is None:
            self._ranked = sorted((-uses, text) for text, uses in self._texts.items())
        return [text for _, text in self._ranked[:limit]]

    def _take(self, event: Event) -> Iterable[About]:
        """The ends whose standing may have changed."""
        if event.kind == "undo":
            undone = self._events.get(event.undoes or "")
            known = (event.annotator, event.undoes or "") in self._undone
            self._undone.add((event.annotator, event.undoes or ""))
            if known or undone is None or undone.annotator != event.annotator:
                return ()
            about = undone.address, undone.end
            for place in (self._about[about], self._said[undone.annotator]):
                del place[bisect_left(place, order(undone), key=order)]
            return (about,)
        if event.key in self._events:
            return ()
        self._events[event.key] = event
        if (event.annotator, event.key) in self._undone:
            return ()
        about = event.address, event.end
        for place in (self._about[about], self._said[event.annotator]):
            if place and order(event) < order(place[-1]):
                insort(place, event, key=order)
            else:
                place.append(event)
        return (about,)

    def _restand(self, about: About) -> None:
        by: dict[str, Event] = {}
        decision = None
        for event in self._about[about]:
            if event.kind == "adjudicate":
                decision = event
            elif event.kind != "skip" or by.get(event.annotator, event).kind == "skip":
                by[event.annotator] = event
        before, after = self.standing(about), Standing(by, decision) if by or decision else NOTHING
        if after is NOTHING:
            self._standings.pop(about, None)
        else:
            self._standings[about] = after
        self._count(before, -1)
        self._count(after, 1)

    def _count(self, standing: Standing, sign: int) -> None:
        if standing is NOTHING:
            return
        self.counts[standing.state] += sign
        for event in standing.by.values():
            for sense in event.senses if event.kind == "label" else ():
                self._use(sense, sign)

    def _use(self, text: str, sign: int) -> None:
        uses = self._texts[text]
        if self._ranked is not None:
            if uses:
                del self._ranked[bisect_left(self._ranked, (-uses, text))]
            if uses + sign:
                insort(self._ranked, (-uses - sign, text))
        if uses + sign:
            self._texts[text] = uses + sign
        else:
            del self._texts[text]
