"""Heatmaps over the bundle's images, computed by the live model when asked for, and kept.

The bundle keeps thumbnails, not the images, and does not know where these are now. So the model is shown thumbnails: a
thumbnail's heatmap is close to the image's own, not equal to it, and the page says how close.
"""

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import streamlit as st
from PIL import Image

from core.images import decode
from core.store import Hit
from pages._ui import resources, states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.thumbs import data_uri

TOWARD = ("against", "toward")
_PLUS, _MINUS = (23, 105, 214), (217, 95, 14)
_ALPHA = 200
_SIDE = 128  # pixels of an overlay, which the browser stretches; patches stay patches


@dataclass(frozen=True)
class Map:
    """A number for each patch of an image, and one for the class token. `cosine` of the representation of the thumbnail
    with that of the image, which the bundle has."""

    values_yx: np.ndarray
    class_token: float
    width: int
    height: int
    cosine: float

    @property
    def largest(self) -> float:
        return float(np.abs(self.values_yx).max())


class Seen(Protocol):
    """What an explainer says of where a unit is in a picture: a value a patch, and the class token's."""

    @property
    def value_yx(self) -> np.ndarray: ...

    @property
    def class_token(self) -> float: ...


Looked = tuple[Sequence[Seen], np.ndarray]
"""The maps of one picture, and the picture's unit representation."""


class Kept:
    """Maps kept in memory, shared by all sessions; the images without one go through the model together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], tuple[Map, ...]] = OrderedDict()

    def of(
        self, opened: Opened, unit: str, ids: Sequence[int], looks: Callable[[Sequence[Image.Image]], list[Looked]]
    ) -> dict[int, tuple[Map, ...]]:
        """The maps of `unit` in these images of the bundle, by id; images in quarantine are left out."""
        key = lambda image: (opened.name, opened.stamp, unit, image)
        found = {image: self._kept.get(key(image)) for image in ids}
        missing = {i: opened.store.thumbnail(i) for i in ids if found[i] is None}
        pictures = {image: decode(data) for image, data in missing.items() if data}
        if pictures:
            stored = opened.store.bundle.array("representations")
            looked = looks(list(pictures.values()))
            for (image, picture), (maps, unit_o) in zip(pictures.items(), looked, strict=True):
                cosine = float(stored[image].astype(np.float64) @ unit_o)
                made = tuple(Map(m.value_yx, m.class_token, *picture.size, cosine) for m in maps)
                found[image] = self._kept[key(image)] = made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return {image: made for image, made in found.items() if made is not None}


@dataclass(frozen=True)
class Overlays:
    """The heatmaps of the images on a page, by id; none while the switch is off. `own`: each is drawn on its own scale,
    otherwise a row has one. `mode`: how the model's preprocessing makes an image square. `ends`: words for − and +."""

    maps: Mapping[int, Map] = field(default_factory=dict)
    own: bool = False
    mode: str = "shortest"
    ends: tuple[str, str] = TOWARD

    def row(self, images: Sequence[int]) -> dict[int, str]:
        """A picture to lay over each of a row's images; draws the row's scale, which one image alone has as a note."""
        shown = {image: self.maps[image] for image in images if image in self.maps}
        if not shown:
            return {}
        scale = None if self.own else max(found.largest for found in shown.values())
        if scale is not None and len(shown) > 1:
            _bar(f"−{scale:.2g} {self.ends[0]}", f"+{scale:.2g} {self.ends[1]}")
        return {
            image: data_uri(png(found.values_yx, found.width, found.height, scale, self.mode))
            for image, found in shown.items()
        }

    def note(self, image: int, *, alone: bool) -> str:
        """For a caption: the image's own scale, where it has one."""
        return f" ±{self.maps[image].largest:.2g}" if (self.own or alone) and image in self.maps else ""


def controls(chosen: Chosen[Any], kinds: Mapping[str, str], label: str, told: str) -> None:
    """Which heatmaps (`kinds`: "off" and others, with names), and on which scale."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            label,
            list(kinds),
            format_func=lambda kind: kinds[kind],
            required=True,
            width="content",
            help=told,
            **chosen.bound("map"),
        )
        if chosen.view.map != "off":
            st.toggle(
                "Each on its own scale",
                help="Off: images under one bar share its scale, so that strong and weak maps differ. On: each image's "
                "largest value in full colour, and its value under the image.",
                width="content",
                **chosen.bound("own"),
            )


def over(
    opened: Opened, view: Any, hits: Sequence[Hit], make: Callable[[Sequence[int]], Mapping[int, Map]], unit: str,
    ends: tuple[str, str] = TOWARD, at_once: int = 1, told: bool = True,
) -> Overlays:  # fmt: skip
    """The heatmaps of these images, made by `make` (which keeps them) for `at_once` images at a time, with a word on
    what they are: `unit`, unless not `told`, for the page has said it already. Images without one are left out."""
    if view.map == "off" or not hits:
        return Overlays()
    ids = list(dict.fromkeys(hit.image_id for hit in hits if hit.image_id >= 0))
    maps: dict[int, Map] = {}
    with states.calm():  # without a model there are still the images
        resources.explainer(opened)
        place = st.empty()
        bar = place.progress(0.0, text="Heatmaps")
        for n in range(0, len(ids), at_once):
            maps |= make(ids[n : n + at_once])
            done = min(n + at_once, len(ids))
            bar.progress(done / len(ids), text=f"Heatmaps: {done} of {len(ids)}")
        place.empty()
    if not maps:
        return Overlays()
    if told:
        _about(maps, view.own, unit, ends)
    mode = opened.store.bundle.facts["model"]["preprocessing"].get("resize_mode", "shortest")
    return Overlays(maps, view.own, mode, ends)


def read(opened: Opened, image: int) -> tuple[Any, tuple[int, int], float] | None:
    """A thumbnail through the live model: what it read, the thumbnail's width and height, and the cosine with what it
    had read in the image itself. None for an image in quarantine."""
    data = opened.store.thumbnail(image)
    if not data:
        return None
    picture = decode(data)
    trace = resources.explainer(opened).read(picture)
    stored = opened.store.bundle.array("representations")[image].astype(np.float64)
    return trace, picture.size, float(stored @ trace.unit_o)


def _about(maps: Mapping[int, Map], own: bool, unit: str, ends: tuple[str, str]) -> None:
    """What the maps were made from, and how they are scaled."""
    if own:
        _bar(*(f"{sign} {word}".strip() for sign, word in zip("−+", ends, strict=True)))
    sizes = max(max(found.width, found.height) for found in maps.values())
    scaled = (
        "Each image has its own scale, ± the number under it" if own else "The images under one bar share its scale"
    )
    st.caption(
        f"{scaled}; {unit}, patch by patch. Computed now from the bundle's thumbnails (at most "
        f"{sizes} px): a bundle keeps no images. The model's reading of these {len(maps)} thumbnails has a cosine of "
        f"at least {min(found.cosine for found in maps.values()):.3f} with its reading of the images themselves."
    )


def _bar(low: str, high: str) -> None:
    """A colour bar between two words of ours."""
    minus, plus = (f"rgba({r}, {g}, {b}, {_ALPHA / 255:.2f})" for r, g, b in (_MINUS, _PLUS))
    style = (
        "display: inline-block; width: min(160px, 35%); height: 8px; border-radius: 3px; margin: 0 8px; "
        "border: 1px solid rgba(128, 128, 128, 0.5); "
        f"background: linear-gradient(90deg, {minus}, rgba(0, 0, 0, 0), {plus})"
    )
    st.html(
        f'<div style="font-size: 0.75rem; opacity: 0.85" role="img" aria-label="Colours from {low} to {high}">'
        f'{low}<span style="{style}"></span>{high}</div>'
    )


def png(values_yx: np.ndarray, width: int, height: int, scale: float | None = None, mode: str = "shortest") -> bytes:
    """A PNG for the middle square of a thumbnail, which is what a grid shows of it: transparent where the value is 0,
    in full colour at `scale` (default: the largest). `mode` is how the model's preprocessing makes an image square:
    "shortest" crops it to the same middle square, "squash" bends it, "longest" pads it."""
    scaled = np.clip(values_yx / (scale or np.abs(values_yx).max() or 1.0), -1, 1)
    rgba = np.empty((*values_yx.shape, 4), np.uint8)
    rgba[..., :3] = np.where(scaled[..., None] >= 0, _PLUS, _MINUS)
    rgba[..., 3] = (np.abs(scaled) * _ALPHA).round()
    short, long = min(width, height), max(width, height)
    seen = {"squash": (width, height), "longest": (long, long)}.get(mode, (short, short))
    size = [max(1, round(each * _SIDE / short)) for each in seen]
    left, top = ((each - _SIDE) // 2 for each in size)
    # patches stay patches: a smooth map would promise a resolution that is not there
    placed = Image.fromarray(rgba).resize((size[0], size[1]), Image.Resampling.NEAREST)
    out = io.BytesIO()
    placed.crop((left, top, left + _SIDE, top + _SIDE)).save(out, "PNG", compress_level=1)
    return out.getvalue()
