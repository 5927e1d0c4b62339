"""What stands of units, by the definition alone: sort all events, leave out the undone, look at each end by itself."""

from collections import Counter
from collections.abc import Sequence

from core.labels.events import Event


def plain_standings(events: Sequence[Event]) -> dict[tuple[str, str], tuple[dict[str, Event], Event | None]]:
    """Of each end each annotator's last word, and the last adjudication."""
    events = list({event.key: event for event in reversed(events)}.values())  # the first of a key
    undone = {(undo.annotator, undo.undoes) for undo in events if undo.kind == "undo"}
    left = [event for event in events if event.kind != "undo" and (event.annotator, event.key) not in undone]
    left.sort(key=lambda event: (event.at, event.key))
    found = {}
    for about in {(event.address, event.end) for event in left}:
        here = [event for event in left if (event.address, event.end) == about]
        by = {}
        for name in {event.annotator for event in here}:
            own = [event for event in here if event.annotator == name and event.kind != "adjudicate"]
            words = [event for event in own if event.kind != "skip"] or own
            if words:
                by[name] = words[-1]
        decisions = [event for event in here if event.kind == "adjudicate"]
        found[about] = by, decisions[-1] if decisions else None
    return found


def plain_state(by: dict[str, Event], decision: Event | None) -> str:
    if decision:
        return "decided"
    labels = [plain_same(event.text) for event in by.values() if event.kind == "label"]
    other = [event.kind for event in by.values()]
    if any(label != labels[0] for label in labels) or (labels and "uninterpretable" in other):
        return "disputed"
    for state, there in (
        ("labelled", labels),
        ("uninterpretable", "uninterpretable" in other),
        ("unsure", "unsure" in other),
    ):
        if there:
            return state
    return "open"


def plain_same(text: str) -> list[str]:
    return sorted(" ".join(sense.casefold().split()) for sense in text.split("|") if sense.strip())


def plain_texts(events: Sequence[Event]) -> list[str]:
    """Senses of labels that stand, the most used first, then by alphabet."""
    uses = Counter(
        sense for by, _ in plain_standings(events).values() for event in by.values() if event.kind == "label"
        for sense in event.senses
    )  # fmt: skip
    return sorted(uses, key=lambda text: (-uses[text], text))


def plain_last(events: Sequence[Event], name: str) -> Event | None:
    undone = {(undo.annotator, undo.undoes) for undo in events if undo.kind == "undo"}
    own = [event for event in events if event.annotator == name and event.kind != "undo"]
    left = [event for event in own if (name, event.key) not in undone]
    return max(left, key=lambda event: (event.at, event.key), default=None)
