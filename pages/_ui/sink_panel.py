"""The attention sink of a ResNet's pool: where the class token looks whatever there is, and which neurons make it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.images import decode
from core.store.heads import short_label
from core.store.sink import Sink
from pages._ui import figures, grid, image_sections, linked_table, links, resources, selection, states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen, Reader
from pages._ui.words import count

MEAN = "mean"
REGISTERS = (1, 2, 5, 10, 20, 50)
_LISTED = 12
_CANDIDATES = 12  # images to choose from


@dataclass(frozen=True)
class SinkView:
    """What a page's view needs for the panel: whose attention, the image looked at (-1: the first offered), and how
    many register neurons are set to zero in it."""

    sink_head: str = MEAN
    sink_image: int = -1
    registers: int = 5


def draw(opened: Opened, chosen: Chosen[Any]) -> Sink | None:
    """The section, for a bundle that has it; returns what it shows. The page's view is a SinkView."""
    sink = opened.store.sink
    if sink is None:
        return None
    st.subheader("Attention sink")
    st.write(
        "The class token of an attention pool often looks at one and the same token whatever the image shows. Such a "
        "sink holds nothing of the place it stands at, and a few register neurons drive it. " + told(sink)
    )
    maps, table = st.columns(2, gap="large")
    with maps:
        _map(sink, chosen)
    with table:
        _registers(opened, sink)
    inside = st.expander("Without its register neurons, in one image", expanded=chosen.view.sink_image >= 0)
    with inside, states.calm():
        _live(opened, sink, chosen)
    return sink


def told(sink: Sink) -> str:
    """How constant the sink is, in words; against the share that chance would give."""
    row, column = sink.place
    tokens = len(sink.most_t) - 1
    verdict = (
        "so this pool has a sink"
        if sink.constancy > 0.5
        else "so this pool has no constant sink, and what follows is of the token that comes nearest to one"
    )
    return (
        f"Here the token looked at most, the class token apart, is that of row {row}, column {column} in "
        f"**{sink.constancy:.0%}** of images (by chance {1 / tokens:.0%}), {verdict}; it takes {sink.attention:.1%} of "
        f"the attention (an even share is {1 / (tokens + 1):.1%}). Numbers are {sink.population}."
    )


def heatmap(attention_t: np.ndarray, grid_yx: tuple[int, int], largest: float, mark: tuple[int, int]) -> go.Figure:
    """Attention to the spatial tokens where they lie, the sink marked."""
    values = attention_t[1:].reshape(grid_yx)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=np.arange(grid_yx[1]) + 1,
            y=np.arange(grid_yx[0]) + 1,
            zmin=0,
            zmax=largest,
            colorscale=figures.SEQUENTIAL,
            colorbar={"tickformat": ".1%", "thickness": 12, "nticks": 5, "len": 0.85, "y": 0.45},
            hovertemplate="row %{y}, column %{x}: %{z:.2%}<extra></extra>",
        )
    )
    row, column = mark
    corners = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    figure.add_shape(type="rect", **corners, line={"color": "#d9730e", "width": 3})
    figure.update_xaxes(dtick=1 if grid_yx[1] <= 12 else 2, showgrid=False, constrain="domain")
    figure.update_yaxes(
        dtick=1 if grid_yx[0] <= 12 else 2, autorange="reversed", scaleanchor="x", showgrid=False, constrain="domain"
    )
    return figure


def of_head(attention_ht: np.ndarray, head: str) -> np.ndarray:
    """(t,) of one head, "0" and so on, or the mean over heads."""
    return attention_ht.mean(0) if head == MEAN else attention_ht[int(head)]


def readers(opened: Opened) -> dict[str, Reader]:
    """Of the view's fields."""
    return {
        "sink_head": selection.one_of(*heads(opened.store.sink)),
        "sink_image": selection.integer(-1, opened.store.images.n - 1),
        "registers": selection.one_of(*REGISTERS),
    }


def heads(sink: Sink | None) -> list[str]:
    """What `sink_head` may be."""
    return [MEAN] if sink is None else [MEAN, *map(str, range(len(sink.attention_ht)))]


def _map(sink: Sink, chosen: Chosen[Any]) -> None:
    st.markdown("**Mean attention of the class token**")
    st.selectbox(
        "Head",
        heads(sink),
        format_func=lambda head: "mean over heads" if head == MEAN else f"H{head}",
        **chosen.bound("sink_head"),
    )
    attention_t = of_head(sink.attention_ht, chosen.view.sink_head)
    figure = heatmap(attention_t, sink.grid, float(attention_t[1:].max()), sink.place)
    figures.show(figure, "sink-attention", height=340)
    st.caption(
        f"How to read it: each cell is a place of the image. Outlined: the token looked at most. "
        f"{attention_t[0]:.1%} goes to the class token itself, the mean of all places."
    )


def _registers(opened: Opened, sink: Sink) -> None:
    st.markdown("**Register neurons**")
    found, neurons = sink.registers(_LISTED), opened.store.neurons
    rows = pd.DataFrame([[r.address, r.change, r.signed] for r in found], columns=["neuron", "change", "signed"])
    if neurons is not None:
        rows.insert(1, "label", [short_label(neurons.summary(r.address).label.split("; ")) for r in found])
    linked_table.draw(
        rows,
        "sink-registers",
        "Register neurons",
        lambda row: links.href("neurons", neuron=row["neuron"]) if neurons is not None else "",
        told={
            "change": "mean size of the change of the attention to the sink when the neuron is zero everywhere",
            "signed": "its mean: + for a neuron that draws attention to the sink",
        },
        formats={"change": "{:.2%}", "signed": "{:+.2%}"},
        height="17rem",
    )
    st.caption(
        f"The {len(found)} of {len(sink.order_n):,} neurons whose absence changes the attention to the sink most, in "
        "points of attention; each is set to zero in all tokens before the positional embedding is added."
    )
    if neurons is not None and found:
        first = found[0].address
        hits = neurons.ends(first, 12).plus[:6]
        grid.images(
            opened,
            [hit.image_id for hit in hits],
            key="sink-images",
            size=72,
            label=f"Images of {first}",
            href=lambda image: links.href("image", image=image),
        )
        st.caption(f"Images of largest coefficient of {first}, the first of them.")


def _live(opened: Opened, sink: Sink, chosen: Chosen[Any]) -> None:
    ids = opened.store.random(1, _CANDIDATES)
    image = chosen.view.sink_image if chosen.view.sink_image >= 0 else ids[0]
    st.select_slider(
        "Register neurons set to zero",
        [number for number in REGISTERS if number <= len(sink.order_n)],
        **chosen.bound("registers"),
    )
    shown = ids if image in ids else (image, *ids[:-1])
    grid.images(
        opened, shown, key="sink-choice", size=64, label="Images to look at", selected=image,
        on_click=lambda clicked: chosen.go(sink_image=clicked),
    )  # fmt: skip
    status = resources.explainer_status(opened)
    if status.state != "ready":
        image_sections.wait(opened, status)
        return
    from core.explain.sink import without_neurons  # it brings torch, for which the page need not wait

    data = opened.store.thumbnail(opened.store.images.check_ok(image))
    explainer = resources.explainer(opened)
    trace = explainer.read(decode(data))
    found = without_neurons(explainer, trace, sink.order_n[: chosen.view.registers].tolist())
    before_t, after_t = (of_head(each, chosen.view.sink_head) for each in (found.before_ht, found.after_ht))
    largest = float(max(before_t[1:].max(), after_t[1:].max()))
    sides = zip(st.columns(2, gap="medium"), ("as it is", "without them"), (before_t, after_t), strict=True)
    for at, (place, name, attention_t) in enumerate(sides):
        with place:
            st.markdown(f"**Attention {name}**: {attention_t[sink.token]:.1%} to the sink")
            figures.show(heatmap(attention_t, sink.grid, largest, sink.place), f"sink-live-{at}", height=300)
    whose = "mean over heads" if chosen.view.sink_head == MEAN else f"H{chosen.view.sink_head}"
    st.caption(
        f"Of image {image}, read from its thumbnail; {whose}, both on one scale. Without the first "
        f"{count(chosen.view.registers, 'register neuron')} the attention to the outlined token goes from "
        f"{before_t[sink.token]:.2%} to {after_t[sink.token]:.2%}."
    )
