"""Drift: how much of the representation a concept's neuron-head pairs write, over years, folders or other groups."""

from dataclasses import dataclass

import streamlit as st

from core.methods.drift import PAIRS
from pages._ui import drift_choose, drift_figures, drift_images, figures, resources, selection, states
from pages._ui.resources import Opened

MAKE = "python -m precompute run --model MODEL --pretrained TAG --images MANIFEST.parquet --out bundles"


@dataclass(frozen=True)
class DriftView:
    """Concepts are followed over the groups of column `by`; `truth` says of each what is compared with it. `shown` and
    `group` choose whose example images are seen."""

    concept: tuple[str, ...] = ()
    by: str = ""
    truth: tuple[str, ...] = ()
    pairs: int = PAIRS
    centred: bool = False
    shown: str = ""
    group: str = ""


def main() -> None:
    opened = resources.current()
    st.title("Drift")
    st.write(
        "A data set changes: what it shows in one year is not what it shows in another. A concept's neuron–head pairs "
        "notice without being trained to. For each concept the pairs that write most in its direction are chosen, and "
        "what they write together, as a share of the whole representation, is followed over groups of images."
    )
    table = opened.store.drift
    if table is None:
        missing(opened)
        return
    if not table.columns:
        states.empty(
            "The images of this bundle have no column that groups them",
            "Drift is followed over a column of the manifest: a year, a source, a class. Give one with the images:",
        )
        st.code(MAKE, language="bash")
        return
    by = next(iter(table.columns))
    text = selection.words(drift_choose.MOST_CHARACTERS)
    chosen = selection.read(
        DriftView,
        {"concept": table.proposed(by), "by": by},
        concept=text,
        by=selection.one_of(*table.columns),
        truth=text,
        pairs=selection.one_of(*drift_choose.counts(table)),
        centred=selection.flag,
        shown=text,
        group=text,
    )
    drift_choose.draw(table, chosen)
    followed = drift_choose.follow(opened, table, chosen)
    if not followed:
        return
    drift_figures.draw(followed, table)
    drift_images.draw(opened, table, chosen, followed)
    figures.page_data(lambda: {"view": chosen.view, "followed": followed}, "drift")


def missing(opened: Opened) -> None:
    """Why there is nothing to show, and what would give it."""
    if opened.store.bundle.has("pair_length"):
        title, advice = "This bundle was made before drift was followed", "Make it again with the same command; it "
        advice += "then keeps the coefficients of its described pairs:"
    else:
        title = "This bundle has no neuron–head pairs"
        advice = "They come with the neurons of a ResNet, or of the neuron layers of a vision transformer:"
    states.empty(title, advice)
    st.code("python -m precompute run --model MODEL --pretrained TAG --images FOLDER --out bundles", language="bash")
