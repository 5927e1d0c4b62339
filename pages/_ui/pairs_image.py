"""One pair in one image, computed now: its coefficient, and patch by patch what it, its neuron and its head do."""

from typing import Any

import numpy as np
import streamlit as st

from core.store.pair_answers import PairSummary
from core.store.pairs import PairTable
from pages._ui import grid, image_choose, image_source, overview_entry, resources, selection
from pages._ui import image_figures as drawing
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

SIZE = 170


def draw(opened: Opened, chosen: Chosen[Any], table: PairTable, summary: PairSummary) -> dict[str, Any]:
    """The tab; returns what it drew."""
    view = chosen.view
    with st.expander("An image of your own", icon=":material/upload:", expanded=bool(view.upload)):
        image_choose.upload(chosen)
    first = table.largest(summary.address, 1)
    image = view.image if view.image is not None else first[0].image_id if first else 0
    source = image_source.look(opened, image, view.upload)
    if source is None:
        return {}
    shown = image_source.read(source, resources.explainer(opened))
    found = resources.pair_explainer(opened).read(shown.trace, summary.address)
    st.markdown(f"**x = {found.coefficient:+.4f}**, {plain(place(table, summary, found.coefficient))}.")
    picture = drawing.picture(shown.trace.view_yx3, SIZE)
    units = {summary.address: found.pair, summary.neuron: found.neuron, summary.head: found.head}
    rows = []
    for at, (kind, (address, value)) in enumerate(zip(("Pair", "Neuron", "Head"), units.items(), strict=True)):
        name, top = f"{kind} {address}", float(np.abs(value.value_yx).max())
        shade = drawing.overlay(value.value_yx, 0.8, top)
        rows.append({"id": at, "src": picture, "overlay": shade, "caption": f"{name}\n±{top:.2g}", "alt": name})
    grid.draw(rows, key="pairs-image", size=SIZE, label="The pair, its neuron and its head in this image")
    st.caption(image_source.caption(source, shown.trace))
    st.caption(
        plain(
            "Each map on its own scale, the number under it; blue toward, orange against. Pair: what it adds along its "
            f"direction from each patch, and {found.pair.class_token:+.4f} from the class token; all of it sums to x "
            f"and its mean over the images. Neuron: its activation ({found.neuron.class_token:+.3f} at the class "
            "token). Head: what the whole head adds along the pair's direction, of which the pair's is a part "
            f"({found.head.class_token:+.4f} from the class token).",
            900,
        )
    )
    if source.image is not None:
        st.page_link(
            overview_entry.target("image", "Image"),
            label="All that happens in it",
            icon=":material/image:",
            query_params=selection.query(image=source.image, tab="neurons"),
        )
    return {"image": source.image, "upload": source.upload, "in_image": found}


def place(table: PairTable, summary: PairSummary, x: float) -> str:
    """Where a coefficient stands among those of the measured images."""
    inner = [(level, value) for level, value in table.quantiles(summary.address) if 0 < level < 1]
    below = [f"{100 * level:g} %" for level, value in inner if value <= x]
    above = [f"{100 * level:g} %" for level, value in inner if value > x]
    if not below or not above:
        return f"above the {below[-1]} quantile of the images" if below else f"below the {above[0]} quantile"
    return f"between the {below[-1]} and the {above[0]} quantile of the images"
