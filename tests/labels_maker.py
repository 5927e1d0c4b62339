"""Events for tests, short to write."""

import random
from typing import Any

from core.labels.events import Event, new_key

BUNDLE, MODEL = "tiny-0123456789ab", "f" * 64


def event(text: str = "dogs", by: str = "ann", of: str = "L1.N3", end: Any = "+", **more: Any) -> Event:
    """A label, unless `kind` says otherwise."""
    kind = more.pop("kind", "label")
    more = {"key": new_key(), "bundle": BUNDLE, "model": MODEL} | more
    return Event(
        annotator=by, address=of, end=end, kind=kind, text=text if kind in ("label", "adjudicate") else "", **more
    )


def undo(of: Event, by: str | None = None, **more: Any) -> Event:
    """Take an event back."""
    return event(by=by or of.annotator, of=of.address, end=of.end, kind="undo", undoes=of.key, bundle=of.bundle, **more)


def many(count: int, units: int, names: int = 8, bundle: str = BUNDLE, seed: int = 0) -> list[Event]:
    """A realistic history: mostly labels, some of them undone, replaced or decided."""
    rng = random.Random(seed)
    made: list[Event] = []
    for i in range(count):
        by, of = f"annotator {i % names}", f"L{rng.randrange(12)}.N{rng.randrange(units)}"
        kind = rng.choices(("label", "unsure", "skip", "uninterpretable", "undo", "adjudicate"), (85, 4, 4, 3, 3, 1))[0]
        if kind == "undo" and made and made[-names:][0].annotator == by and made[-names:][0].kind != "undo":
            made.append(undo(made[-names:][0]))
            continue
        evidence = {
            "plus": [rng.randrange(50_000) for _ in range(16)],
            "minus": [rng.randrange(50_000) for _ in range(16)],
        }
        made.append(
            event(
                f"thing {int(rng.expovariate(1 / 500))} in a place", by, of, rng.choice("+-"), bundle=bundle,
                kind="label" if kind == "undo" else kind, reason="so it is" if kind == "adjudicate" else "",
                evidence=evidence, automatic="a thing, another thing", queue="importance",
            )
        )  # fmt: skip
    return made
