"""Label scores: which way of labelling to believe, and how well each unit's label predicts it."""

from dataclasses import dataclass

import streamlit as st

from core.store.units import Kind
from pages._ui import figures, resources, scores_board, scores_units, selection
from pages._ui.scores_board import FIGURES, KINDS
from pages._ui.scores_units import SORTS
from pages._ui.selection import Chosen


@dataclass(frozen=True)
class ScoresView:
    """`kind` of units, `figure` of the leaderboard, `sort` of the units' table."""

    kind: Kind = "head"
    figure: str = "pearson"
    sort: str = "score"


def main() -> None:
    opened = resources.current()
    kinds = opened.store.units.kinds
    chosen = selection.read(
        ScoresView, {"kind": kinds[-1] if kinds[-1] != "pair" else "neuron"}, kind=selection.one_of(*kinds),
        figure=selection.one_of(*FIGURES), sort=selection.one_of(*SORTS),
    )  # fmt: skip
    st.title("Label scores")
    st.write(
        "A label is right if what it says predicts the unit. So labels are scored, on images they were not made from: "
        "the cosine of a label's text with each image, against the unit's number there. A head's number is its "
        "coordinate along its first principal component; a neuron's and a pair's is the coefficient of its effect."
    )
    _controls(chosen, kinds)
    st.subheader("Which method to believe", anchor=False)
    board = scores_board.draw(opened, chosen.view.kind, chosen.view.figure)
    st.subheader(f"{KINDS[chosen.view.kind]} and their labels", anchor=False)
    st.segmented_control(
        "Order", list(SORTS), format_func=SORTS.__getitem__, required=True, label_visibility="collapsed",
        **chosen.bound("sort"),
    )  # fmt: skip
    scores_units.draw(opened, chosen.view.kind, chosen.view.sort)
    figures.page_data(lambda: {"bundle": opened.name, "view": chosen.view, "leaderboard": board}, "scores")


def _controls(chosen: Chosen[ScoresView], kinds: tuple[Kind, ...]) -> None:
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control("Units", list(kinds), format_func=KINDS.__getitem__, required=True, **chosen.bound("kind"))
        st.segmented_control(
            "Figure", list(FIGURES), format_func=FIGURES.__getitem__, required=True, **chosen.bound("figure"),
            help="Pearson: correlation over all images. AUPRC, F1 and AUROC: whether the label finds the images of the "
            "unit's largest numbers.",
        )  # fmt: skip
