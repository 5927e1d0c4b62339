"""Which picture the Image page is about: an upload or an image of the bundle, seen first and then read by the model."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from core.errors import InputError
from core.images import decode
from pages._ui import resources, states, thumbs, uploads
from pages._ui.words import plain

if TYPE_CHECKING:
    from core.explain import Explainer, ImageTrace

_SEEN, _TRACES = "_image_seen", "_image_traces"
_KEPT_TRACES = 8
_SIDE = 512


@dataclass(frozen=True)
class Source:
    """A picture that no model has read yet: `address` is for an <img>, `title` plain text, `width` and `height` of the
    file. One of `image` (of the bundle) and `upload` is set."""

    opened: resources.Opened
    title: str
    address: str
    width: int
    height: int
    image: int | None = None
    upload: str | None = None


@dataclass(frozen=True)
class Shown:
    """The picture, the model that read it, and what it read."""

    source: Source
    explainer: "Explainer"
    trace: "ImageTrace"

    @property
    def opened(self) -> resources.Opened:
        return self.source.opened


def look(opened: resources.Opened, image: int | None, upload: str | None) -> Source | None:
    """The upload, or else the image; needs no model. None, and a sentence drawn, if the upload is not here."""
    if not upload:
        info = opened.store.image(int(image or 0))
        if not info.ok:
            raise InputError(f"Image {image} of this bundle could not be decoded ({info.status}): choose another.")
        label = f", {info.label}" if info.label else ""
        title = f"image {info.image_id:,} of the bundle{label}"
        address = thumbs.source(opened, info.image_id)
        return Source(opened, title, address, info.width or 0, info.height or 0, image=info.image_id)
    data = uploads.get(upload)
    if data is None:
        states.empty(
            "This upload is not here",
            "Uploads live in the session of whoever made them, unless they were kept on the server, which ends after "
            f"{uploads.KEEP_DAYS} days. Upload the same file again and this link shows the same view.",
        )
        return None
    # small and decoded once: a rerun does neither again
    seen = st.session_state.setdefault(_SEEN, {})
    if upload not in seen:
        picture = decode(data, uploads.POLICY)
        seen[upload] = (_small(picture), *picture.size)
        while len(seen) > _KEPT_TRACES:
            seen.pop(next(iter(seen)))
    address, width, height = seen[upload]
    return Source(opened, "your upload", address, width, height, upload=upload)


def read(source: Source, explainer: "Explainer") -> Shown:
    """The picture through the model; kept by the session as the model's input and little else."""
    traces = st.session_state.setdefault(_TRACES, {})
    opened = source.opened
    key = (opened.folder, opened.stamp, source.upload or source.image)
    if key not in traces:
        with st.spinner("Reading the image"):
            traces[key] = explainer.read(picture(source))
        while len(traces) > _KEPT_TRACES:
            traces.pop(next(iter(traces)))
    return Shown(source, explainer, traces[key])


def picture(source: Source) -> Image.Image:
    """The picture whole, decoded anew: an upload itself, of the bundle's images the thumbnail."""
    data = uploads.get(source.upload) if source.upload else source.opened.store.thumbnail(int(source.image or 0))
    if not data:
        raise InputError("This picture is gone. Choose another, or upload it again.")
    return decode(data, uploads.POLICY if source.upload else None)


def caption(source: Source, trace: "ImageTrace | None") -> str:
    """What the picture is, and once the model has read it what it made of it, in Markdown."""
    text = f"{plain(source.title[:1].upper() + source.title[1:])}, {source.width} × {source.height} px."
    if trace is None:
        return text
    mode = source.opened.store.bundle.facts["model"]["preprocessing"].get("resize_mode", "shortest")
    middle = " its middle," if mode == "shortest" and source.width != source.height else ""
    text += f" The model sees{middle} {trace.view_yx3.shape[1]} × {trace.view_yx3.shape[0]} pixels"
    if source.image is None:
        return f"{text}."
    stored = source.opened.store.bundle.array("representations")[source.image]
    cosine = float(stored.astype(np.float64) @ trace.unit_o)
    return f"{text} of its thumbnail; its reading has a cosine of {cosine:.4f} with that of the image itself."


def _small(picture: Image.Image) -> str:
    picture = picture.copy()
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return thumbs.data_uri(out.getvalue(), "image/jpeg")
