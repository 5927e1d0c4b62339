"""Labels by hand for the leaderboard: those that stand, with the images that were shown when they were given."""

from collections.abc import Mapping
from typing import Any

from core.labels.ledger import Ledger
from core.leaderboard.board import Hand


def standing_labels(ledger: Ledger) -> tuple[Hand, ...]:
    """The current label of every end that has one, adjudicated or agreed on."""
    labels = ((about, standing.label) for about, standing in ledger.all().items())
    return tuple(
        Hand(address, end or "+", event.senses, shown_images(event.evidence))
        for (address, end), event in labels
        if event is not None and ":" not in address
    )


def shown_images(evidence: Mapping[str, Any]) -> tuple[int, ...]:
    """The images that a label's record of what was shown names: the whole numbers in the lists of its "images"."""
    found: list[int] = []

    def look(value: Any, inside: bool) -> None:
        if isinstance(value, Mapping):
            for item in value.values():
                look(item, inside)
        elif isinstance(value, list | tuple):
            for item in value:
                look(item, True)
        elif inside and isinstance(value, int) and not isinstance(value, bool):
            found.append(value)

    look(evidence.get("images", ()), False)
    return tuple(dict.fromkeys(found))
