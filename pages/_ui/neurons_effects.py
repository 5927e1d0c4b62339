"""What one neuron does in one image for one prompt, computed now: directly, through later heads, and by its absence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store import Hit
from pages._ui import figures, image_rows, linked_table, links, overlays, overview_entry, resources, selection
from pages._ui.image_figures import MINUS, PLUS
from pages._ui.neurons_maps import ENDS
from pages._ui.neurons_view import MOST_CHARACTERS
from pages._ui.overlays import Map, Overlays
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

if TYPE_CHECKING:
    from core.explain.neuron_answers import Effects

NAMES = ("direct", "second order", "second order less its mean", "indirect")
TOLD = {
    "direct": "What it writes at the class token itself, read out as it is (first order, the logit lens).",
    "second order": "What all later heads together carry from it to the output, with attention as it is.",
    "second order less its mean": "The part of that which is this image's own, and not the same in every image.",
    "indirect": "What the cosine loses if its activation is replaced by its mean and the rest of the model runs on: "
    "everything that follows from it, later MLPs and changed attention included.",
}


def draw(opened: Opened, chosen: Chosen[Any]) -> dict[str, Any]:
    """The tab; returns what it drew."""
    store, table, address = opened.store, opened.store.neurons, str(chosen.view.neuron)
    assert table is not None
    first = table.ends(address, 1).plus[0].image_id
    image = first if chosen.view.image is None else chosen.view.image
    info = store.image(image)
    prompt = chosen.view.prompt or _prompt(opened, address)
    key = "neurons-prompt"
    st.session_state[key] = prompt
    st.text_input(
        "Prompt", key=key, max_chars=MOST_CHARACTERS,
        on_change=lambda: chosen.go(prompt=st.session_state[key].strip()),
        help="Effects are on its cosine with the image. At first the neuron's own first text.",
    )  # fmt: skip
    looked = overlays.read(opened, image)
    if looked is None:
        st.warning(f"Image {image} could not be used when this bundle was made: choose another.")
        return {}
    trace, size, cosine = looked
    with st.spinner("Running the model"):
        live = resources.neuron_explainer(opened)
        found = live.effects(trace, address, prompt)
        where = live.activation_map(trace, address)
        norm, coefficient = live.scores(trace, address)
    maps = Overlays({image: Map(where.value_yx, where.class_token, *size, cosine)}, ends=ENDS)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        with st.container(width=150):
            image_rows.row(
                opened, chosen, (Hit(image, 0.0),), "neurons-image", "The image", maps, tab="effects", size=140,
                captions=["activation"],
            )  # fmt: skip
        with st.container(width="stretch", gap="xsmall"):
            st.markdown(f"**Image {image}**" + (f", {plain(info.label)}" if info.label else ""))
            threshold = table.summary(address).threshold
            state = "active" if norm > threshold else "not active"
            st.caption(
                plain(
                    f"Coefficient {coefficient:+.4f}, length of its effect {norm:.4f}: {state} here (threshold "
                    f"{threshold:.4f}). Largest activation {where.value_yx.max():.3f}, at the class token "
                    f"{where.class_token:.3f}. From the thumbnail, whose reading has a cosine of {cosine:.3f} with "
                    "that of the image. Choose another image under Both ends."
                )
            )
            st.page_link(
                overview_entry.target("image", "Image"),
                label="All that happens in it",
                icon=":material/image:",
                query_params=selection.query(image=image, tab="neurons"),
            )
    _effects(opened, found)
    return {"image": info, "effects": found, "activation": where, "coefficient": coefficient, "norm": norm}


def _effects(opened: Opened, found: "Effects") -> None:
    every = (found.direct, found.second_order, found.second_order - found.second_order_mean, found.indirect)
    values = {name: value for name, value in zip(NAMES, every, strict=True) if value is not None}
    figures.show(bars(values), "neuron-effects", height=190)
    for name, value in values.items():
        st.markdown(f"**{name.capitalize()} {value:+.5f}**  \n:small[:gray[{plain(TOLD[name])}]]")
    st.caption(
        plain(
            f"One image, one prompt, in units of the cosine. Over the images the second-order effect on this prompt is "
            f"{found.second_order_mean:+.5f} on average. The table has the second order less its mean, by head."
        )
    )
    known = {head.address for head in opened.store.heads()}
    rows = pd.DataFrame(list(found.by_head), columns=["head", "adds"])
    linked_table.draw(
        rows, "neuron-effects-heads", "Second-order effect by later head",
        lambda row: links.href("heads", head=row["head"]) if row["head"] in known else "", formats={"adds": "{:+.5f}"},
    )  # fmt: skip


def bars(by_name: Mapping[str, float]) -> go.Figure:
    """The effects side by side on one scale."""
    names, values = list(by_name), list(by_name.values())
    figure = go.Figure(
        go.Bar(
            x=values[::-1], y=names[::-1], orientation="h",
            marker_color=[PLUS if value >= 0 else MINUS for value in values[::-1]],
            hovertemplate="%{y}: %{x:+.5f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="adds to the cosine")
    figure.update_layout(bargap=0.3)
    return figure


def _prompt(opened: Opened, address: str) -> str:
    """The neuron's own first text."""
    assert opened.store.neurons is not None
    terms = opened.store.neurons.text(address, 1).terms
    return terms[0].text if terms else "a picture"
