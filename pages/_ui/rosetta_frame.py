"""What pages about a dictionary begin and end with: which one, that there is none, and what its numbers rest on."""

import streamlit as st

from pages._ui import dictionaries, selection, states
from pages._ui.dictionaries import Opened
from pages._ui.selection import BUNDLE
from pages._ui.words import count, plain

DICTIONARY = "dictionary"


def opened() -> Opened | None:
    """The dictionary that the URL names, else the first, which the URL then names too: one that is made later must not
    change what a link shows. A picker where there are several. None, and how to make one drawn, where there is none.
    Raises BundleError."""
    names = dictionaries.names()
    if not names:
        none()
        return None
    asked = st.query_params.get(DICTIONARY, names[0])
    name = asked if asked in names else names[0]
    if DICTIONARY not in st.query_params:
        st.query_params[DICTIONARY] = name
    if len(names) > 1:
        st.session_state["dictionary-picker"] = name
        st.selectbox("Dictionary", names, key="dictionary-picker", on_change=_change, width=320)
    return dictionaries.open_named(name)


def reader() -> selection.Reader:
    """How a view's field `dictionary` is read."""
    return selection.one_of(*dictionaries.names())


def shares_nothing(found: Opened) -> bool:
    """Whether no concept was found for any hub; says so, with the null levels."""
    store = found.store
    if any(store.concepts(member.name) for member in store.members):
        return False
    pairs = [(a.name, b.name) for i, a in enumerate(store.members) for b in store.members[i + 1 :]]
    levels = ", ".join(f"{a} with {b} {store.level(a, b):.3f}" for a, b in pairs)
    states.empty(
        "These models share nothing",
        plain(
            f"No unit of one has a mutual nearest unit in another above the null level: {levels}. The level is "
            f"{null_told(found)}; it falls with more images.",
            2_000,
        ),
    )
    return True


def null_told(found: Opened) -> str:
    """What a null level is, for the middle of a sentence; plain text."""
    null = found.store.facts["null"]
    return (
        f"the correlation that {null['quantile']:.0%} of the units stay below with their best match once the images of "
        f"one model are shuffled against the other's, over {count(found.store.images, 'image')}"
    )


def footer(found: Opened) -> None:
    """Below the page."""
    store = found.store
    images = store.facts["images"]
    st.divider()
    random = [member.name for member in store.members if member.random_weights]
    if random:
        st.markdown(f":red-badge[RANDOM WEIGHTS] {plain(', '.join(random))}")
    lines = (
        f"{count(len(store.members), 'model')}: {plain(', '.join(member.name for member in store.members))}",
        f"{count(store.images, 'image')} of the data set {plain(images['source'])}",
        f"dictionary {plain(found.name)}, made {plain(store.facts['created'])[:12]}",
    )
    st.caption("  ·  ".join(lines))


def warn_if_random(found: Opened) -> None:
    """Above the page, unmistakably, when a member was never trained."""
    random = [member.name for member in found.store.members if member.random_weights]
    if random:
        st.error(
            f"**RANDOM WEIGHTS** · never trained: {plain(', '.join(random))}. What it shares with others comes from "
            "its architecture alone.",
            icon="🎲",
        )


def none() -> None:
    """That there is no dictionary, and how to make one."""
    if dictionaries.unfinished():
        states.empty(
            "A dictionary is being made",
            "The folder of bundles holds one that is not finished. `make demo` makes one in about three minutes, while "
            "the app is up: look here again then. If nothing is making it any more, its command goes on with it.",
        )
        return
    states.empty(
        "There is no dictionary yet",
        "A dictionary lists the units that several models share. It is made from models by name (`python -m precompute "
        "rosetta --help` lists them) and one folder of images that all of them look at:",
    )
    st.code(dictionaries.MAKE, language="bash")
    for sentence in dictionaries.problems()[:5]:
        states.problem(sentence)


def _change() -> None:
    """Another dictionary: its concepts are others, so the rest of the view starts anew."""
    bundle = st.query_params.get(BUNDLE)
    kept = {BUNDLE: bundle} if bundle else {}
    st.query_params.from_dict(kept | {DICTIONARY: st.session_state["dictionary-picker"]})
