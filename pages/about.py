"""About: the methods with their equations, what to cite, and what this bundle is made of."""

from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from core.store import Facts
from pages._ui import figures, resources, selection
from pages._ui.methods import METHODS, PAPERS
from pages._ui.resources import Opened
from pages._ui.words import count, plain

TABS = {"methods": "Methods", "cite": "What to cite", "bundle": "This bundle"}


@dataclass(frozen=True)
class AboutView:
    tab: str = "methods"


def main() -> None:
    opened = resources.current()
    facts = opened.store.facts()
    chosen = selection.read(AboutView, tab=selection.one_of(*TABS))
    st.title("About")
    st.write(
        "Unitscope shows what each attention head of a CLIP image encoder does: its images, its texts, its heatmaps. "
        "Every part is exact: the parts of an image's representation sum to it, and how well they do is measured."
    )
    shown = chosen.bound("tab")
    st.segmented_control(
        "Section", list(TABS), format_func=lambda tab: TABS[tab], label_visibility="collapsed", required=True, **shown
    )
    {"methods": methods, "cite": cite, "bundle": bundle}[chosen.view.tab](facts)
    figures.page_data(lambda: data(opened, facts), "about")


def data(opened: Opened, facts: Facts) -> dict[str, object]:
    """Everything that is known of the bundle; of a model that lay in a folder the name, not the place."""
    stored = opened.store.bundle.facts
    return {"facts": asdict(facts), "manifest": {**stored, "model": {**stored["model"], "name": facts.model}}}


def methods(facts: Facts) -> None:
    papers = {paper.key: paper for paper in PAPERS}
    for method in METHODS:
        st.subheader(method.title)
        st.write(method.text)
        for equation in method.equations:
            st.latex(equation)
        st.caption(f"After *{papers[method.paper].title}*.")
    st.subheader("Conventions of this bundle")
    st.write(
        {
            "own": "LayerNorm: each part is centred by its own mean (`own`), which is exact part by part.",
            "equal": "LayerNorm: mean and offset are shared equally over parts (`equal`), as in the papers' code.",
        }[facts.layernorm]
    )


def cite(facts: Facts) -> None:
    st.write("If a figure or number from here goes into your work, cite the paper whose method made it.")
    for paper in PAPERS:
        st.subheader(paper.title)
        st.write(paper.text)
        st.code(paper.bibtex, language="bibtex")


def bundle(facts: Facts) -> None:
    closes = facts.worst_residual <= facts.residual_tolerance
    left, middle, right = st.columns(3)
    left.metric("Images", f"{facts.ok:,}", help="Images that were decoded and measured.")
    middle.metric("Heads", f"{len(facts.layers) * facts.heads:,}", help="In the analysed layers.")
    right.metric("Worst residual", f"{facts.worst_residual:.1e}", help="Largest |sum of parts − representation|.")
    found, allowed = f"{facts.worst_residual:.2g}", f"{facts.residual_tolerance:.2g}"
    verdict = (
        f"Up to {allowed} is rounding in {plain(facts.precision)}: **the sums close**."
        if closes
        else f"That is more than rounding, {allowed}: **do not trust this bundle**."
    )
    st.write(
        f"For each of {count(facts.ok, 'image')}, the parts were summed and compared with the encoder's output. The "
        f"largest difference in any of {facts.out:,} dimensions is {found}. {verdict}"
    )
    figures.table(pd.DataFrame(rows(facts), columns=["what", "value"]), "bundle")
    st.subheader("Versions")
    figures.table(pd.DataFrame(sorted(facts.versions.items()), columns=["library", "version"]), "versions")
    st.subheader("Made by")
    st.code(facts.command, language=None, wrap_lines=True)


def rows(facts: Facts) -> list[tuple[str, str]]:
    """The bundle's facts in words."""
    layers = "attention pool" if facts.layers == (None,) else ", ".join(f"L{layer}" for layer in facts.layers)
    depth, score = count(facts.model_layers, "layer"), facts.zero_shot
    zero_shot = f"{score['top1']:.1%} of {count(score['images'], 'image')}" if score else "the images have no classes"
    named = {
        "bundle": facts.bundle,
        "made": facts.created,
        "model": f"{facts.model}, {facts.weights}",
        "weights (sha256)": facts.weights_digest,
        "encoder": f"{facts.tower}, {depth} of {facts.heads} heads of width {facts.head_width}",
        "activation, precision": f"{facts.activation}, {facts.precision}",
        "analysed": layers,
        "data set": f"{facts.data}, {count(facts.images, 'image')}, {facts.quarantined:,} of them unusable",
        "text pool": f"{facts.pool}, {count(facts.pool_texts, 'text')}",
        "zero-shot top-1": zero_shot,
    }
    return list(named.items())
