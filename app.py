"""Unitscope's entry: page settings, the bundle picker, the navigation; nothing else."""

import streamlit as st

from pages._ui import access, footer, keys, resources, selection, states

PAGES = {
    "about": st.Page("pages/about.py", title="About", icon=":material/menu_book:", url_path="about", default=True),
}


def main() -> None:
    st.set_page_config(page_title="Unitscope", page_icon="🔬", layout="wide")
    page = st.navigation(list(PAGES.values()), position="hidden")
    with states.calm():
        access.require_login()
        names = resources.names()
        if not names:
            states.no_bundle(resources.bundles_folder(), resources.problems())
            return
        with st.sidebar:
            st.markdown("### :material/biotech: Unitscope")
            opened = pick(names)
            for each in PAGES.values():
                st.page_link(each, query_params=selection.query())
            keys.listen()
        if opened is not None:
            footer.warn_if_random(opened.store.facts())
            with states.calm():
                page.run()
            footer.draw(opened.store.facts())


def pick(names: tuple[str, ...]) -> resources.Opened | None:
    """The bundle of this view; None, after a sentence, when the URL names one that cannot be opened."""
    opened = None
    with states.calm():
        opened = resources.current()
        if selection.BUNDLE not in st.query_params:
            st.query_params[selection.BUNDLE] = opened.name
    st.session_state["bundle-picker"] = opened.name if opened else None
    st.selectbox("Bundle", names, key="bundle-picker", on_change=change, placeholder="Choose a bundle")
    return opened


def change() -> None:
    """Another bundle: its addresses are others, so the rest of the view starts anew."""
    if name := st.session_state["bundle-picker"]:
        st.query_params.from_dict({selection.BUNDLE: name})


main()
