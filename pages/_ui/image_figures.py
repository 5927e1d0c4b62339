"""Drawings of the Image page: heatmaps over the picture, the waterfall, the scores, heads by tokens.

Blue adds to a cosine and orange takes away, in every drawing. Prompts are cut and escaped: Plotly reads some HTML.
"""

import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from pages._ui.thumbs import data_uri

if TYPE_CHECKING:
    from core.explain import Budget, PromptScore, TokenMatrix

PLUS, MINUS, WHOLE = "#1769d6", "#d95f0e", "#8a8f94"
_NONE = "rgba(128,128,128,0)"  # of a map where nothing is added, on a light page as on a dark one


def picture(view_yx3: np.ndarray, side: int) -> str:
    """What the model saw as a data URI to lay maps over, at most `side` pixels wide; in pale grey, or blue
    patches would be lost in a blue sky, and all of them in the night."""
    image = Image.fromarray(view_yx3).convert("L").point(lambda grey: 90 + 0.6 * grey)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return data_uri(out.getvalue(), "image/jpeg")


def overlay(map_yx: np.ndarray, opacity: float, largest: float | None = None) -> str:
    """A signed map as a transparent PNG, + blue, - orange; full `opacity` (0 to 1) at `largest` (default: its own)."""
    scale = largest or float(np.abs(map_yx).max()) or 1.0
    strength = np.clip(np.abs(map_yx) / scale, 0, 1)
    rgba = np.zeros((*map_yx.shape, 4), np.uint8)
    rgba[..., :3] = np.where((map_yx >= 0)[..., None], _rgb(PLUS), _rgb(MINUS))
    rgba[..., 3] = np.round(255 * opacity * strength)
    rows, columns = map_yx.shape
    # patches stay patches: a smooth map would promise a resolution that is not there
    shown = Image.fromarray(rgba).resize((columns * max(1, 256 // columns), rows * max(1, 256 // rows)), 0)
    out = io.BytesIO()
    shown.save(out, "PNG")
    return data_uri(out.getvalue())


def legend(largest: float) -> str:
    """The scale of an overlay as HTML: its colours and its numbers, nothing else."""
    bar = (
        "display: inline-block; width: min(200px, 40%); height: 10px; border-radius: 3px; margin: 0 8px; "
        f"border: 1px solid rgba(128, 128, 128, 0.5); background: linear-gradient(90deg, {MINUS}, {_NONE}, {PLUS})"
    )
    ends = f"−{largest:.2g}", f"+{largest:.2g}"
    return (
        f'<div style="font-size: 0.8rem" role="img" aria-label="Orange is {ends[0]}, blue is {ends[1]}">'
        f'{ends[0]}<span style="{bar}"></span>{ends[1]}</div>'
    )


def short(text: str, limit: int = 42) -> str:
    """A prompt as an axis label."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return html.escape(shown if len(shown) <= limit else shown[: limit - 1] + "…", quote=False)


def scores(rows: "Sequence[PromptScore]", softmax: bool) -> go.Figure:
    """Bars of the prompts, the largest on top."""
    ordered = sorted(rows, key=lambda row: row.cosine)
    values = [row.probability if softmax else row.cosine for row in ordered]
    bars = go.Bar(
        x=values,
        y=list(range(len(ordered))),  # not the labels: two prompts may be cut to the same one
        orientation="h",
        marker_color=[PLUS if value >= 0 else MINUS for value in values],
        text=[f"{value:.1%}" if softmax else f"{value:+.3f}" for value in values],
        textposition="auto",
        hovertext=[f"{short(row.prompt, 90)}<br>cosine {row.cosine:+.4f}, {row.probability:.2%}" for row in ordered],
        hoverinfo="text",
    )
    figure = go.Figure(bars)
    figure.update_yaxes(tickvals=list(range(len(ordered))), ticktext=[short(r.prompt, 30) for r in ordered])
    figure.update_xaxes(title="probability among these prompts" if softmax else "cosine with the image")
    if softmax:
        figure.update_xaxes(range=[0, 1], tickformat=".0%")
    return figure


def layered(budget: "Budget") -> bool:
    """Whether the heads are of several layers, each of which is then drawn as one bar."""
    return len({row.layer for row in budget.rows if row.kind == "head"}) > 1


def waterfall(budget: "Budget") -> go.Figure:
    """From zero to the cosine, part by part, in the order of the model; heads one by one where there is one layer."""
    rows = budget.by_layer() if layered(budget) else budget.rows
    names = [row.name for row in rows]
    figure = go.Figure(
        go.Waterfall(
            x=[*names, "sum"],
            y=[*(row.value for row in rows), budget.total],
            measure=["relative"] * len(rows) + ["total"],
            increasing={"marker": {"color": PLUS}},
            decreasing={"marker": {"color": MINUS}},
            totals={"marker": {"color": WHOLE}},
            connector={"line": {"width": 0.5, "color": WHOLE}},
            hovertemplate="%{x}: %{delta:+.4f}<br>so far %{y:.4f}<extra></extra>",
        )
    )
    figure.add_hline(y=budget.cosine, line={"dash": "dot", "width": 1, "color": WHOLE})
    figure.update_yaxes(title="cosine so far")
    figure.update_xaxes(tickangle=-60, tickmode="linear" if len(names) < 45 else "auto")
    figure.update_layout(showlegend=False)
    return figure


def tokens(matrix: "TokenMatrix") -> go.Figure:
    """Heads (rows) by tokens (columns); the scale ends at the largest patch, so the class token may lie beyond it."""
    score_nt = matrix.score_nt
    names = ["class", *(f"row {r + 1}, col {c + 1}" for r in range(matrix.grid[0]) for c in range(matrix.grid[1]))]
    largest = float(np.abs(score_nt[:, 1:]).max()) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=score_nt,
            x=list(range(len(names))),
            y=list(matrix.addresses),
            customdata=np.broadcast_to(np.array(names, object), score_nt.shape),
            colorscale=[[0, MINUS], [0.5, _NONE], [1, PLUS]],
            zmin=-largest,
            zmax=largest,
            hovertemplate="%{y}, %{customdata}: %{z:+.5f}<extra></extra>",
            colorbar={"thickness": 10, "title": None},
        )
    )
    step = matrix.grid[1]
    figure.update_xaxes(
        tickvals=[0, *(1 + step // 2 + step * r for r in range(matrix.grid[0]))],  # the middle of each row
        ticktext=["class", *map(str, range(1, matrix.grid[0] + 1))],
        tickangle=0,
        title="token: the class token, then the patches row by row",
    )
    figure.update_yaxes(autorange="reversed", type="category", dtick=1 if len(score_nt) < 33 else None)
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(showgrid=False)
    return figure


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
