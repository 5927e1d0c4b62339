"""Scores in the making, in the background: leaderboards, kept in the cache when they are done, and whole tables."""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UnitscopeError
from core.leaderboard import UNITS, Board, Embed, Hand, keep, kept, leaderboard
from core.store.units import Kind
from pages._ui import resources
from pages._ui.jobs import Job, Jobs
from pages._ui.resources import MAX_OPEN, Opened

if TYPE_CHECKING:
    from core.explain import Explainer

_boards: Jobs[Board] = Jobs("the leaderboard", 2 * MAX_OPEN)
_tables: Jobs[None] = Jobs("the scores of all labels", 4 * MAX_OPEN)


def board(opened: Opened) -> Board | None:
    """The leaderboard of a bundle, if it was made: in this process, or kept in the cache."""
    job = find(opened)
    return (job and job.result) or kept(opened.store.facts().bundle, UNITS)


def find(opened: Opened) -> Job[Board] | None:
    """The last job that made it or makes it."""
    return _boards.find(_key(opened))


def begin(opened: Opened, hand: Sequence[Hand]) -> Job[Board]:
    """Begin to make it, unless somebody has."""
    return _boards.begin(_key(opened), lambda job: _make(job, opened, tuple(hand)))


def table(opened: Opened, kind: Kind) -> Job[None]:
    """The scores of the automatic labels of all units of a kind: `label_scores.quick` answers at once when it is done.
    One that failed stays so until the server starts anew."""
    return _tables.ask((*_key(opened), kind), lambda _: _score(opened, kind))


def _score(opened: Opened, kind: Kind) -> None:
    opened.store.label_scores.quick(kind)


def _make(job: Job[Board], opened: Opened, hand: tuple[Hand, ...]) -> Board:
    made = leaderboard(opened.store.bundle, UNITS, 0, hand, _embed(opened, hand), job.tell)
    keep(made)
    return made


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


def _key(opened: Opened) -> tuple[Hashable, ...]:
    return opened.name, opened.stamp
