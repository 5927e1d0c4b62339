"""Maps of units, made in the background once for all sessions, one at a time; kept in the cache folder besides."""

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.store import unit_map
from core.store.unit_map import Population, Settings
from pages._ui.resources import MAX_OPEN, Opened, Stamp

SETTINGS = Settings()
SECONDS_A_POINT = 0.014
"""A cautious guess for the progress bar: a busy machine of two cores took 144 s for 10,000 points."""
_log = logging.getLogger("unitscope.maps")


@dataclass
class Job:
    """One map: its `units`, what is being done, and the promise of their places (n, 2)."""

    units: Population
    began: float = field(default_factory=time.monotonic)
    step: str = "waiting for another map"
    places: "Future[np.ndarray]" = field(default_factory=Future)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def share(self) -> float:
        """About how much is done, by the time it has taken: t-SNE does not say."""
        return min(0.95, self.seconds / (5 + SECONDS_A_POINT * self.units.size))


_jobs: OrderedDict[tuple[Path, Stamp], Job] = OrderedDict()
_lock, _one = threading.Lock(), threading.Lock()


def ask(opened: Opened) -> Job:
    """The map of a bundle, or its promise; begins to make it if nobody has. Never waits. One that failed is tried
    again when it is asked for after that was seen (`forget`)."""
    key = opened.folder, opened.stamp
    with _lock:
        job = _jobs.get(key)
        if job is None:
            job = _jobs[key] = Job(unit_map.population(opened.store, SETTINGS.points))
            # a daemon: stopping the server does not wait for a map
            threading.Thread(target=_make, args=(opened, job), daemon=True).start()
            while len(_jobs) > MAX_OPEN:
                _jobs.popitem(last=False)
        _jobs.move_to_end(key)
        return job


def forget(opened: Opened) -> None:
    """Let the next question begin anew."""
    with _lock:
        _jobs.pop((opened.folder, opened.stamp), None)


def _make(opened: Opened, job: Job) -> None:
    def step(now: str) -> None:
        job.step = now

    with _one:
        job.began = time.monotonic()
        try:
            job.places.set_result(unit_map.places(opened.store, job.units, SETTINGS, step))
        except BaseException as error:  # noqa: BLE001 # it is told to whoever waits, whatever it is
            _log.error("the map of %s cannot be made", opened.name, exc_info=error)
            job.places.set_exception(error.with_traceback(None))
