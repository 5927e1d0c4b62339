"""The Image page's section Rosetta: the concepts of a dictionary that are active in the picture, in every model of its
zoo side by side, live."""

from typing import Any

import streamlit as st

from pages._ui import (
    dictionaries,
    image_source,
    linked_table,
    rosetta_frame,
    rosetta_image,
    rosetta_live,
    rosetta_view,
    rosetta_words,
)
from pages._ui.image_source import Source
from pages._ui.image_view import MOST_SHOWN
from pages._ui.selection import Chosen
from pages._ui.words import count, plain


def rosetta(source: Source, chosen: Chosen[Any]) -> Any:
    """The section; returns what it drew, None while the models are loading."""
    names = dictionaries.names()
    if not names:
        rosetta_frame.none()
        return None
    bound = chosen.bound("dictionary")
    name = chosen.view.dictionary if chosen.view.dictionary in names else names[0]
    st.session_state[bound["key"]] = name
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        if len(names) > 1:
            st.selectbox("Dictionary", names, width=260, **bound)
        found = dictionaries.open_named(name)
        hubs = [member.name for member in found.store.members]
        bound = chosen.bound("hub")
        hub = chosen.view.hub if chosen.view.hub in hubs else rosetta_words.first_hub(found.store)
        st.session_state[bound["key"]] = hub
        st.selectbox("Hub", hubs, width=220, help=rosetta_words.HUB, **bound)
    if rosetta_frame.shares_nothing(found):
        return None
    model = dictionaries.explainer_status(found)
    if model.state != "ready":
        rosetta_live.wait(found, model)
        return None
    picture, shown = image_source.picture(source), chosen.view.shown
    active = rosetta_live.look(found, picture, hub, most=shown)
    everything = rosetta_live.every(found, picture, hub, shown)
    st.caption(
        f"The {count(len(active), 'concept')} of largest z among {len(found.store.concepts(hub)):,} of the hub "
        f"{plain(hub)}. {rosetta_words.Z} Each model's map is on its own scale, with its largest value: blue is "
        "active, orange below zero. All models see the picture's middle square. z compares a picture with the "
        "dictionary's own images: of one unlike them, as a photograph is unlike drawn scenes, read it with care."
    )
    for each in active:
        rosetta_image.row(found, each.concept, each.z, each.maps, source.address, by_member=each.by_member)
    if len(active) < min(len(everything), MOST_SHOWN):
        st.button(
            f"Show {min(rosetta_live.MOST, len(everything) - len(active))} more", icon=":material/expand_more:",
            on_click=chosen.go, kwargs={"shown": min(shown + rosetta_live.MOST, MOST_SHOWN)},
        )  # fmt: skip
    st.markdown(f"**All {count(len(everything), 'concept')}**")
    pages = {each.concept.address: rosetta_view.link(found, each.concept) for each in everything}
    linked_table.draw(
        rosetta_image.frame([(each.concept, each.z) for each in everything]), "image-rosetta",
        "All concepts in this picture", lambda row: pages[row["concept"]], formats={"z": "{:+.2f}"}, height="22rem",
    )  # fmt: skip
    every = [{"concept": each.concept.address, "z": each.z, "by_member": each.by_member} for each in everything]
    return {"dictionary": found.name, "hub": hub, "active": active, "every": every}
