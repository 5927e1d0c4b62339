"""Heads: what one head does: its texts, the images at both ends of each, heatmaps, and what is alike in its sense."""

from dataclasses import dataclass

import streamlit as st

from core.ids import Head, parse
from core.store import HeadAnswer
from pages._ui import figures, heads_images, heads_relabel, heads_steps, heads_texts, resources, selection, states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

TABS = {"ends": "Both ends", "intervals": "By quantile", "alike": "Alike", "relabel": "Relabel with my texts"}
MAPS = {"off": "Off", "head": "This head", "all": "All heads together"}
MOST_TEXTS = 1_000  # a link's pick is checked against the head's own texts later; this only bounds the number


@dataclass(frozen=True)
class HeadsView:
    """`text` is the pick among the head's own texts, `image` the chosen image, `map` the heatmaps."""

    head: Head | None = None
    text: int = 0
    tab: str = "ends"
    map: str = "off"
    image: int | None = None


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
        map=selection.one_of(*MAPS),
        image=selection.integer(0, store.facts().images - 1),
    )
    answer = store.head(str(chosen.view.head))
    _title(answer)
    heads_steps.pick(chosen, heads, store.heads())
    with st.container(horizontal=True, gap="small"):  # a row of its own, or the buttons stack on a narrow screen
        heads_steps.steps(chosen, heads)
    if not answer.texts:
        states.empty("This head has no texts", "What it writes does not vary over the images, so no text explains it.")
        return
    pick = chosen.view.text
    if pick >= len(answer.texts):
        st.info(f"This head has {len(answer.texts)} texts, fewer than the link asks for; you see its first.", icon="🔗")
        pick = 0
    left, right = st.columns([2, 3], gap="large")
    with left:
        heads_texts.draw(chosen, answer, pick)
    with right, states.calm():  # an image that cannot be shown costs its part of the page only
        _images(opened, chosen, answer, pick)
    figures.page_data(lambda: _data(opened, answer, pick), "head")


def _title(answer: HeadAnswer) -> None:
    head, everyone = answer.summary, answer.population
    median = min(answer.norm_quantiles, key=lambda pair: abs(pair[0] - 0.5))[1]
    st.title(head.address)
    st.markdown(f"**{plain(head.label)}**" if head.label else "*no texts*")
    st.caption(
        plain(
            f"{head.share:.1%} of the output's variance · its {len(answer.texts)} texts "
            f"explain {head.explained:.0%} of the head's own "
            f"variance · median length {median:.3f} of a representation of length 1 · {everyone}"
        )
    )


def _images(opened: Opened, chosen: Chosen[HeadsView], answer: HeadAnswer, pick: int) -> None:
    view, text = chosen.view, answer.texts[pick]
    st.subheader(plain(f"“{text.text}”"), anchor=False)
    st.segmented_control(
        "Show", list(TABS), format_func=lambda tab: TABS[tab], label_visibility="collapsed", required=True,
        **chosen.bound("tab"),
    )  # fmt: skip
    if view.tab == "relabel":
        heads_relabel.draw(opened, answer)
        return
    st.segmented_control(
        "Heatmaps toward this text",
        list(MAPS),
        format_func=lambda kind: MAPS[kind],
        required=True,
        help="Where this head, or all analysed heads, write toward the text (blue) or against it (orange).",
        **chosen.bound("map"),
    )
    {"ends": heads_images.ends, "intervals": heads_images.intervals, "alike": heads_images.alike}[view.tab](
        opened, chosen, answer, pick
    )


def _data(opened: Opened, answer: HeadAnswer, pick: int) -> dict[str, object]:
    address, store = answer.summary.address, opened.store
    return {
        "bundle": opened.name,
        "head": answer,
        "text": answer.texts[pick],
        "ends": store.ends(address, pick, heads_images.SHOWN),
        "intervals": store.intervals(address, pick),
        "histogram": store.histogram(address, pick),
    }
