"""Charts of the Rosetta pages."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.store.dictionary_answers import Concept, LayerShare
from pages._ui import figures
from pages._ui.image_figures import short

_BAR = {"thickness": 10, "len": 0.86, "y": 0.43}  # below the camera's corner


def correlations(concept: Concept, corr_nn: np.ndarray) -> go.Figure:
    """Units by units, from -1 to 1."""
    names = [short(unit.address, 34) for unit in concept.members]
    places = list(range(len(names)))
    figure = go.Figure(
        go.Heatmap(
            z=np.asarray(corr_nn, float),
            x=places,
            y=places,
            zmin=-1,
            zmax=1,
            colorscale=figures.DIVERGING,
            customdata=[[f"{a} with {b}" for b in names] for a in names],
            hovertemplate="%{customdata}: %{z:+.3f}<extra></extra>",
            texttemplate="%{z:.2f}" if len(names) <= 10 else None,
            colorbar=_BAR,
        )
    )
    figure.update_xaxes(tickvals=places, ticktext=names, tickangle=-60, showgrid=False, zeroline=False)
    figure.update_yaxes(tickvals=places, ticktext=names, autorange="reversed", showgrid=False, zeroline=False)
    return figure


def overall(
    shares: Mapping[tuple[str, str], Sequence[LayerShare]],
    members: Sequence[str],
    most: Mapping[tuple[str, str], float],
) -> go.Figure:
    """For each pair of models, the share of the one's living units with a partner in the other, and the `most` that
    can have one."""
    share_mm = [[None if a == b else whole(shares[a, b]) for b in members] for a in members]
    largest = max((value for row in share_mm for value in row if value is not None), default=0)
    names = [short(name, 24) for name in members]
    figure = go.Figure(
        go.Heatmap(
            z=share_mm,
            x=names,
            y=names,
            zmin=0,
            zmax=largest or 1,
            colorscale=figures.SEQUENTIAL,
            customdata=[[bound(most.get((a, b), 0)) for b in members] for a in members],
            text=[
                [
                    "" if value is None else f"{value:.1%}" + (f"<br>≤ {bound(most[a, b])}" if most[a, b] < 1 else "")
                    for b, value in zip(members, row, strict=True)
                ]
                for a, row in zip(members, share_mm, strict=True)
            ],
            texttemplate="%{text}",
            hovertemplate="%{z:.1%} of the units of %{y} have a partner in %{x}; at most %{customdata} can"
            "<extra></extra>",
            colorbar=_BAR | {"tickformat": ".0%"},
        )
    )
    figure.update_xaxes(title="have a partner in", showgrid=False, type="category")
    figure.update_yaxes(title="units of", autorange="reversed", showgrid=False, type="category")
    return figure


def bound(most: float) -> str:
    """As exact as the share beside it."""
    return f"{most:.1%}".replace(".0%", "%")


def by_layer(shares: Mapping[str, Sequence[LayerShare]], reference: frozenset[str]) -> go.Figure:
    """Bars for the layers of one model: the share of living units with a partner in each other model. Models of the
    `reference` (the same architecture from another seed) are hatched."""
    figure = go.Figure()
    for name, layers in shares.items():
        figure.add_bar(
            x=[layer.layer for layer in layers],
            y=[layer.share for layer in layers],
            name=short(name, 24) + (" (other seed)" if name in reference else ""),
            marker_pattern_shape="/" if name in reference else "",
            customdata=[[layer.partnered, layer.alive, layer.median_r] for layer in layers],
            hovertemplate="%{x}: %{y:.1%}, %{customdata[0]:,} of %{customdata[1]:,} living units; median of their best "
            "r %{customdata[2]:.2f}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": -0.2})
    figure.update_xaxes(type="category", title="layer")
    figure.update_yaxes(title="share with a partner", tickformat=".0%", rangemode="tozero")
    return figure


def depths(layers: Sequence[LayerShare], other: Sequence[tuple[str, float]]) -> tuple[go.Figure, np.ndarray]:
    """Where the partners of each layer's units sit among the `other` model's layers (name, depth): the figure, and the
    shares (other layer, layer), each column of which sums to 1 where there are any."""
    depth_o = np.array([depth for _, depth in other])
    count_ol = np.zeros((len(other), len(layers)), int)
    for at, layer in enumerate(layers):
        if len(layer.partner_depth):
            nearest = np.abs(np.asarray(layer.partner_depth)[:, None] - depth_o).argmin(1)
            count_ol[:, at] = np.bincount(nearest, minlength=len(other))
    share_ol = count_ol / np.maximum(1, count_ol.sum(0))
    figure = go.Figure(
        go.Heatmap(
            z=share_ol,
            x=[layer.layer for layer in layers],
            y=[name for name, _ in other],
            zmin=0,
            zmax=1,
            colorscale=figures.SEQUENTIAL,
            text=count_ol,
            texttemplate="%{text}",
            hovertemplate="%{text:,} units of %{x} have their best partner in %{y}: %{z:.0%} of those with one"
            "<extra></extra>",
            colorbar=_BAR | {"tickformat": ".0%"},
        )
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False)
    return figure, count_ol


def sharing(counts: Mapping[int, int], members: int) -> go.Figure:
    """Concepts by the number of models that share them."""
    models = list(range(2, members + 1))
    figure = go.Figure(
        go.Bar(
            x=[str(n) for n in models],
            y=[counts.get(n, 0) for n in models],
            text=[f"{counts.get(n, 0):,}" for n in models],
            textposition="auto",
            hovertemplate="%{y:,} concepts in %{x} models<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", title="models, the hub included")
    figure.update_yaxes(title="concepts")
    return figure


def whole(layers: Sequence[LayerShare]) -> float | None:
    """The share of a model's living units with a partner; None where none lives."""
    alive = sum(layer.alive for layer in layers)
    return sum(layer.partnered for layer in layers) / alive if alive else None
