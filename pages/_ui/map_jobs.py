"""Maps of units, made in the background once for all sessions; kept in the cache folder besides."""

from dataclasses import dataclass

import numpy as np

from core.store import unit_map
from core.store.unit_map import Population, Settings
from pages._ui.jobs import Job, Jobs
from pages._ui.resources import MAX_OPEN, Opened
from pages._ui.words import count

SETTINGS = Settings()
SECONDS_A_POINT = 0.014
"""A cautious guess for the progress bar: a busy machine of two cores took 144 s for 10,000 points."""


@dataclass(frozen=True)
class Map:
    """The `units` of a map and their places (n, 2)."""

    units: Population
    places: np.ndarray


_jobs: Jobs[Map] = Jobs("the map", MAX_OPEN)


def ask(opened: Opened) -> Job[Map]:
    """The map of a bundle, or its promise; begins to make it if nobody has. One that failed is tried again when it is
    asked for after that was seen (`forget`)."""
    return _jobs.ask((opened.folder, opened.stamp), lambda job: _make(opened, job))


def forget(opened: Opened) -> None:
    """Let the next question begin anew."""
    _jobs.forget((opened.folder, opened.stamp))


def share(opened: Opened, job: Job[Map]) -> float:
    """About how much is done, by the time it has taken: t-SNE does not say."""
    points = unit_map.population(opened.store, SETTINGS.points).size
    return min(0.95, job.seconds / (5 + SECONDS_A_POINT * points))


def _make(opened: Opened, job: Job[Map]) -> Map:
    units = unit_map.population(opened.store, SETTINGS.points)
    return Map(
        units,
        unit_map.places(
            opened.store, units, SETTINGS, lambda what: job.tell(0, f"{what} of {count(units.size, 'unit')}")
        ),
    )
