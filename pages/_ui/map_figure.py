"""The figure of the map of all units: a point each, coloured by what the visitor chose."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from core.store import Store
from core.store.unit_map import Population

WORDS = 11
OTHER = "other"
_EMPTY = """a an the of in on at with and or to from by for is are as it its this that over under near between into some
picture photo image one two three four five"""
_LEFT_OUT = frozenset(_EMPTY.split())
_SYMBOLS = {"head": "diamond", "neuron": "circle", "pair": "cross-thin-open"}
_SIZES = {"head": 11, "neuron": 5, "pair": 5}


@dataclass(frozen=True)
class Points:
    """The units of a map, in its order: address, kind, layer (None: a ResNet's) and automatic label of each."""

    address: list[str]
    kind: list[str]
    layer: list[int | None]
    label: list[str]


def points(store: Store, units: Population) -> Points:
    """What is said of each unit; of a pair its neuron's layer."""
    made = Points([], [], [], [])
    for kind, rows in units.rows.items():
        for row in rows:
            address = store.units.address(kind, int(row))
            made.address.append(address)
            made.kind.append(kind)
            found = re.match(r"L(\d+)\.", address)
            made.layer.append(int(found[1]) if found else None)
            made.label.append(store.units.label(kind, int(row)))
    return made


def groups(shown: Points, by: str) -> list[str]:
    """The group of each unit by "kind", "layer", or "label": of the most frequent words of the first texts of + ends
    the most frequent that its own has."""
    if by == "kind":
        return list(shown.kind)
    if by == "layer":
        return ["no layer" if layer is None else f"layer {layer}" for layer in shown.layer]
    words = [_words(label) for label in shown.label]
    counts = Counter(word for each in words for word in set(each))
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:WORDS]
    none = lambda label: "not described" if not label else OTHER
    return [
        next((word for word in frequent if word in each), none(label))
        for each, label in zip(words, shown.label, strict=True)
    ]


def _words(label: str) -> list[str]:
    """The words of the first text of a label's + end: what the unit writes against is not what it is about."""
    first = next((text for text in label.casefold().split("; ") if not text.startswith("−")), "")
    return [word for word in re.findall(r"[^\W\d_]{2,}", first) if word not in _LEFT_OUT]


def figure(shown: Points, place_n2: np.ndarray, by: str, score: np.ndarray | None) -> go.Figure:
    """A point each; `score` (n) colours them where `by` is "score", NaN for a unit without one. Heads are larger and
    drawn last. A point's custom data is its number among the units."""
    made = go.Figure()
    kind = np.array(shown.kind)
    if score is not None:
        for name in ("pair", "neuron", "head"):
            has = kind == name
            for at, marker in (
                (np.flatnonzero(has & np.isnan(score)), {"color": "#9aa2a8", "opacity": 0.35}),
                (np.flatnonzero(has & ~np.isnan(score)), _scale(score)),
            ):
                _add(made, shown, place_n2, at, f"{name}s", marker | _mark(name))
        made.update_layout(showlegend=False)
        return made
    group = np.array(groups(shown, by))
    last = {OTHER, "not described", "no layer"}
    order = sorted(set(group), key=lambda name: (name in last, _rank(by, name, group)))
    for place, name in enumerate(order):
        colour = "#9aa2a8" if name in last else COLOURS[place % len(COLOURS)]
        for each in ("pair", "neuron", "head"):
            has = np.flatnonzero((group == name) & (kind == each))
            first = not any(trace.legendgroup == name for trace in made.data)
            _add(made, shown, place_n2, has, str(name), _mark(each) | {"color": colour, "opacity": 0.8}, first)
    made.update_layout(legend={"itemsizing": "constant", "orientation": "h", "y": -0.02, "yanchor": "top", "x": 0})
    return made


COLOURS = ("#1f77b4", "#d95f02", "#2ca25f", "#c2185b", "#7b5cc4", "#a6761d", "#17a2b8", "#e6ab02", "#66a61e", "#8c564b",
           "#e377c2", "#3f51b5")  # fmt: skip


def _rank(by: str, name: str, group: np.ndarray) -> tuple[int, str]:
    """Layers and kinds in their order, words by how many units have them."""
    if by == "layer":
        digits = re.sub(r"\D", "", name)
        return int(digits or -1), name
    if by == "kind":
        return list(_SYMBOLS).index(name), name
    return -int((group == name).sum()), name


def _mark(kind: str) -> dict[str, object]:
    line = {"width": 1} if kind == "pair" else {"width": 0.8 if kind == "head" else 0, "color": "#202428"}
    return {"symbol": _SYMBOLS[kind], "size": _SIZES[kind], "line": line}


def _scale(score: np.ndarray) -> dict[str, object]:
    top = float(np.nanmax(np.abs(score))) if np.isfinite(score).any() else 1.0
    return {"color": score, "colorscale": "Viridis", "cmin": 0.0, "cmax": top or 1.0,
            "colorbar": {"title": {"text": "r", "side": "right"}, "thickness": 10, "len": 0.6}}  # fmt: skip


def _add(
    made: go.Figure, shown: Points, place_n2: np.ndarray, at: np.ndarray, name: str, marker: dict, first: bool = False
) -> None:
    if not len(at):
        return
    if isinstance(marker.get("color"), np.ndarray):
        marker = marker | {"color": marker["color"][at]}
    made.add_scattergl(
        x=place_n2[at, 0], y=place_n2[at, 1], mode="markers", name=name, legendgroup=name, showlegend=first,
        marker=marker, customdata=at.astype(int), text=[_hover(shown, int(n)) for n in at],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _hover(shown: Points, n: int) -> str:
    """Plotly reads a little HTML in hover texts: so there are no brackets and ampersands in ours."""
    label = shown.label[n] if len(shown.label[n]) <= 90 else shown.label[n][:89] + "…"
    safe = (label or "not described").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{shown.address[n].replace('>', '&gt;')}<br>{safe}"


def chosen(points: Sequence[object], size: int) -> list[int]:
    """The numbers of the units that a selection in the browser has, each once, in their order."""
    found = set()
    for point in points:
        value = point.get("customdata") if isinstance(point, dict) else None
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value) and 0 <= value < size:
            found.add(int(value))
    return sorted(found)
