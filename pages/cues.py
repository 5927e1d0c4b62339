"""Cues: what draws images of one class toward another: neurons, the words they share, and whether they fool it."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.store.cues import NEURONS, CueFinder
from demo.compose import speaks
from pages._ui import cues_choose, cues_images, cues_scenes, cues_words, figures, resources, selection, states
from pages._ui.selection import Chosen

MAKE = "python -m precompute run --model demo-vit --images demo/images --pool demo --out bundles"


@dataclass(frozen=True)
class CuesView:
    """From class `c1` to class `c2`, each a class or a text. `neurons` how many are summed; `scenes` of the demo world
    by `seed`, those of cues by `by` shown, bars by `of`; `indirect` adds the cues by indirect effects."""

    c1: str = ""
    c2: str = ""
    neurons: int = NEURONS
    scenes: int = 32
    seed: int = 0
    by: str = "neurons"
    of: str = "c2"
    indirect: bool = False


def read(start: dict[str, str]) -> Chosen[CuesView]:
    """The view that the URL asks for."""
    text = selection.words(cues_choose.MOST_CHARACTERS)
    return selection.read(
        CuesView,
        start,
        c1=text,
        c2=text,
        neurons=selection.one_of(*cues_words.COUNTS),
        scenes=selection.one_of(*cues_scenes.NUMBERS),
        seed=selection.integer(0, 10**9),
        by=selection.one_of(*cues_scenes.METHODS),
        of=selection.one_of(*cues_scenes.MEASURES),
        indirect=selection.flag,
    )


def main() -> None:
    st.title("Cues")
    opened = resources.current()
    names, table = opened.store.class_names(), opened.store.neurons
    if table is None or len(names) < 2:
        lacks = "no neurons" if table is None else "fewer than two classes"
        states.empty(f"This bundle has {lacks}", "Cues lead from one class to another, by the neurons of a ViT. With:")
        st.code(MAKE, language="bash")
        return
    chosen = read(cues_choose.start(opened))
    st.write(
        "Which things in a picture draw the model from one class to another, though they are neither? The words are "
        "those shared by the neurons that write most toward the second class."
    )
    cues_choose.draw(opened, chosen)
    sides = cues_choose.read(opened, chosen.view)
    if sides is None:
        return
    finder = CueFinder(table)
    v_o = finder.check(sides[0].text_o, sides[1].text_o)
    drawable = all(side.position is not None for side in sides) and speaks(names)
    forms = cues_scenes.forms(*(side.name for side in sides)) if drawable else (*sides[0].forms, *sides[1].forms)
    found = finder.find(v_o, forms, chosen.view.neurons)
    left, right = st.columns(2, gap="large")
    with left:
        cues_words.words(found, sides)
        cues_words.prompt(found, sides)
    with right:
        cues_words.neurons(found, chosen)
    told: dict[str, Any] = {"bundle": opened.name, "view": chosen.view, "cues": found}
    with states.calm():
        told["images"] = cues_images.draw(opened, finder, sides, found.words)
    with states.calm():
        if drawable:
            told["scenes"] = cues_scenes.draw(opened, finder, chosen, sides, found)
        elif speaks(names):
            st.caption(f"Scenes are composed for two of the bundle's {len(names):,} classes: choose both of them.")
    figures.page_data(lambda: told, "cues")
