"""What of the Image page is in the URL."""

from dataclasses import dataclass

import streamlit as st

from core.store import Store
from pages._ui import dictionaries, image_address, image_prompts, image_segment, image_semantic, rosetta_live, selection
from pages._ui.selection import Chosen

TABS = {
    "scores": "Scores",
    "where": "Where",
    "budget": "Budget",
    "heads": "Heads",
    "tokens": "Tokens",
    "neurons": "Neurons",
    "segment": "Segment",
    "semantic": "Semantic",
    "rosetta": "Rosetta",
    "similar": "Similar",
}
MOST_SHOWN = 20 * rosetta_live.MOST
"""Concepts with a picture for every model."""


@dataclass(frozen=True)
class ImageView:
    """`text` and `against` are the prompts explained; `own`: each head's or neuron's heatmap on its own scale; `by`:
    what neurons are ranked by; `segment`: what a mask is made by, with `top` neurons, cut at `cut`; of the section
    Semantic `classes` (none: the prompts), `method`, `size`, `repair` and `zeroed`, see `core.explain.semantic.How`; of
    the section Rosetta the `dictionary`, its `hub` and how many concepts are `shown` with their maps."""

    image: int | None = None
    upload: str | None = None
    prompts: tuple[str, ...] = ()
    tab: str = "scores"
    scale: str = "cosine"
    text: str = ""
    against: str = ""
    normalise: str = "raw"
    averaged: bool = False
    opacity: int = 80
    own: bool = False
    head: str | None = None
    by: str = "norm"
    segment: str = "heads"
    cut: str = "0.50"
    top: int = 200
    classes: tuple[str, ...] = ()
    method: str = "pairs"
    size: str = "paper"
    repair: bool = True
    zeroed: int = 0
    dictionary: str | None = None
    hub: str | None = None
    shown: int = rosetta_live.MOST


def read(store: Store) -> Chosen[ImageView]:
    """The view that the URL asks for."""
    prompt = selection.words(image_prompts.MAX_CHARACTERS)
    if st.query_params.get("tab") == "rosetta" and "dictionary" not in st.query_params and dictionaries.names():
        st.query_params["dictionary"] = dictionaries.names()[0]  # one made later must not change what the link shows
    return selection.read(
        ImageView,
        image=selection.integer(0, store.facts().images - 1),
        upload=image_address.upload,
        prompts=prompt,
        tab=selection.one_of(*TABS),
        scale=selection.one_of("cosine", "softmax"),
        text=prompt,
        against=prompt,
        normalise=selection.one_of("raw", "per-layer"),
        averaged=selection.flag,
        opacity=selection.one_of(*range(10, 101, 10)),
        own=selection.flag,
        head=selection.one_of(*(head.address for head in store.heads())),
        by=selection.one_of("norm", "prompt"),
        segment=selection.one_of(*image_segment.BY),
        cut=selection.one_of(*image_segment.CUTS),
        top=selection.one_of(*image_segment.TOPS),
        classes=prompt,
        method=selection.one_of(*image_semantic.METHODS),
        size=selection.one_of(*image_semantic.SIZES),
        repair=selection.flag,
        zeroed=selection.one_of(*image_semantic.ZEROED),
        dictionary=selection.one_of(*dictionaries.names()),
        hub=selection.words(100),
        shown=selection.at_most(1, MOST_SHOWN),
    )
