"""The one box of the Search page, what else can be asked with, and what is asked now."""

from typing import Any

import streamlit as st

from core.errors import AddressError
from pages._ui import image_choose, image_source, states
from pages._ui.resources import Opened
from pages._ui.search_view import HOW, MOST_CHARACTERS, PAGE, SearchView
from pages._ui.selection import Chosen
from pages._ui.words import count, plain, typed

_NOTICE = "_search_notice"
NOTHING: dict[str, Any] = {"q": "", "unit": None, "image": None, "upload": None, "shown": PAGE}
KEY = "unit-search-box"
"""Its style is that of fields whose key begins with "unit-"; the key / goes to fields whose key has "search"."""


def draw(opened: Opened, chosen: Chosen[SearchView]) -> None:
    """The box, how it is read, and the way to search by an image."""
    view = chosen.view
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.session_state[KEY] = view.q
        st.text_input(
            "Search every unit",
            key=KEY,
            placeholder="snow on a mountain, “a red car”, or L1.N12",
            on_change=lambda: _asked(chosen),
            help="Any text, in any language: units that write along it, and labels with its words (or with a phrase in "
            "quotes). An address goes to its unit; N12 is neuron 12 of every layer. The key / comes here; j and k step "
            "through the results, x ticks one, Enter opens it.",
            width=460,
        )
        st.selectbox("Look at", list(HOW), format_func=HOW.__getitem__, width=190, **chosen.bound("how"))
        with st.popover("By an image", icon=":material/image_search:"):
            _image(opened, chosen)
    if sentence := st.session_state.pop(_NOTICE, None):
        states.problem(sentence)


def asked(opened: Opened, chosen: Chosen[SearchView]) -> None:
    """What is asked for where it is not words: the image, or the unit, with the way back to nothing."""
    view = chosen.view
    if view.asks not in ("unit", "image"):
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if view.asks == "unit":
            address = str(view.unit)
            kind, row = opened.store.units.kind(address), opened.store.units.row(address)
            label = opened.store.units.label(kind, row)
            st.markdown(f"Units like **{plain(address)}**" + (f" · {plain(label, 120)}" if label else ""))
        else:
            with states.calm():
                source = image_source.look(opened, view.image, view.upload)
                if source is not None:
                    st.image(source.address if view.upload else _picture(opened, int(view.image or 0)), width=72)
                    st.markdown(f"Units that **{plain(source.title)}** moves most beyond their usual")
        st.button("Ask anew", icon=":material/close:", on_click=chosen.go, kwargs=NOTHING, type="tertiary")


def start(opened: Opened, chosen: Chosen[SearchView]) -> None:
    """Instead of results: some questions to begin with."""
    store = opened.store
    states.empty("Nothing is asked yet", "Write a text above, choose an image, or begin with one of these.")
    names = store.class_names()
    pool = store.bundle.table("pool")["text"]
    texts = [str(pool[int(at)]) for at in (len(pool) // 3, 2 * len(pool) // 3)]
    words = [names[len(names) // 3], names[2 * len(names) // 3]] if names else []
    some = store.units.address(store.units.kinds[-1], int(store.units.importance(store.units.kinds[-1]).argmax()))
    with st.container(horizontal=True, gap="small"):
        for text in dict.fromkeys([*texts, *words, some]):
            st.button(plain(text, 60), key=f"start-{text[:60]}", on_click=chosen.go, kwargs=NOTHING | {"q": text})
        image = store.random(0)[0]
        st.button(f"image {image}", key="start-image", on_click=chosen.go, kwargs=NOTHING | {"image": image})


def _asked(chosen: Chosen[SearchView]) -> None:
    """Words arrived: they take the place of whatever was asked, unless they are too many."""
    text = typed(st.session_state[KEY].replace("\0", " "))
    if len(text) > MOST_CHARACTERS:
        st.session_state[_NOTICE] = (
            f"This has {len(text):,} characters; at most {MOST_CHARACTERS:,} are searched for, and the model reads "
            "about the first 300. Shorten it."
        )
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        st.session_state[_NOTICE] = "This holds characters that are no text. Write it as plain text."
        return
    chosen.go(**NOTHING | {"q": text, "tab": "results"})


def _image(opened: Opened, chosen: Chosen[SearchView]) -> None:
    last = opened.store.facts().images - 1
    st.session_state["image-of-search"] = None if chosen.view.upload else chosen.view.image
    st.number_input(
        "Image of the bundle",
        key="image-of-search",
        step=1,
        value=None,
        placeholder=f"0 to {last:,}",
        on_change=lambda: _numbered(opened, chosen),
        help="The image's number, as the grids of every page give it.",
    )
    image_choose.upload(chosen)


def _numbered(opened: Opened, chosen: Chosen[SearchView]) -> None:
    number, images = st.session_state["image-of-search"], opened.store.facts().images
    if number is None:
        return
    try:
        opened.store.images.check_ok(int(number))
    except AddressError as error:
        st.session_state[_NOTICE] = f"{error} There are {count(images, 'image')}, from 0 to {images - 1:,}."
        return
    chosen.go(**NOTHING | {"image": int(number), "tab": "results"})


def _picture(opened: Opened, image: int) -> bytes:
    return opened.store.thumbnail(image)
