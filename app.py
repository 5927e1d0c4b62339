"""Unitscope's entry: page settings, the bundle picker, the navigation; nothing else.

Pages are functions of modules, so that a file of pages/ that is run by itself draws nothing: Streamlit would do so for
the first visitor of a page's address, before it has seen st.navigation, and past the login.
"""

from typing import Any

import streamlit as st

from pages import (
    about,
    agreement,
    characterise,
    cues,
    drift,
    heads,
    image,
    label,
    neurons,
    overview,
    pairs,
    rosetta,
    scores,
    search,
    universal,
)
from pages._ui import access, dictionaries, footer, keys, links, resources, rosetta_frame, selection, states

PAGES = {
    "overview": st.Page(
        overview.main, title="Overview", icon=":material/grid_view:", url_path="overview", default=True
    ),
    "search": st.Page(search.main, title="Search", icon=":material/search:", url_path="search"),
    "heads": st.Page(heads.main, title="Heads", icon=":material/center_focus_strong:", url_path="heads"),
    "neurons": st.Page(neurons.main, title="Neurons", icon=":material/hub:", url_path="neurons"),
    "pairs": st.Page(pairs.main, title="Pairs", icon=":material/join_inner:", url_path="pairs"),
    "rosetta": st.Page(rosetta.main, title="Rosetta", icon=":material/translate:", url_path="rosetta"),
    "universal": st.Page(universal.main, title="Universality", icon=":material/public:", url_path="universal"),
    "image": st.Page(image.main, title="Image", icon=":material/image:", url_path="image"),
    "label": st.Page(label.main, title="Label", icon=":material/edit_note:", url_path="label"),
    "agreement": st.Page(agreement.main, title="Agreement", icon=":material/handshake:", url_path="agreement"),
    "scores": st.Page(scores.main, title="Label scores", icon=":material/leaderboard:", url_path="scores"),
    "characterise": st.Page(
        characterise.main, title="Characterise", icon=":material/bar_chart:", url_path="characterise"
    ),
    "cues": st.Page(cues.main, title="Cues", icon=":material/compare_arrows:", url_path="cues"),
    "drift": st.Page(drift.main, title="Drift", icon=":material/trending_up:", url_path="drift"),
    "about": st.Page(about.main, title="About", icon=":material/menu_book:", url_path="about"),
}
ACROSS = (PAGES["rosetta"], PAGES["universal"])
"""Pages about several models, which need a dictionary and no bundle."""


def main() -> None:
    st.set_page_config(page_title="Unitscope", page_icon="🔬", layout="wide")
    page = st.navigation(list(PAGES.values()), position="hidden")
    with states.calm():
        access.require_login()
        names = resources.names()
        if not names and not dictionaries.names():
            states.no_bundle(resources.bundles_folder(), resources.problems())
            return
        opened = None
        if names:
            with states.calm():  # a bundle that cannot be opened gets its sentence in the middle, and the picker stays
                opened = resources.current()
                if selection.BUNDLE not in st.query_params:
                    st.query_params[selection.BUNDLE] = opened.name
        with st.sidebar:
            st.markdown("### :material/biotech: Unitscope")
            if names:
                pick(names, opened.name if opened else None, keep=page in ACROSS)
            for each in PAGES.values() if names else ACROSS:
                st.page_link(each, query_params=selection.here() if each == page else elsewhere(each))
            keys.listen()
            links.listen()
            access.who()
        if page in ACROSS:
            with states.calm():
                page.run()
        elif not names:
            states.no_bundle(resources.bundles_folder(), resources.problems())
        elif opened is not None:
            footer.warn_if_random(opened.store.facts())
            with states.calm():
                page.run()
            footer.draw(opened.store.facts())
        else:
            told = {name: footer.told(resources.open_named(name).store.facts()) for name in names}
            states.choose(told)


def elsewhere(page: st.Page) -> dict[str, Any]:
    """What a link to another page carries."""
    known = dictionaries.names() if page in ACROSS else ()
    shown = st.query_params.get(rosetta_frame.DICTIONARY)
    return selection.query(dictionary=shown if shown in known else next(iter(known), None))


def pick(names: tuple[str, ...], shown: str | None, keep: bool) -> None:
    """The bundle picker; `keep`: on a page that shows the same with every bundle."""
    st.session_state["bundle-picker"] = shown
    st.selectbox("Bundle", names, key="bundle-picker", on_change=change, args=(keep,), placeholder="Choose a bundle")


def change(keep: bool) -> None:
    """Another bundle: its addresses are others, so the rest of the view starts anew, unless it is of no bundle."""
    if name := st.session_state["bundle-picker"]:
        st.query_params.from_dict((selection.here() if keep else {}) | {selection.BUNDLE: name})


with selection.run():
    main()
