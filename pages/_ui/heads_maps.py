"""Heatmaps over the bundle's images, computed by the live model when asked for, and kept.

The bundle keeps thumbnails, not the images, so the model is shown these: a thumbnail's heatmap is close to the image's
own, not equal to it, and the page says so.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from core.ids import Head, parse
from core.images import decode
from core.store import Hit
from pages._ui import resources, states
from pages._ui.resources import Opened
from pages._ui.thumbs import data_uri

_PLUS, _MINUS = (47, 111, 167), (209, 105, 58)
_ALPHA = 190
NOTE = (
    "Heatmaps are computed now, by the live model, from the bundle's thumbnails. Blue: toward the text; orange: "
    "against it. Each image is scaled by its own largest value."
)


def overlays(opened: Opened, view: Any, text: str, hits: Sequence[Hit]) -> dict[int, str]:
    """A picture to lay over each image, by id; empty while the switch is off."""
    if view.map == "off" or not hits:
        return {}
    st.caption(NOTE)
    ids = list(dict.fromkeys(hit.image_id for hit in hits if hit.image_id >= 0))
    made: dict[int, str] = {}
    with states.calm():  # without a model there are still the images
        resources.explainer(opened)
        bar = st.progress(0.0, text="Heatmaps")
        for n, image in enumerate(ids):
            made[image] = _overlay(opened.name, opened.stamp, str(view.head), view.map, text, image, opened)
            bar.progress((n + 1) / len(ids), text=f"Heatmaps: {n + 1} of {len(ids)}")
        bar.empty()
    return made


@st.cache_data(max_entries=4_000, show_spinner=False)
def _overlay(name: str, stamp: resources.Stamp, head: str, kind: str, text: str, image: int, _opened: Opened) -> str:
    explainer = resources.explainer(_opened)
    data = _opened.store.thumbnail(image)
    if not data:
        return ""
    picture = decode(data)
    read = explainer.read(picture)
    if kind == "all":
        values_yx = explainer.heatmap(read, text).total_yx
    else:
        unit = parse(head)
        assert isinstance(unit, Head)
        found = explainer.heatmap(read, text, layers=[unit.layer or 0])
        values_yx = found.head_lhyx[0, unit.head]
    return data_uri(png(values_yx, picture.width, picture.height))


def png(values_yx: np.ndarray, width: int, height: int) -> bytes:
    """A PNG of the thumbnail's shape, transparent where the value is 0: the map lies over the middle square that the
    model saw, and nothing over what was cropped away."""
    scaled = values_yx / (np.abs(values_yx).max() or 1.0)
    rgba = np.empty((*values_yx.shape, 4), np.uint8)
    rgba[..., :3] = np.where(scaled[..., None] >= 0, _PLUS, _MINUS)
    rgba[..., 3] = (np.abs(scaled) * _ALPHA).round()
    side = min(width, height)
    square = Image.fromarray(rgba, "RGBA").resize((side, side), Image.Resampling.BILINEAR)
    whole = Image.new("RGBA", (width, height))
    whole.paste(square, ((width - side) // 2, (height - side) // 2))
    out = io.BytesIO()
    whole.save(out, "PNG")
    return out.getvalue()
