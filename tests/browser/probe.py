"""An app on the frame with everything a page can use, served in place of app.py to test the frame itself."""

import logging
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from core.ids import Head, parse
from pages._ui import access, figures, footer, grid, keys, resources, selection, states
from pages._ui.words import plain

logging.getLogger("unitscope.resources").setLevel(logging.INFO)


@dataclass(frozen=True)
class ProbeView:
    head: Head | None = None
    end: str = "+"
    image: int | None = None
    search: str = ""


def probe() -> None:
    opened = resources.current()
    heads = [parse(summary.address) for summary in opened.store.heads()]
    chosen = selection.read(
        ProbeView,
        {"head": heads[0]},
        head=selection.unit(heads),
        end=selection.one_of("+", "-"),
        image=selection.integer(0, opened.store.facts().images - 1),
        search=selection.words(200),
    )
    view, at = chosen.view, heads.index(chosen.view.head)
    st.title("Probe")
    steps = {"previous": heads[at - 1] if at else None, "following": heads[at + 1] if at + 1 < len(heads) else None}
    keys.stepper(chosen.go, **steps, random=heads[-1], field="head", noun="head")
    st.segmented_control("End", ["+", "-"], **chosen.bound("end"))
    st.text_input("Search", **chosen.bound("search"))
    st.markdown(f"head {view.head} end {plain(view.end)} image {view.image} search {plain(view.search)}")
    ends = opened.store.ends(view.head)
    hits = ends.plus if view.end == "+" else ends.minus
    captions = [f"<b>{hit.image_id}</b>" for hit in hits]  # must be seen as characters
    grid.images(
        opened,
        [hit.image_id for hit in hits],
        captions=captions,
        key="grid",
        selected=view.image,
        on_click=lambda image: chosen.go(image=image),
    )
    figures.show(go.Figure(go.Bar(x=["a", "b"], y=[1, -2])), "probe")
    figures.page_data(lambda: view, "probe")
    if st.button("Load the model"):
        resources.explainer(opened)
        st.write("the model is loaded")
    if st.button("Break"):
        raise ValueError("secret-detail")
    st.button("Break in a callback", on_click=lambda: 1 / 0)


def main() -> None:
    st.set_page_config(page_title="Probe", layout="wide")
    page = st.navigation([st.Page(probe, title="Probe", default=True)], position="hidden")
    with states.calm():
        access.require_login()
        keys.listen()
        with states.calm():
            page.run()
        footer.draw(resources.current().store.facts())


main()
