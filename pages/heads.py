"""Heads: what one head does: its texts, the images at both ends of each, heatmaps, and what is alike in its sense."""

from dataclasses import dataclass

import streamlit as st

from core.ids import Head, parse
from core.store import Baseline, HeadAnswer
from pages._ui import (
    figures,
    heads_images,
    heads_maps,
    heads_neurons,
    heads_relabel,
    heads_steps,
    heads_texts,
    labels,
    pools,
    resources,
    scores,
    selection,
    states,
    steps,
)
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

TABS = {"ends": "Both ends", "intervals": "By quantile", "alike": "Alike", "relabel": "Relabel"}
MOST_TEXTS = 1_000  # a link's pick is checked against the head's own texts later; this only bounds the number


@dataclass(frozen=True)
class HeadsView:
    """`text` is the pick among the head's own texts, `image` the chosen image, `map` the heatmaps, `own` each on its
    own scale, `pool` the texts to relabel with and `scope` for which heads."""

    head: Head | None = None
    text: int = 0
    tab: str = "ends"
    map: str = "off"
    own: bool = False
    image: int | None = None
    pool: str | None = None
    scope: str = "head"


def main() -> None:
    opened = resources.current()
    store = opened.store
    heads = [parse(summary.address) for summary in store.heads()]
    chosen = selection.read(
        HeadsView,
        {"head": heads[0]},
        head=selection.unit(heads),
        text=selection.integer(0, MOST_TEXTS),
        tab=selection.one_of(*TABS),
        map=selection.one_of(*heads_maps.MAPS),
        own=selection.flag,
        image=selection.integer(0, store.facts().images - 1),
        pool=pools.reader,
        scope=selection.one_of(*heads_relabel.SCOPES),
    )
    answer, baseline = store.head(str(chosen.view.head)), store.baseline(str(chosen.view.head))
    heads_texts.title(answer, baseline)
    given = labels.beside(opened.store.facts().bundle, answer.summary.address)
    heads_steps.draw(chosen, heads, store.heads())
    if not answer.texts:
        states.empty("This head has no texts", "What it writes does not vary over the images, so no text explains it.")
        return
    pick = chosen.view.text
    if pick >= len(answer.texts):
        st.info(f"This head has {len(answer.texts)} texts, fewer than the link asks for; you see its first.", icon="🔗")
        pick = 0
    left, right = steps.halves()
    with left:
        heads_texts.draw(opened, chosen, answer, baseline, pick)
        drawn: dict[str, object] = heads_neurons.draw(opened, answer.summary.address)
    with right, states.calm():  # an image that cannot be shown costs its part of the page only
        drawn |= _images(opened, chosen, answer, baseline, pick)
    figures.page_data(lambda: _data(opened, chosen, answer, baseline, pick) | drawn | {"by hand": given}, "head")


def _images(
    opened: Opened, chosen: Chosen[HeadsView], answer: HeadAnswer, baseline: Baseline, pick: int
) -> dict[str, object]:
    """The right half; returns what it drew."""
    view, text = chosen.view, answer.texts[pick]
    st.subheader(plain(f"“{text.text}”"), anchor=False)
    scores.of_head(opened, answer.summary.address, text.text)
    st.segmented_control(
        "Show", list(TABS), format_func=lambda tab: TABS[tab], label_visibility="collapsed", required=True,
        wrap=True, **chosen.bound("tab"),
    )  # fmt: skip
    if view.tab == "relabel":
        return heads_relabel.draw(opened, chosen, answer, baseline)
    heads_maps.controls(chosen)
    tabs = {"ends": heads_images.ends, "intervals": heads_images.intervals, "alike": heads_images.alike}
    return tabs[view.tab](opened, chosen, answer, pick)


def _data(
    opened: Opened, chosen: Chosen[HeadsView], answer: HeadAnswer, baseline: Baseline, pick: int
) -> dict[str, object]:
    """What is shown on every tab, and the head's images whichever tab is open."""
    address, store = answer.summary.address, opened.store
    told = {"bundle": opened.name, "view": chosen.view, "head": answer, "baseline": baseline}
    return told | {
        "text": answer.texts[pick],
        "ends": store.ends(address, pick, heads_images.SHOWN),
        "intervals": store.intervals(address, pick, heads_images.PER_ROW),
        "histogram": store.histogram(address, pick),
    }
