"""Rosetta: the concepts that different models share, found without labels; one of them, or all of one image."""

from typing import Any

import streamlit as st

from pages._ui import (
    figures,
    rosetta_cards,
    rosetta_choose,
    rosetta_concept,
    rosetta_frame,
    rosetta_image,
    rosetta_view,
    states,
)


def main() -> None:
    found = None
    with states.calm():  # a dictionary that cannot be opened leaves the picker
        st.title("Rosetta")
        found = rosetta_frame.opened()
    if found is None or rosetta_frame.shares_nothing(found):
        return
    rosetta_frame.warn_if_random(found)
    chosen = rosetta_view.read(found)
    view = chosen.view
    listed = rosetta_view.matching(found, view)
    concept = found.store.concept(view.concept) if view.concept else None
    rosetta_choose.draw(found, chosen, listed)
    drawn: dict[str, Any] = {}
    with states.calm():
        if view.tab == "image":
            drawn = rosetta_image.draw(found, chosen)
        elif concept is not None:
            drawn = rosetta_concept.draw(found, chosen, concept)
        else:
            drawn = rosetta_cards.draw(found, chosen, listed)
    about = {"dictionary": found.name, "view": view}
    figures.page_data(lambda: about | drawn, "rosetta")
    rosetta_frame.footer(found)
