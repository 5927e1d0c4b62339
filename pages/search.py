"""Search: one box over every unit of the bundle and the dictionary's concepts; and a map of all units."""

import streamlit as st

from pages._ui import (
    figures,
    image_prompts,
    image_sections,
    map_view,
    resources,
    search_ask,
    search_box,
    search_results,
    search_view,
    states,
    steps,
)
from pages._ui.resources import Opened
from pages._ui.search_ask import Answer
from pages._ui.search_view import TABS, SearchView
from pages._ui.selection import Chosen


def main() -> None:
    opened = resources.current()
    chosen = search_view.read(opened.store)
    st.title("Search")
    steps.style()
    search_box.draw(opened, chosen)
    st.segmented_control(
        "Show", list(TABS), format_func=TABS.__getitem__, label_visibility="collapsed", required=True,
        **chosen.bound("tab"),
    )  # fmt: skip
    with states.calm():
        if chosen.view.tab == "map":
            map_view.draw(opened, chosen)
            return
        search_box.asked(opened, chosen)
        if not chosen.view.asks:
            search_box.start(opened, chosen)
            return
        _results(opened, chosen)


def _results(opened: Opened, chosen: Chosen[SearchView]) -> None:
    """What answers; and what waits for the live model."""
    asked = search_ask.prepare(opened)
    model = resources.explainer_status(opened)
    explainer = resources.explainer(opened) if model.state == "ready" else None
    answer: Answer = search_ask.answer(asked, chosen.view, explainer)
    for note in asked.notes:
        states.problem(note)
    if explainer is not None and answer.text_o is not None:  # which it read, or had read for the pool
        image_prompts.unseen(explainer, (chosen.view.q,))
        if len(explainer.unseen_words((chosen.view.q,))) >= len(set(chosen.view.q.split())):
            st.caption(":material/info: So the order by meaning says nothing here; labels may have the words.")
        image_prompts.unread(explainer, (chosen.view.q,))
    drawn = search_results.draw(asked, chosen, answer)
    if answer.needs_model:
        image_sections.wait(opened, model)
    figures.page_data(lambda: {"bundle": opened.name, "view": chosen.view} | drawn, "search")
