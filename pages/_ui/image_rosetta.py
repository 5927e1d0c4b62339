"""The Image page's section Rosetta: the concepts of a dictionary that are active in the picture, in every model of its
zoo side by side, live."""

from typing import Any

import streamlit as st

from pages._ui import dictionaries, image_source, rosetta_frame, rosetta_image, rosetta_live, rosetta_words
from pages._ui.image_source import Source
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
    active = rosetta_live.look(found, image_source.picture(source), hub)
    st.caption(
        f"The {count(len(active), 'concept')} of largest z among {len(found.store.concepts(hub)):,} of the hub "
        f"{plain(hub)}. {rosetta_words.Z} Each model's map is on its own scale, with its largest value: blue is "
        "active, orange below zero. All models see the picture's middle square."
    )
    for each in active:
        rosetta_image.row(found, each.concept, each.z, each.maps, source.address, by_member=each.by_member)
    return {"dictionary": found.name, "hub": hub, "active": active}
