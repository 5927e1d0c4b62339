"""Addresses of units: `L22.H8`, `H12`, `L9.N1234`, `N624`, `L9.N1234>L11.H3`, `N624.H12`.

A ViT unit names its layer; a CLIP-ResNet has one attention pool and one neuron layer, so its units don't. An address
sorts by layer, kind and number, and `str(parse(text)) == text` for every canonical text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import AddressError

_SMALL, _LARGE = "(?:0|[1-9][0-9]{0,3})", "(?:0|[1-9][0-9]{0,6})"  # one way to write a number: no 007, no other digits
_PATTERN = re.compile(
    rf"(?:L(?P<nl>{_SMALL})\.)?N(?P<n>{_LARGE})(?:>L(?P<pl>{_SMALL})\.H(?P<ph>{_SMALL})|\.H(?P<rh>{_SMALL}))?"
    rf"|(?:L(?P<hl>{_SMALL})\.)?H(?P<h>{_SMALL})"
)
_EXAMPLES = "a head is L22.H8 or H12, a neuron L9.N1234 or N624, a pair L9.N1234>L11.H3 or N624.H12"


@dataclass(frozen=True, order=True)
class Head:
    """An attention head: `layer` (0-based; None in a ResNet's attention pool) and `head` (0-based)."""

    layer: int | None
    head: int

    def __str__(self) -> str:
        return f"H{self.head}" if self.layer is None else f"L{self.layer}.H{self.head}"


@dataclass(frozen=True, order=True)
class Neuron:
    """An MLP neuron of a ViT layer, or (layer None) a channel of a ResNet's last map."""

    layer: int | None
    neuron: int

    def __str__(self) -> str:
        return f"N{self.neuron}" if self.layer is None else f"L{self.layer}.N{self.neuron}"


@dataclass(frozen=True, order=True)
class Pair:
    """A neuron read by a later head."""

    neuron: Neuron
    head: Head

    def __str__(self) -> str:
        return f"{self.neuron}{'.' if self.head.layer is None else '>'}{self.head}"


Unit = Head | Neuron | Pair


def parse(text: str) -> Unit:
    """Read an address. Raises AddressError, with examples, for anything else than a canonical address."""
    match = _PATTERN.fullmatch(text.strip()) if len(text) <= 64 else None
    if match is None:
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise AddressError(f"{shown!r} is not the address of a unit: {_EXAMPLES}.")
    part = {key: None if value is None else int(value) for key, value in match.groupdict().items()}
    if part["h"] is not None:
        return Head(part["hl"], part["h"])
    assert part["n"] is not None
    neuron = Neuron(part["nl"], part["n"])
    if part["ph"] is not None:
        if neuron.layer is None or part["pl"] is None or part["pl"] <= neuron.layer:
            raise AddressError(f"{text!r} is not a pair: its head must lie in a later layer than its neuron.")
        return Pair(neuron, Head(part["pl"], part["ph"]))
    if part["rh"] is not None:
        if neuron.layer is not None:
            raise AddressError(
                f"{text!r} is not a pair: write L{neuron.layer}.N{neuron.neuron}>L(later).H{part['rh']}."
            )
        return Pair(neuron, Head(None, part["rh"]))
    return neuron


def traced(layers: Iterable[int | None]) -> tuple[int, ...]:
    """Layers as `Tower.trace` numbers them: a ResNet's only one, whose addresses name none, is 0."""
    return tuple(0 if layer is None else layer for layer in layers)


def order(unit: Unit) -> tuple[int, int, int, int, int]:
    """Sort key over units of all kinds: layer, then kind (head, neuron, pair), then numbers."""
    none = -1
    if isinstance(unit, Head):
        return (none if unit.layer is None else unit.layer, 0, unit.head, none, none)
    if isinstance(unit, Neuron):
        return (none if unit.layer is None else unit.layer, 1, unit.neuron, none, none)
    layer, _, neuron, _, _ = order(unit.neuron)
    return (layer, 2, neuron, none if unit.head.layer is None else unit.head.layer, unit.head.head)
