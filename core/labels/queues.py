"""Queues of the labelling desk: which ends of which units, in which order. Pure: arrays and standings in, pairs of
address and end out.

An order is made once and kept while somebody works through it, so that what is said meanwhile moves nothing. There may
be a million pairs: addresses are made when they are reached, and a queue ends after MOST ends.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal, get_args

import numpy as np

from core.errors import UnitscopeError
from core.labels.events import Event, check_address
from core.labels.ledger import STATES, About, Standing

MOST = 20_000
State = Literal["any", "todo", "mine", "open", "labelled", "unsure", "uninterpretable", "disputed", "decided"]
KEPT: tuple[State, ...] = get_args(State)
"""What a queue can be cut down to: "todo" and "mine" by what oneself said, the others by what stands."""
_MINUS = "-−–"
_BETWEEN = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class Pool:
    """The units of one kind: at each row its importance and its layer (-1 where units name none); `address` of a row.
    Units of importance 0 do nothing in any image, so no queue has them."""

    importance_n: np.ndarray
    layer_n: np.ndarray
    address: Callable[[int], str]

    def rows(self, layers: Collection[int] = ()) -> np.ndarray:
        """Ascending rows of the units that do something, of these layers (none given: of all)."""
        there_n = (self.importance_n != 0) & np.isfinite(self.importance_n)
        return np.flatnonzero(there_n & np.isin(self.layer_n, list(layers)) if layers else there_n)


def by_importance(pools: Sequence[Pool], layers: Collection[int] = ()) -> Iterator[str]:
    """The most important first. Kinds take turns, since their numbers cannot be compared."""
    orders = []
    for pool in pools:
        rows = pool.rows(layers)
        orders.append(rows[np.argsort(-pool.importance_n[rows], kind="stable")])
    yield from _in_turn(pools, orders)


def by_score(pools: Sequence[Pool], scores: Sequence[np.ndarray], layers: Collection[int] = ()) -> Iterator[str]:
    """The lowest score of the automatic label first: `scores` by row for each pool, comparable; NaN is left out."""
    found = []
    for at, (pool, score_n) in enumerate(zip(pools, scores, strict=True)):
        rows = pool.rows(layers)
        found.append((np.full(len(rows), at), rows, np.asarray(score_n, float)[rows]))
    if not found:
        return
    kinds, rows, values = (np.concatenate(column) for column in zip(*found, strict=True))
    for n in np.argsort(values, kind="stable"):
        if np.isfinite(values[n]):
            yield pools[int(kinds[n])].address(int(rows[n]))


def at_random(pools: Sequence[Pool], seed: int, layers: Collection[int] = ()) -> Iterator[str]:
    """Every unit as likely as every other, the same order for the same seed."""
    rows = [pool.rows(layers) for pool in pools]
    ends = np.cumsum([len(each) for each in rows])
    for n in np.random.default_rng(seed).permutation(int(ends[-1]) if len(ends) else 0):
        at = int(np.searchsorted(ends, n, "right"))
        yield pools[at].address(int(rows[at][n - (ends[at - 1] if at else 0)]))


def disagreements(standings: Mapping[About, Standing]) -> list[About]:
    """The ends that annotators say different things of; those that more of them judged first."""
    found = [about for about, standing in standings.items() if standing.state == "disputed"]
    return sorted(found, key=lambda about: (-len(standings[about].by), about))


def with_ends(addresses: Iterable[str], both: bool) -> Iterator[About]:
    """The + end of each unit, or both its ends; a concept, whose address has a colon, is labelled as a whole."""
    for address in addresses:
        if ":" in address:
            yield address, ""
        else:
            yield address, "+"
            if both:
                yield address, "-"


def listed(text: str, known: Callable[[str], str], both: bool) -> tuple[list[About], list[str]]:
    """A pasted list: addresses between spaces, commas, semicolons or line breaks, each with a + or - for one end
    ("L3.H2-") or without (see `with_ends`); no end twice. `known` gives the canonical address of one that is here and
    raises UnitscopeError for any other. Returns the queue, and what was refused."""
    found: dict[About, None] = {}
    refused = []
    for piece in filter(None, _BETWEEN.split(text)):
        end = "+" if piece[-1] == "+" else "-" if piece[-1] in _MINUS else ""
        try:
            address = known(check_address(piece[: len(piece) - len(end)]))
        except UnitscopeError:
            refused.append(piece)
            continue
        named = ":" not in address and end
        found |= dict.fromkeys([(address, end)] if named else with_ends([address], both))
    return list(found), refused


def wanted(state: State, me: str | None) -> Callable[[Standing], bool]:
    """Whether an end with this standing passes the filter `state`, for annotator `me`."""
    if state == "todo":
        return lambda standing: not said(standing, me)
    if state == "mine":
        return lambda standing: said(standing, me)
    if state in STATES:
        return lambda standing: standing.state == state
    return lambda standing: True


def said(standing: Standing, me: str | None) -> bool:
    """Whether `me` said something of it; to skip it is to say nothing."""
    event = standing.by.get(me or "")
    return event is not None and event.kind != "skip"


def kept(
    order: Iterable[About], standings: Mapping[About, Standing], state: State, me: str | None, most: int = MOST
) -> list[About]:
    """The first `most` of an order that pass the filter."""
    passes, nothing = wanted(state, me), Standing()
    return list(islice((about for about in order if passes(standings.get(about, nothing))), most))


def only_said(state: State) -> bool:
    """Whether the filter lets through only ends of which something stands, so that the others need not be looked at."""
    return state not in ("any", "todo", "open")


def done(queue: Sequence[About], standings: Mapping[About, Standing], me: str | None) -> set[int]:
    """The places of a queue of which `me` said anything, a skip too: who comes back goes on after them."""
    return {at for at, about in enumerate(queue) if about in standings and (me or "") in standings[about].by}


def resume(size: int, passed: Collection[int], start: int = 0) -> int | None:
    """The first place at or after `start`, else from the beginning, that is not in `passed`; None if all are."""
    return next((at for at in (*range(start, size), *range(start)) if at not in passed), None)


def pace(times: Sequence[int], pause_s: float = 300) -> float | None:
    """Labels an hour from the times (microseconds) of one's labels, pauses longer than `pause_s` left out; None before
    the third."""
    steps = [(b - a) / 1e6 for a, b in pairwise(times)]
    worked = [step for step in steps if step <= pause_s]
    return 3600 * len(worked) / max(sum(worked), 1e-3) if len(worked) > 1 else None


def shared_name(last: Event | None, desk: str, now: int, hours: float = 8) -> bool:
    """Whether the last word under this name came from another desk (a browser's token in the event's evidence) within
    the last hours: then two people may use one name. Times in microseconds."""
    if last is None or now - last.at > hours * 3_600e6:
        return False
    other = last.evidence.get("desk")
    return isinstance(other, str) and bool(desk) and other != desk


def _in_turn(pools: Sequence[Pool], orders: Sequence[np.ndarray]) -> Iterator[str]:
    for n in range(max(map(len, orders), default=0)):
        for pool, order in zip(pools, orders, strict=True):
            if n < len(order):
                yield pool.address(int(order[n]))
