"""Which picture the Image page is about: an upload or an image of the bundle, read by the live model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import InputError, UnitscopeError
from core.images import decode
from pages._ui import keys, resources, states, uploads
from pages._ui.selection import Chosen
from pages._ui.words import plain

if TYPE_CHECKING:
    from core.explain import Explainer, ImageTrace

_TRACES = "_image_traces"
_NOTICE = "_image_notice"
_KEPT_TRACES = 8


@dataclass(frozen=True)
class Shown:
    """The picture and the model that read it. `title` is plain text."""

    opened: resources.Opened
    explainer: "Explainer"
    trace: "ImageTrace"
    title: str
    image: int | None


def read(opened: resources.Opened, image: int | None, upload: str | None) -> Shown | None:
    """The upload, or else the image, through the model. None, and a sentence drawn, if the upload is not here."""
    title, data = _bytes(opened, image, upload)
    if data is None:
        states.empty(
            "This upload is not here",
            "Uploads live in the session of whoever made them, unless they were kept on the server, which ends after "
            f"{uploads.KEEP_DAYS} days. Upload the same file again and this link shows the same view.",
        )
        return None
    explainer = resources.explainer(opened)
    # the model's input and little else: a rerun neither decodes nor resizes again
    traces = st.session_state.setdefault(_TRACES, {})
    key = (opened.folder, opened.stamp, upload or image)
    if key not in traces:
        policy = uploads.POLICY if upload else None
        with st.spinner("Reading the image"):
            traces[key] = explainer.read(decode(data, policy))
        while len(traces) > _KEPT_TRACES:
            traces.pop(next(iter(traces)))
    return Shown(opened, explainer, traces[key], title, None if upload else image)


def _bytes(opened: resources.Opened, image: int | None, upload: str | None) -> tuple[str, bytes | None]:
    if upload:
        return "your upload", uploads.get(upload)
    info = opened.store.image(int(image or 0))
    if not info.ok:
        raise InputError(f"Image {image} of this bundle could not be decoded ({info.status}): choose another.")
    label = f", {info.label}" if info.label else ""
    return f"image {info.image_id:,} of the bundle{label}", opened.store.thumbnail(info.image_id)


def choose(opened: resources.Opened, chosen: Chosen[Any], image: int | None) -> None:
    """Controls: step through the bundle, go to an id, upload."""
    store, last = opened.store, opened.store.facts().images - 1
    at = image if image is not None and chosen.view.upload is None else None
    steps = {
        "previous": at - 1 if at else None,
        "following": at + 1 if at is not None and at < last else None,
        "random": store.random(at + 1 if at is not None else 1)[0],
    }
    go = lambda image: chosen.go(image=image, upload=None)
    keys.stepper(go, **steps, field="image", noun="image")
    st.session_state["image-id"] = at
    st.number_input(
        "Image of the bundle",
        0,
        last,
        key="image-id",
        step=1,
        placeholder=f"0 to {last:,}",
        help="The image's number, as the grids of every page give it.",
        on_change=lambda: go(image=st.session_state["image-id"]),
    )
    st.file_uploader(
        "Or an image of your own",
        type=["jpg", "jpeg", "png", "webp", "gif", "bmp"],
        key="image-upload",
        help="JPEG, PNG, WebP, GIF (first frame) or BMP, up to 10 MB and 24 megapixels. It stays in this session.",
        on_change=lambda: _take(chosen),
    )
    if sentence := st.session_state.pop(_NOTICE, None):
        states.problem(sentence)
    name = chosen.view.upload
    if name and uploads.in_session(name):
        st.session_state["image-keep"] = uploads.kept(name)
        st.checkbox(
            f"Keep it on the server for {uploads.KEEP_DAYS} days",
            key="image-keep",
            help="Then this page's link works elsewhere too, for whoever has it. The file is kept as you sent it, with "
            "its metadata, which are never shown. Untick to remove it.",
            on_change=lambda: _keep(name),
        )
    elif name and uploads.kept(name):
        st.caption(f"Kept on the server on its owner's wish, for {uploads.KEEP_DAYS} days.")


def _take(chosen: Chosen[Any]) -> None:
    """A file arrived: into the session, and its name into the URL; or a sentence."""
    file = st.session_state.get("image-upload")
    if file is None:
        return
    data = file.getvalue()
    try:
        name, _ = uploads.check(data)
    except UnitscopeError as error:
        st.session_state[_NOTICE] = f"This file cannot be used. {error}"
        return
    uploads.hold(name, data)
    chosen.go(upload=name, image=None)


def _keep(name: str) -> None:
    try:
        data = uploads.get(name)
        if st.session_state["image-keep"] and data is not None:
            uploads.keep(name, data)
        else:
            uploads.forget(name)
    except (UnitscopeError, OSError) as error:
        known = isinstance(error, UnitscopeError)
        st.session_state[_NOTICE] = str(error) if known else "The server could not change what it keeps."


def caption(shown: Shown) -> str:
    """What the picture is, in Markdown."""
    trace = shown.trace
    side = f"{trace.view_yx3.shape[1]} × {trace.view_yx3.shape[0]}"
    text = f"{plain(shown.title).capitalize()}, {trace.width} × {trace.height} px, as the model sees it: {side}."
    if shown.image is not None:
        stored = shown.opened.store.bundle.array("representations")[shown.image]
        text += f" Read from its thumbnail: cosine with the stored representation {float(stored @ trace.unit_o):.4f}."
    return text
