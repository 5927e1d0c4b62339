"""Which concepts, which concept, which image: the controls of the Rosetta page, in one row."""

import random
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.store.dictionary_answers import Concept
from pages._ui import keys, rosetta_view, rosetta_words
from pages._ui.dictionaries import Opened
from pages._ui.rosetta_view import MOST_CHARACTERS, TABS, RosettaView
from pages._ui.selection import Chosen
from pages._ui.words import count, plain, typed

SEARCH = (
    "Words of a label or parts of them, in any order; or the address of a unit, such as L3.N17 or demo-rn:layer3.N17. "
    "The key / comes here."
)


def draw(found: Opened, chosen: Chosen[RosettaView], listed: Sequence[Concept]) -> None:
    """All of them; what the view does not ask for is left out."""
    view = chosen.view
    members = [member.name for member in found.store.members]
    st.segmented_control(
        "Show", list(TABS), format_func=TABS.__getitem__, label_visibility="collapsed", required=True,
        **chosen.bound("tab"),
    )  # fmt: skip
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        hub = chosen.bound("hub")["key"]
        st.selectbox(
            "Hub", members, key=hub, on_change=lambda: chosen.go(hub=st.session_state[hub], concept=None),
            help=rosetta_words.HUB, width=190,
        )  # fmt: skip
        if view.tab == "image":
            _image(found, chosen)
            return
        key = chosen.bound("search")["key"]
        st.text_input(
            "Find",
            key=key,
            placeholder="sky, or L3.N17",
            help=SEARCH,
            width=220,
            on_change=lambda: chosen.go(search=typed(st.session_state[key])[:MOST_CHARACTERS], concept=None),
        )
        _walk(chosen, [concept.address for concept in listed])
        if view.concept is not None:
            st.button("All concepts", icon=":material/grid_view:", on_click=chosen.go, kwargs={"concept": None})
            return
        if len(members) > 2:
            st.select_slider(
                "Models, at least", list(range(2, len(members) + 1)), width=130, **chosen.bound("models"),
                help="In how many models a concept has a unit, the hub's own included.",
            )  # fmt: skip
        _members(chosen, [name for name in members if name != view.hub])
    if not listed:
        _elsewhere(found, chosen)


def _elsewhere(found: Opened, chosen: Chosen[RosettaView]) -> None:
    """Where none of the hub's concepts passes: of which other hubs some do."""
    others = rosetta_view.of_other_hubs(found, chosen.view)
    if not others:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown("Of other hubs these pass:", width="content")
        for hub, number in others.items():
            st.button(
                f"{plain(hub)}: {count(number, 'concept')}", key=f"hub-{hub}", type="tertiary",
                icon=":material/arrow_forward:", on_click=chosen.go, kwargs={"hub": hub, "concept": None},
            )  # fmt: skip


def _members(chosen: Chosen[RosettaView], others: list[str]) -> None:
    key = "RosettaView.member"
    st.session_state[key] = [name for name in chosen.view.member if name in others]
    st.multiselect(
        "Has a unit in", others, key=key, placeholder="any model", width=300,
        on_change=lambda: chosen.go(member=tuple(st.session_state[key])),
    )  # fmt: skip


def _walk(chosen: Chosen[RosettaView], names: list[str]) -> None:
    """Buttons and keys that step through the concepts listed."""
    here = chosen.view.concept
    at = names.index(here) if here in names else None
    others = [name for name in names if name != here]
    known = lambda n: names[n] if 0 <= n < len(names) else None
    keys.stepper(
        chosen.go,
        previous=known(at - 1) if at is not None else None,
        following=known(at + 1) if at is not None else known(0),
        random=random.choice(others) if others else None,
        field="concept",
        noun="concept",
    )


def _image(found: Opened, chosen: Chosen[RosettaView]) -> None:
    """The image's number, and steps from it."""
    image, last = chosen.view.image, found.store.images - 1
    key: Any = chosen.bound("image")["key"]
    st.number_input(
        "Image of the dictionary", 0, last, key=key, step=1, width=190,
        on_change=lambda: chosen.go(image=st.session_state[key]),
    )  # fmt: skip
    keys.stepper(
        chosen.go,
        previous=image - 1 if image else None,
        following=image + 1 if image < last else None,
        random=random.randint(0, last),
        field="image",
        noun="image",
    )
