"""One row of a file of labels as an event. Values come as text (CSV), as JSON's types, or as Parquet's; a missing one
is None or not there."""

import datetime as dt
import json
import time
from collections.abc import Mapping
from typing import Any

from core.errors import LabelRejected
from core.labels.events import Event, checked

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NEEDED = ("annotator", "at", "bundle", "address", "kind", "key")
_DAY_US = 86_400_000_000


def event_of(row: Mapping[str, Any]) -> Event:
    """The event, checked. LabelRejected with what is wrong."""
    row = {name: value for name, value in row.items() if value is not None}
    missing = [name for name in _NEEDED if row.get(name) == "" or name not in row]
    if missing:
        raise LabelRejected(f"it has no {' and no '.join(missing)}")
    return checked(
        Event(
            key=_text(row, "key"),
            annotator=_text(row, "annotator"),
            bundle=_text(row, "bundle"),
            address=_text(row, "address"),
            end=_text(row, "end"),  # type: ignore[arg-type]  # `checked` says which there are
            kind=_text(row, "kind"),  # type: ignore[arg-type]  # the same
            text=_text(row, "text"),
            tags=_tags(row.get("tags")),
            confidence=_number(row.get("confidence")),
            evidence=_object(row.get("evidence")),
            automatic=_text(row, "automatic") or None,
            reason=_text(row, "reason"),
            undoes=_text(row, "undoes") or None,
            model=_text(row, "model"),
            queue=_text(row, "queue"),
            blind=_truth(row.get("blind")),
            seq=_seq(row.get("seq")),
            at=_time(row["at"]),
        )
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str):
        raise LabelRejected(f"{name} is {str(value)[:40]!r}, which is no text")
    return value


def _parsed(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value else None
    except (ValueError, RecursionError):
        raise LabelRejected(f"{name} is {value[:40]!r}, which is no JSON") from None


def _tags(value: Any) -> tuple[str, ...]:
    tags = _parsed("tags", value) or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise LabelRejected(f'tags is {str(value)[:40]!r}; tags are a list such as ["colour", "texture"]')
    return tuple(tags)


def _object(value: Any) -> dict[str, Any]:
    found = _parsed("evidence", value)
    if found is not None and not isinstance(found, dict):
        raise LabelRejected(f"evidence is {str(value)[:40]!r}, which is no JSON object")
    return found or {}


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise LabelRejected(f"confidence is {str(value)[:40]!r}, which is no number from 0 to 1") from None


def _seq(value: Any) -> int:
    """The number at the other desk: it orders events of one moment, and no more, so that what is none does no harm."""
    return int(value) if str(value).isdecimal() and len(str(value)) < 19 else 0


def _truth(value: Any) -> bool:
    known = {"": False, "none": False, "false": False, "0": False, "true": True, "1": True}
    found = known.get(str(value).strip().casefold())
    if found is None:
        raise LabelRejected(f"blind is {str(value)[:40]!r}; it is true or false")
    return found


def _time(value: Any) -> int:
    """Microseconds since 1970."""
    try:
        when = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
        if when.tzinfo is None:
            raise ValueError
        at = (when - _EPOCH) // dt.timedelta(microseconds=1)
    except (TypeError, ValueError, OverflowError):
        raise LabelRejected(
            f"at is {str(value)[:40]!r}; it is a time with its zone, such as 2026-01-31T15:04:05.123456Z"
        ) from None
    if not 0 < at < time.time_ns() // 1000 + _DAY_US:
        raise LabelRejected(f"at is {str(value)[:40]!r}, which has not come yet or was before 1970")
    return at
