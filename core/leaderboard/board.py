"""The table that the leaderboard is: rows of methods with intervals, and what each method calls each unit."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.methods.label_leaderboard import mean_over_units
from core.methods.label_scores import Estimate

_VERSION = 1  # of the numbers: a table that was kept by another version is made anew


@dataclass(frozen=True)
class Hand:
    """A label by hand: `texts` are its senses, `shown` the images that whoever gave it saw."""

    address: str
    end: str
    texts: tuple[str, ...]
    shown: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """How a method does for one kind of units: means over `units` with 95 % intervals; `over_random` of its Pearson
    less that of random texts for the same units."""

    kind: str
    method: str
    units: int
    pearson: Estimate
    auprc: Estimate
    f1: Estimate
    auroc: Estimate
    over_random: Estimate


@dataclass(frozen=True)
class Labelled:
    """What a method calls one unit, and its Pearson correlation; NaN where it calls it nothing."""

    kind: str
    address: str
    end: str
    method: str
    text: str
    pearson: float


@dataclass(frozen=True)
class Board:
    """The table. `images` of half B, for each kind; `counts` units drawn of each kind, of how many; `hand` digests the
    labels by hand, of which `unread` could not be embedded."""

    bundle: str
    units: int
    seed: int
    images: Mapping[str, int]
    counts: Mapping[str, tuple[int, int]]
    rows: tuple[Row, ...]
    labels: tuple[Labelled, ...]
    hand: str = ""
    unread: int = 0

    def difference(self, kind: str, first: str, second: str) -> Estimate:
        """Mean over units, with interval, of one method's Pearson less another's for the same unit and end."""
        of = lambda method: {(x.address, x.end): x.pearson for x in self.labels if (x.kind, x.method) == (kind, method)}
        ours, theirs = of(first), of(second)
        both = [value - theirs[unit] for unit, value in ours.items() if unit in theirs]
        return mean_over_units(np.array(both), self.seed)

    def to_json(self) -> str:
        return json.dumps({"version": _VERSION} | asdict(self))

    @staticmethod
    def from_json(text: str) -> "Board | None":
        """None for what another version wrote, or nobody."""
        try:
            told = json.loads(text)
            if told.pop("version") != _VERSION:
                return None
            numbers: Any = lambda row: {k: Estimate(**v) if isinstance(v, dict) else v for k, v in row.items()}
            told["rows"] = tuple(Row(**numbers(row)) for row in told["rows"])
            told["labels"] = tuple(Labelled(**row) for row in told["labels"])
            told["images"] = {kind: int(images) for kind, images in told["images"].items()}
            told["counts"] = {kind: (int(a), int(b)) for kind, (a, b) in told["counts"].items()}
            return Board(**told)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def digest(hand: Sequence[Hand]) -> str:
    """Names a set of labels by hand; "" for none."""
    told = sorted((one.address, one.end, *one.texts, "", *map(str, one.shown)) for one in hand)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16] if told else ""
