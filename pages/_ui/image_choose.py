"""The controls by which a visitor chooses the picture of the Image page: steps, a number, an address, a file."""

from typing import Any

import streamlit as st

from core.errors import InputError, UnitscopeError
from pages._ui import image_address, keys, resources, states, uploads
from pages._ui.selection import BUNDLE, Chosen

_NOTICE = "_image_notice"
_TAKEN = "_image_taken"


def draw(opened: resources.Opened, chosen: Chosen[Any], image: int | None) -> None:
    """Step through the bundle; below, upload, go to a number, or paste an address."""
    store, last = opened.store, opened.store.facts().images - 1
    go = lambda image: chosen.go(image=image, upload=None)
    steps = {
        "previous": image - 1 if image else None,
        "following": image + 1 if image is not None and image < last else None,
        "random": store.random(image + 1 if image is not None else 1)[0],
    }
    keys.stepper(go, **steps, field="image", noun="image")
    own, number, link = st.tabs(["Upload", "By number", "By link"])
    with own:
        _file(chosen)
    with number:
        st.session_state["image-id"] = image
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
    with link:
        st.text_input(
            "Address of an image in this app",
            key="image-link",
            placeholder="…/image?bundle=…&image=12",
            help=image_address.WHAT,
            on_change=lambda: _paste(opened, chosen),
        )
    _after(chosen)


def upload(chosen: Chosen[Any]) -> None:
    """The field for a file alone, for a view with `upload` and `image`."""
    _file(chosen)
    _after(chosen)


def _after(chosen: Chosen[Any]) -> None:
    """What came of the last file or address, and whether an upload is kept."""
    if sentence := st.session_state.pop(_NOTICE, None):
        states.problem(sentence)
    if chosen.view.upload:
        _kept(chosen.view.upload)


def _file(chosen: Chosen[Any]) -> None:
    # a field that still showed the last file would not notice the same one again
    key = f"image-upload-{st.session_state.get(_TAKEN, 0)}"
    st.file_uploader(
        "An image of your own",
        type=["jpg", "jpeg", "png", "webp", "gif", "bmp"],
        key=key,
        help="JPEG, PNG, WebP, GIF (first frame) or BMP, up to 10 MB and 24 megapixels. It stays in this session.",
        on_change=lambda: _take(key, chosen),
    )


def _kept(name: str) -> None:
    if uploads.in_session(name):
        st.session_state["image-keep"] = uploads.kept(name)
        st.checkbox(
            f"Keep it on the server for {uploads.KEEP_DAYS} days",
            key="image-keep",
            help="Then this page's link works elsewhere too, for whoever has it. The file is kept as you sent it, with "
            "its metadata, which are never shown. Untick to remove it.",
            on_change=lambda: _keep(name),
        )
    elif uploads.kept(name):
        st.caption(f"Kept on the server on its owner's wish, for {uploads.KEEP_DAYS} days.")


def _take(key: str, chosen: Chosen[Any]) -> None:
    """A file arrived: into the session, and its name into the URL; or a sentence."""
    file = st.session_state.get(key)
    if file is None:
        return
    st.session_state[_TAKEN] = st.session_state.get(_TAKEN, 0) + 1
    data = file.getvalue()
    try:
        name, _ = uploads.check(data)
    except UnitscopeError as error:
        st.session_state[_NOTICE] = f"This file cannot be used. {error}"
        return
    uploads.hold(name, data)
    chosen.go(upload=name, image=None)


def _paste(opened: resources.Opened, chosen: Chosen[Any]) -> None:
    """An address arrived: its image becomes the page's, of another bundle of this server if it says so."""
    text = st.session_state["image-link"]
    if not text.strip():
        return
    try:
        place = image_address.read(text, st.context.url)
        there = resources.open_named(place.bundle) if place.bundle else opened
        if place.upload and uploads.get(place.upload) is None:
            raise InputError("That upload is not here: it was not kept, or its time is over. Upload the file again.")
        if place.image is not None:
            there.store.images.check_ok(place.image)
    except UnitscopeError as error:
        st.session_state[_NOTICE] = str(error)
        return
    st.session_state["image-link"] = ""
    same = there.name == opened.name
    # another bundle has other heads
    query = chosen.query(image=place.image, upload=place.upload, head=chosen.view.head if same else None)
    st.query_params.from_dict(query | {BUNDLE: there.name})


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
