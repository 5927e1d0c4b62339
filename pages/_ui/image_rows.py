"""Rows of a unit's images with their scores, and how the scores are distributed; for heads as for neurons."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.store import Histogram, Hit, Intervals
from pages._ui import grid
from pages._ui.overlays import Overlays
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain


def row(
    opened: Opened, chosen: Chosen[Any], hits: Sequence[Hit], key: str, label: str, overlays: Overlays,
    *, tab: str, size: int = 100, captions: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Images with their scores; a click chooses one and goes to `tab`."""
    digits = 3 if overlays.own and overlays.maps else 4  # two numbers under an image have room for fewer
    scores = [f"{hit.score:.{digits}f}" + (f" +{len(hit.folded)}" if hit.folded else "") for hit in hits]
    shown = [
        f"{text}{overlays.note(hit.image_id, alone=len(hits) == 1)}".strip()
        for hit, text in zip(hits, captions or scores, strict=True)
    ]
    grid.images(
        opened,
        [hit.image_id for hit in hits],
        key=key,
        captions=shown,
        alts=[f"image {hit.image_id}, {caption}".rstrip(", ") for hit, caption in zip(hits, shown, strict=True)],
        overlays=overlays.row([hit.image_id for hit in hits]),
        selected=chosen.view.image,
        size=size,
        label=label,
        on_click=lambda image: chosen.go(image=image, tab=tab),
    )


def intervals(opened: Opened, chosen: Chosen[Any], found: Intervals, key: str, overlays: Overlays, *, tab: str) -> None:
    """A row for each quantile interval, with its bounds and how many images it has."""
    for n, interval in enumerate(found.rows):
        levels = f"{interval.low_level:.0%} to {interval.high_level:.0%}"
        scores = f"scores {interval.low:.4f} to {interval.high:.4f}; {count(interval.count, 'image')}"
        st.markdown(f"**{levels}**  \n:small[:gray[{plain(f'{scores}, {found.sentence(interval)}')}]]")
        row(opened, chosen, interval.hits, f"{key}-interval-{n}", levels, overlays, tab=tab, size=84)


def folded(ends: Sequence[Sequence[Hit]], above: float) -> None:
    """How many near-duplicates the rows above show once."""
    number = sum(len(hit.folded) for end in ends for hit in end)
    if number:
        st.caption(plain(f"{count(number, 'near-duplicate')} (cosine above {above}) shown once, marked +n."))


def histogram(scores: Histogram, title: str) -> go.Figure:
    """How the scores are distributed; `title` names them."""
    middle = (scores.edge_b[:-1] + scores.edge_b[1:]) / 2
    figure = go.Figure(
        go.Bar(x=middle.tolist(), y=scores.count_b.tolist(), hovertemplate="%{x:.4f}: %{y} images<extra></extra>")
    )
    figure.update_xaxes(title=title)
    figure.update_yaxes(title="images")
    figure.update_layout(bargap=0.02)
    return figure
