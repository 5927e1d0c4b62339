"""Checks of bundle.json against its description: used before one is written and after one is read."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from core.bundle.schema import AXES, FIELDS, FieldSpec

_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "object": (dict,),
}


@dataclass(frozen=True)
class Axis:
    """Size of an axis and, where its positions have names, their labels."""

    size: int
    labels: list[Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in bundle.json."""
        return {"size": self.size, "labels": self.labels}


def lookup(document: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted field name. Raises KeyError if it or a section on the way is not there."""
    value: Any = document
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            raise KeyError(name)
        value = value[step]
    return value


def field_problems(document: Mapping[str, Any], specs: tuple[FieldSpec, ...] = FIELDS) -> list[str]:
    """What is missing, mistyped or unknown in bundle.json's fields, each as a phrase; empty if all is well."""
    problems = [text for spec in specs if (text := _problem(document, spec))]
    known = {spec.name for spec in specs}
    sections = {name.split(".")[0] for name in known if "." in name}
    for key, value in document.items():
        if key in sections and isinstance(value, Mapping):
            problems += [f"{key}.{inner} is unknown" for inner in value if f"{key}.{inner}" not in known]
        elif key not in known:
            problems.append(f"{key} is unknown")
    return problems


def _problem(document: Mapping[str, Any], spec: FieldSpec) -> str | None:
    try:
        value = lookup(document, spec.name)
    except KeyError:
        return None if spec.optional else f"{spec.name} is missing"
    kind = spec.kind.removesuffix("?")
    if value is None and (spec.kind.endswith("?") or spec.optional):
        return None
    fits = isinstance(value, _KINDS[kind]) and (kind == "bool" or not isinstance(value, bool))
    if not fits:
        return f"{spec.name} should be of kind {spec.kind}, not {type(value).__name__}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{spec.name} is not finite"
    return None


def parse_axes(document: object, known: Container[str] = AXES) -> dict[str, Axis]:
    """The `axes` of bundle.json, `known` those that it may have. Raises ValueError, saying which axis is malformed."""
    if not isinstance(document, Mapping):
        raise ValueError("axes is not an object")
    axes = {}
    for name, entry in document.items():
        size = entry.get("size") if isinstance(entry, Mapping) else None
        labels = entry.get("labels") if isinstance(entry, Mapping) else None
        named = labels is None or (isinstance(labels, list) and len(labels) == size)
        if name not in known or not isinstance(size, int) or isinstance(size, bool) or size < 0 or not named:
            raise ValueError(f"axis {str(name)[:40]!r} is unknown or has no valid size and labels")
        axes[name] = Axis(size, labels)
    return axes
