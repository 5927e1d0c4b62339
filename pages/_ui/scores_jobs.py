"""Leaderboards in the making: one at a time in the background, whoever asked; kept in the cache when they are done."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UnitscopeError
from core.leaderboard import UNITS, Board, Embed, Hand, keep, kept, leaderboard
from pages._ui import resources
from pages._ui.resources import Opened, Stamp

if TYPE_CHECKING:
    from core.explain import Explainer

_log = logging.getLogger("unitscope.scores")
_MOST = 16
_lock, _working = threading.Lock(), threading.Lock()


@dataclass
class Job:
    """How far a leaderboard is; `problem` a sentence if it failed, `board` once it is done."""

    share: float = 0.0
    what: str = "waiting"
    problem: str = ""
    board: Board | None = None
    done: threading.Event = field(default_factory=threading.Event)


_jobs: dict[tuple[str, Stamp], Job] = {}


def known(opened: Opened) -> Board | None:
    """The leaderboard of a bundle, if it was made: in this process, or kept in the cache."""
    job = _jobs.get(_key(opened))
    if job is not None and job.board is not None:
        return job.board
    return kept(opened.store.facts().bundle, UNITS)


def running(opened: Opened) -> Job | None:
    """The job that makes it now."""
    job = _jobs.get(_key(opened))
    return job if job is not None and not job.done.is_set() else None


def failed(opened: Opened) -> str:
    """Why the last one failed; "" if it did not."""
    job = _jobs.get(_key(opened))
    return job.problem if job is not None else ""


def begin(opened: Opened, hand: Sequence[Hand]) -> Job:
    """Begin to make it, unless somebody has."""
    with _lock:
        if (job := running(opened)) is not None:
            return job
        while len(_jobs) >= _MOST:
            _jobs.pop(next(iter(_jobs)))
        job = _jobs[_key(opened)] = Job()
    # a daemon: stopping the server does not wait for it
    threading.Thread(target=_run, args=(job, opened, tuple(hand)), daemon=True).start()
    return job


def _run(job: Job, opened: Opened, hand: tuple[Hand, ...]) -> None:
    def tell(share: float, what: str) -> None:
        job.share, job.what = min(1.0, share), what

    try:
        with _working:
            made = leaderboard(opened.store.bundle, UNITS, 0, hand, _embed(opened, hand), tell)
            keep(made)
            job.board = made
    except UnitscopeError as error:
        job.problem = str(error)
    except Exception as error:  # noqa: BLE001 # it is told on the page that waits for it, whatever it is
        _log.error("the leaderboard of %s failed", opened.name, exc_info=error)
        job.problem = "The methods could not be compared; the server's log says why."
    finally:
        job.done.set()


def _embed(opened: Opened, hand: Sequence[Hand]) -> Embed | None:
    """The live model's, if a label by hand needs it and it can be loaded."""
    scores = opened.store.label_scores
    if all(scores.embedding(text) is not None for one in hand for text in one.texts):
        return None
    try:
        model: Explainer = resources.MODELS.ask((opened.folder, opened.stamp), opened.store.bundle.facts).result()  # type: ignore[assignment] # of a bundle it is an Explainer
    except UnitscopeError:  # such labels are then left out, and counted
        return None
    encode: Callable[[Sequence[str]], np.ndarray] = model.encode_texts
    return encode


def _key(opened: Opened) -> tuple[str, Stamp]:
    return opened.name, opened.stamp
