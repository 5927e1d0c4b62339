"""The Image page's section Segment: heatmap, mask and cut-out of a prompt, by heads or by neurons."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from pages._ui import grid, linked_table, links, resources
from pages._ui import image_figures as drawing
from pages._ui.image_prompts import explained
from pages._ui.image_source import Shown
from pages._ui.selection import Chosen
from pages._ui.thumbs import data_uri

if TYPE_CHECKING:
    from core.explain.segments import Segment

BY = {"heads": "Heads", "neurons": "Neurons"}
CUTS = ("mean", *(f"{cut / 100:.2f}" for cut in range(5, 100, 5)))
TOPS = (1, 5, 10, 20, 50, 100, 200, 500, 1000)
_SIDE = 196  # three beside each other on a desktop


def segment(shown: Shown, chosen: Chosen[Any], prompts: tuple[str, ...]) -> Any:
    """The section; returns what it drew."""
    text, _ = explained(chosen, prompts, contrast=False)
    by = _controls(shown, chosen)
    found = _find(shown, chosen, text, by)
    view_yx3, opacity = shown.trace.view_yx3, chosen.view.opacity / 100
    grey = drawing.picture(view_yx3, 448)
    rows = [
        {"src": grey, "overlay": drawing.overlay(found.map_yx, opacity), "caption": "heatmap"},
        {"src": grey, "overlay": tinted(found.mask_yx, opacity), "caption": f"mask, {found.share:.1%} of the picture"},
        {"src": cut_out(view_yx3, found.mask_yx), "overlay": "", "caption": "cut-out"},
    ]
    name = f"where {text[:60]} is, by {by}"
    grid.draw(
        [row | {"id": i, "alt": f"{row['caption']}: {name}"} for i, row in enumerate(rows)],
        key="image-segment",
        size=_SIDE,
        label="Heatmap, mask and cut-out",
    )
    st.html(drawing.legend(float(np.abs(found.map_yx).max())))
    averaged = chosen.view.averaged and shown.opened.store.class_mean() is not None
    st.caption(_method(found, averaged))
    st.download_button(
        "Mask (PNG)",
        data=lambda: mask_png(found.mask_yx),
        file_name="unitscope-mask.png",
        mime="image/png",
        key="image-segment-mask",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
        help="As large as what the model sees: 255 in the mask, 0 around it.",
    )
    if found.neurons:
        _behind(shown, found)
    return found


def _controls(shown: Shown, chosen: Chosen[Any]) -> str:
    """Draws them; by which method the map is to be made."""
    has_neurons = shown.opened.store.neurons is not None
    by = chosen.view.segment if has_neurons else "heads"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if has_neurons:
            st.segmented_control(
                "By", list(BY), format_func=lambda key: BY[key], required=True, width="content",
                **chosen.bound("segment"),
            )  # fmt: skip
        st.select_slider(
            "Cut at",
            CUTS,
            width=220,
            help="The map, stretched from 0 to 1, is cut here. Mean: at its own mean, as the ImageNet-Segmentation "
            "protocol does. For neurons the paper takes 0.50.",
            **chosen.bound("cut"),
        )
        if by == "neurons":
            st.select_slider(
                "Neurons", TOPS, width=220, help="How many are averaged; 200 in the paper.", **chosen.bound("top")
            )
        st.toggle(
            "Less the average class",
            disabled=shown.opened.store.class_mean() is None,
            help="Subtracts the average of the bundle's class prompts from the text, so what is common to all texts "
            "goes: from the map by heads, and from what neurons are chosen by.",
            **chosen.bound("averaged"),
        )
        st.slider("Opacity, %", 10, 100, step=10, width=160, help="Of heatmap and mask.", **chosen.bound("opacity"))
    if not has_neurons:
        st.caption("By the model's heads: this bundle has no neurons that a map could be made by.")
    return by


def _find(shown: Shown, chosen: Chosen[Any], text: str, by: str) -> "Segment":
    from core.explain import segments  # brings torch, which pages that only read bundles need not wait for

    view = chosen.view
    cut = None if view.cut == "mean" else float(view.cut)
    average = shown.opened.store.class_mean() if view.averaged else None
    if by == "neurons":
        live = resources.neuron_explainer(shown.opened)
        return segments.by_neurons(live, shown.trace, text, cut, view.top, average)
    return segments.by_heads(shown.explainer, shown.trace, text, cut, average)


def _method(found: "Segment", averaged: bool) -> str:
    """One sentence on how, one on the scale and the cut."""
    if found.by == "neurons":
        less = " less the average class" if averaged else ""
        how = (
            f"The mean activation of the {len(found.neurons):,} neurons whose direction is most along or against the "
            f"text{less}, patch by patch: blue above zero, orange below."
        )
    else:
        what = "cosine less the classes' average" if averaged else "cosine"
        how = f"What the heads add to the {what} through each patch: blue adds, orange takes away."
    at = f"its mean, {found.cut:.2f}" if found.threshold is None else f"{found.cut:.2f}"
    return (
        f"{how} The mask is this map drawn smoothly at {found.mask_yx.shape[1]} × {found.mask_yx.shape[0]} pixels, "
        f"stretched from 0 to 1, and cut at {at}: {found.share:.1%} of the picture, in blue."
    )


def _behind(shown: Shown, found: "Segment") -> None:
    """The neurons that were averaged, each with a link to its page."""
    table = shown.opened.store.neurons
    assert table is not None
    rows = pd.DataFrame(
        [{"neuron": name, "label": table.summary(name).label, "along the text": value} for name, value in found.neurons]
    )
    linked_table.draw(
        rows, "image-segment-neurons", "The neurons averaged", lambda row: links.href("neurons", neuron=row["neuron"]),
        told={"along the text": "Inner product of its direction with the text, less the average class if that is on."},
        formats={"along the text": "{:+.3f}"}, height="16rem",
    )  # fmt: skip


def tinted(mask_yx: np.ndarray, opacity: float) -> str:
    """A mask as a transparent PNG in the colour of what adds, pixel by pixel, as a data URI."""
    return drawing.overlay(mask_yx.astype(float), opacity, 1.0)


def cut_out(view_yx3: np.ndarray, mask_yx: np.ndarray) -> str:
    """What the model saw where the mask is, transparent elsewhere, as a data URI."""
    alpha_yx1 = np.where(mask_yx, 255, 0).astype(np.uint8)[..., None]
    return data_uri(_png(Image.fromarray(np.concatenate([view_yx3, alpha_yx1], axis=2))))


def mask_png(mask_yx: np.ndarray) -> bytes:
    """A mask as a PNG of one channel: 255 in it, 0 around it."""
    return _png(Image.fromarray(np.where(mask_yx, 255, 0).astype(np.uint8)))


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
