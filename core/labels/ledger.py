"""What is current of the units of one bundle: its events, folded, and those added since when it is asked to look."""

import threading
from collections.abc import Mapping

from core.labels.database import Labels
from core.labels.events import Event
from core.labels.fold import STATES, About, Fold, Standing, State, same

__all__ = ["STATES", "About", "Ledger", "Standing", "State", "same"]


class Ledger:
    """The standing of every unit of one bundle; `refresh` takes in what was said since. Shared by all sessions."""

    def __init__(self, labels: Labels, bundle: str) -> None:
        self.labels, self.bundle = labels, bundle
        self._reading = threading.Lock()  # apart from the other, so that who only asks does not wait for the database
        self._lock = threading.Lock()
        self._seq = 0
        self._fold = Fold()

    def refresh(self) -> int:
        """Take in new events; returns the number of the last one. Raises LabelsUnavailable."""
        with self._reading:
            events = self.labels.since(self._seq, self.bundle)
            with self._lock:
                self._fold.take(events)
                self._seq = events[-1].seq if events else self._seq
            return self._seq

    def standing(self, address: str, end: str) -> Standing:
        """What stands; an empty Standing for a unit of which nothing was said."""
        with self._lock:
            return self._fold.standing((address, end))

    def all(self) -> Mapping[About, Standing]:
        """Every end of which something stands, in the order of first mention; read-only, and the same object until
        something new was said. What is taken in later does not change it."""
        with self._lock:
            return self._fold.all()

    def counts(self) -> dict[State, int]:
        """How many ends of units are in each state; "open" counts those that were only skipped."""
        with self._lock:
            return {state: self._fold.counts[state] for state in STATES}

    def last(self, annotator: str) -> Event | None:
        """What this annotator said last that is not undone: what an undo takes back."""
        with self._lock:
            return self._fold.last(annotator)

    def texts(self, limit: int | None = None) -> list[str]:
        """Labels that stand, the most used first, each sense of its own: for completion."""
        with self._lock:
            return self._fold.texts(limit)
