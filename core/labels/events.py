"""One event of the labelling desk. Events are only ever added: a later one of the same annotator about the same end of
the same unit takes an earlier one's place, and an undo takes back the one whose key it names.

The key is made by the client before anything is sent: an event that is sent twice, because nobody saw that it had
arrived, is stored once.
"""

import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from core.errors import InputError, LabelRejected
from core.ids import parse

Kind = Literal["label", "unsure", "skip", "uninterpretable", "undo", "adjudicate"]
KINDS: tuple[Kind, ...] = get_args(Kind)
End = Literal["+", "-", ""]
ENDS: tuple[End, ...] = get_args(End)  # "" for a unit as a whole, such as a concept
MAX_TEXT, MAX_REASON, MAX_NAME, MAX_TAGS, MAX_TAG, MAX_EVIDENCE = 2_000, 2_000, 80, 20, 80, 16_000
MAX_AUTOMATIC = 4_000
MAX_BUNDLE, MAX_MODEL, MAX_QUEUE = 80, 64, 200  # as wide as their columns
SENSES = "|"
"""Between the senses of a polysemantic unit's label: "dogs | stripes"."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # what terminals obey and PostgreSQL refuses
_KEY = re.compile(r"[0-9a-f]{32}")
_CONCEPT = re.compile(
    r"[a-z0-9._-]{1,100}:[^\s.:\0]{1,40}\.N(0|[1-9][0-9]{0,6})"
)  # as core.store.dictionary reads them


@dataclass(frozen=True, slots=True)
class Event:
    """What one annotator said. `seq` and `at` (microseconds since 1970, UTC) are the database's, 0 until it has them.

    `bundle` and `address` say of which unit, `model` (a digest of weights) of which model, so that a bundle made anew
    finds the labels of its units. `text` is the label, its senses apart where it is polysemantic; `confidence` 0 to 1
    or None; `evidence` what was shown (JSON types); `automatic` the automatic label at the time, None in blind mode
    where it was hidden; `reason` an adjudicator's; `undoes` the key that an undo takes back.
    """

    key: str
    annotator: str
    bundle: str
    address: str
    end: End
    kind: Kind
    text: str = ""
    tags: tuple[str, ...] = ()
    confidence: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    automatic: str | None = None
    reason: str = ""
    undoes: str | None = None
    model: str = ""
    queue: str = ""
    blind: bool = False
    seq: int = 0
    at: int = 0

    @property
    def senses(self) -> tuple[str, ...]:
        """The label's meanings; more than one where it was called polysemantic."""
        return tuple(part for part in (piece.strip() for piece in self.text.split(SENSES)) if part)

    @property
    def seen(self) -> frozenset[int]:
        """The images that its annotator was shown, which it was made from. What a file brought in can be anything."""
        images = self.evidence.get("images")
        rows = images.values() if isinstance(images, Mapping) else ()
        ids = (image for row in rows if isinstance(row, list | tuple) for image in row)
        return frozenset(i for i in ids if isinstance(i, int) and not isinstance(i, bool) and i >= 0)

    @property
    def about(self) -> tuple[str, str, str]:
        """The end of the unit that it is about."""
        return self.bundle, self.address, self.end


def new_key() -> str:
    """A key for an event, made where the event is."""
    return uuid.uuid4().hex


def checked(event: Event) -> Event:
    """The event as it will be stored: text in one line, tags without doubles, the address as it is written canonically,
    evidence as JSON has it. `checked(checked(event)) == checked(event)`. LabelRejected, with advice."""
    _one_of("kind", event.kind, KINDS)
    _one_of("end", event.end, ENDS)
    if not _KEY.fullmatch(event.key):
        raise LabelRejected("An event's key is 32 hexadecimal digits, as `new_key` makes them.")
    name = _line("Your name", event.annotator, MAX_NAME)
    if not name:
        raise LabelRejected("Say who you are first: a label belongs to somebody.")
    bundle = _line("The bundle's id", event.bundle, MAX_BUNDLE)
    if not bundle:
        raise LabelRejected("A label names the bundle whose unit it is about.")
    text = _line("The label", event.text, MAX_TEXT)
    reason = _line("The reason", event.reason, MAX_REASON)
    if event.kind in ("label", "adjudicate") and not replace(event, text=text).senses:
        raise LabelRejected("The label is empty. Write a word, or say unsure, skip or uninterpretable.")
    if event.kind == "adjudicate" and not reason:
        raise LabelRejected("Say in a few words why this label was decided on: others will ask.")
    if (event.kind == "undo") != (event.undoes is not None):
        raise LabelRejected("An undo names the event that it takes back, and no other event does.")
    if event.undoes is not None and not _KEY.fullmatch(event.undoes):
        raise LabelRejected("An undo names the event that it takes back by its key, 32 hexadecimal digits.")
    tags = tuple(dict.fromkeys(tag for tag in (_line("A tag", tag, MAX_TAG) for tag in event.tags) if tag))
    if len(tags) > MAX_TAGS:
        raise LabelRejected(f"A label has at most {MAX_TAGS} tags; these are {len(tags)}.")
    confidence = event.confidence if event.confidence is None else float(event.confidence)
    if confidence is not None and not (math.isfinite(confidence) and 0 <= confidence <= 1):
        raise LabelRejected("Confidence is between 0 and 1.")
    return replace(
        event,
        annotator=name,
        bundle=bundle,
        address=check_address(event.address),
        text=text,
        reason=reason,
        tags=tags,
        confidence=confidence,
        evidence=json.loads(evidence_json(event.evidence)),
        automatic=_line("The automatic label", event.automatic or "", MAX_AUTOMATIC) or None,
        model=_line("The model's digest", event.model, MAX_MODEL),
        queue=_line("The queue's name", event.queue, MAX_QUEUE),
        blind=bool(event.blind),
    )


def said(event: Event) -> tuple[object, ...]:
    """Who said what of which end of which unit: of two events with one key, whether they are the same event."""
    return (
        event.annotator, event.bundle, event.address, event.end, event.kind, event.text, event.tags, event.confidence,
        event.reason, event.undoes,
    )  # fmt: skip


def evidence_json(evidence: Mapping[str, Any]) -> str:
    """What was shown as JSON text, the same for the same evidence. LabelRejected for what JSON cannot hold."""
    try:
        text = json.dumps(dict(evidence), ensure_ascii=False, sort_keys=True, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise LabelRejected(f"The record of what was shown cannot be kept as JSON ({str(error)[:80]}).") from None
    if len(text) > MAX_EVIDENCE:
        raise LabelRejected("The record of what was shown is too long to be kept.")
    return text


def check_address(address: str) -> str:
    """A unit's address, or that of a concept (`member:layer.Nunit`), as it is written canonically. LabelRejected."""
    if ":" in address:
        if not _CONCEPT.fullmatch(address.strip()):
            raise LabelRejected(f"{address[:60]!r} is no address of a concept, such as demo-vit:L3.N17.")
        return address.strip()
    try:
        return str(parse(address))
    except InputError as error:
        raise LabelRejected(str(error)) from None


def _line(what: str, text: str, most: int) -> str:
    """Text in one line, bounded. Anything may be in it, HTML and emoji too: it is shown as text, never as HTML."""
    text = text.encode("utf-8", "replace").decode()  # halves of a surrogate pair are no text
    line = " ".join(_CONTROL.sub(" ", text).split())
    if len(line) > most:
        raise LabelRejected(
            f"{what} has {len(line):,} characters; at most {most:,} are kept. Shorten it: nothing is lost."
        )
    return line


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise LabelRejected(f"{value[:40]!r} is no {what} of a label; there are {', '.join(map(repr, known))}.")
