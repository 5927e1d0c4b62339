"""The Image page's sections, one a tab: each asks the explainer or the store and draws the answer."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.store import HeadSummary
from pages._ui import figures, grid, live, resources, selection, states
from pages._ui import image_figures as drawing
from pages._ui.image_prompts import explained
from pages._ui.image_source import Shown, Source
from pages._ui.overview_entry import target
from pages._ui.selection import Chosen
from pages._ui.words import plain

Prompts = tuple[str, ...]
_SCALE = "Blue adds, orange takes away."


def wait(opened: resources.Opened, model: live.Status) -> None:
    """Instead of a section: the model is being loaded, and the page comes by itself when it is; or why it cannot be."""
    if model.state == "failed":
        states.problem(f"What this section shows needs the live model. {model.reason}")
    else:
        _loading(opened)


@st.fragment(run_every=1)
def _loading(opened: resources.Opened) -> None:
    model = resources.explainer_status(opened)
    if model.state != "loading":
        st.rerun()
    name = plain(opened.store.facts().model)
    st.status(f"Loading the model {name}, {model.seconds:.0f} s", state="running")
    st.caption("Your choices on this page count already; what the model makes of them comes here when it is ready.")


def scores(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    rows = shown.explainer.zero_shot(shown.trace, prompts)
    st.segmented_control(
        "Scale",
        ["cosine", "softmax"],
        required=True,
        help="The cosine is absolute; the softmax divides one hundred percent among your prompts.",
        **chosen.bound("scale"),
    )
    softmax = chosen.view.scale == "softmax"
    figures.show(drawing.scores(rows, softmax), "image-scores", height=110 + 34 * len(rows))
    best = max(rows, key=lambda row: row.cosine)
    st.caption(
        f"Of these {len(rows):,} prompts it is nearest to “{plain(best.prompt, 80)}”: cosine {best.cosine:+.4f}, "
        f"{best.probability:.2%} by the softmax over these prompts alone, with the model's own temperature."
    )
    figures.table(pd.DataFrame([asdict(row) for row in rows]), "image-scores")
    return rows


def where(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    view, average = chosen.view, shown.opened.store.class_mean()
    text, against = explained(chosen, prompts, contrast=True)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Scaled",
            ["raw", "per-layer"],
            required=True,
            help="Raw: in units of the cosine. Per-layer: each layer divided by its own largest value, then averaged.",
            **chosen.bound("normalise"),
        )
        st.toggle(
            "Less the average class",
            disabled=average is None or against is not None,
            help="Subtracts the average map of the bundle's class prompts, so what is common to all texts goes. "
            "In a contrast it cancels; without classes there is no average.",
            **chosen.bound("averaged"),
        )
        st.slider("Opacity, %", 10, 100, step=10, width=220, help="Of the strongest patch.", **chosen.bound("opacity"))
    subtract = average if view.averaged and against is None else None
    found = shown.explainer.heatmap(shown.trace, text, against=against, average_o=subtract, normalise=view.normalise)
    opacity = view.opacity / 100
    large = drawing.picture(shown.trace.view_yx3, 448)
    versus = f" rather than {found.against}" if found.against else ""
    row = {"src": large, "caption": "", "alt": f"where the heads write {found.text}{versus}", "id": 0}
    grid.draw(
        [row | {"overlay": drawing.overlay(found.total_yx, opacity)}],
        key="image-where",
        size=320,
        label="Heatmap over all layers",
    )
    layers = "the attention pool" if found.layers == (None,) else "layers " + ", ".join(map(str, found.layers))
    what = (
        "difference of the two cosines"
        if against
        else "cosine less the classes' average"
        if subtract is not None
        else "cosine"
    )
    st.markdown(
        f"The heads of {layers} add **{found.score:+.4f}** to the {what}; **{found.class_token_share:.1%}** of their "
        "absolute sum stays with the class token and is on no patch."
    )
    unit = "in units of the cosine" if view.normalise == "raw" else "each layer divided by its largest, so in no unit"
    st.html(drawing.legend(float(abs(found.total_yx).max())))
    st.caption(f"{_SCALE} A patch at a time, {unit}; full colour is the strongest patch.")
    if len(found.layers) > 1:
        small = drawing.picture(shown.trace.view_yx3, 160)
        top = float(abs(found.layer_lyx).max())
        rows = [
            {"id": i, "src": small, "caption": f"layer {layer}", "alt": f"layer {layer}"}
            | {"overlay": drawing.overlay(found.layer_lyx[i], opacity, top)}
            for i, layer in enumerate(found.layers)
        ]
        st.markdown("**By layer**, on one scale")
        grid.draw(rows, key="image-layers", size=128, label="Heatmaps by layer")
        st.html(drawing.legend(top))
    return found


def budget(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    text, _ = explained(chosen, prompts, contrast=False)
    found = shown.explainer.budget(shown.trace, text)
    with st.container(horizontal=True, gap="large"):
        width: Any = {"width": "content"}
        st.metric("Sum of the parts", f"{found.total:.5f}", help="All parts, read along the text.", **width)
        st.metric("True cosine", f"{found.cosine:.5f}", help="Of the encoder's own output with the text.", **width)
        rest = "Sum less cosine: rounding, if the decomposition is right."
        st.metric("Residual", f"{found.residual:+.1e}", help=rest, **width)
    figures.show(drawing.waterfall(found), "image-budget", height=440)
    together = "; a layer's heads are drawn as one and listed below" if drawing.layered(found) else ""
    st.caption(
        f"One image, one text, {len(found.rows):,} parts{together}. {_SCALE} The dotted line is the true cosine."
    )
    rows = pd.DataFrame([asdict(row) for row in found.rows])
    figures.table(rows.dropna(axis="columns", how="all"), "image-budget")  # a ResNet's pool has no layers
    return found


def heads(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    text, _ = explained(chosen, prompts, contrast=False)
    ranked = shown.explainer.ranked_heads(shown.trace, text)
    found = shown.explainer.heatmap(shown.trace, text)
    known: dict[str, HeadSummary] = {head.address: head for head in shown.opened.store.heads()}
    small = drawing.picture(shown.trace.view_yx3, 160)
    map_iyx = [found.head_lhyx[found.layers.index(head.layer), int(head.address.rpartition("H")[2])] for head in ranked]
    top = float(abs(found.head_lhyx).max())
    rows = []
    for i, head in enumerate(ranked):
        label = known[head.address].label if head.address in known else ""
        rows.append(
            {"id": i, "src": small, "overlay": drawing.overlay(map_iyx[i], 0.8, None if chosen.view.own else top)}
            | {"caption": f"{head.address} {head.value:+.3f}\n{label}", "alt": f"{head.address}: {label}"}
        )
    at = next((i for i, head in enumerate(ranked) if head.address == chosen.view.head), 0)
    chosen_head = ranked[at]
    summary = known.get(chosen_head.address)
    with st.container(border=True):
        st.markdown(
            f"**{chosen_head.address}** is number {at + 1} of {len(ranked)} for “{plain(text, 80)}” and adds "
            f"**{chosen_head.value:+.4f}** to the cosine."
        )
        if summary is not None:
            texts = " · ".join(plain(each, 90) for each in summary.texts[:4])
            st.caption(f"Its texts, over {shown.opened.store.facts().ok:,} images: {texts}")
            st.page_link(
                target("heads", "Heads"),
                label=f"Open {chosen_head.address} on the Heads page",
                icon=":material/arrow_forward:",
                query_params=selection.query(head=chosen_head.address, image=shown.source.image),
            )
    st.toggle(
        "Each map on its own scale",
        help="Off: one scale for all, so that heads that add much and little differ. On: each map's strongest patch in "
        "full colour, however little it is.",
        **chosen.bound("own"),
    )
    if not chosen.view.own:
        st.html(drawing.legend(top))
    grid.draw(
        rows,
        key="image-heads",
        size=128,
        selected=at,
        label="Heads by what they add",
        on_click=lambda i: chosen.go(head=ranked[i].address),
    )
    scaled = "Each map has its own scale" if chosen.view.own else f"One scale for all {len(ranked)} maps"
    st.caption(
        f"The head that adds most first; under each what it adds to the cosine, and its label. {_SCALE} {scaled}. "
        "Choose a head for its texts."
    )
    return ranked


def tokens(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    text, _ = explained(chosen, prompts, contrast=False)
    found = shown.explainer.head_token_matrix(shown.trace, text)
    count = len(found.addresses)
    figures.show(drawing.tokens(found), "image-tokens", height=min(1100, 120 + 18 * count))
    own = float(abs(found.score_nt[:, 0]).sum() / (abs(found.score_nt).sum() or 1))
    st.caption(
        f"{count:,} heads by {found.score_nt.shape[1]:,} tokens, in units of the cosine. {_SCALE} The scale ends "
        f"at the top patch; the class token, first, carries {own:.1%} of the absolute sum. A row sums to what the head "
        "adds."
    )
    return found


def similar(source: Source, to: int | np.ndarray, chosen: Chosen[Any]) -> Any:
    """The images of the bundle nearest to one of its own, by id, or to a representation."""
    found = source.opened.store.similar(to, 24)
    labels = [(source.opened.store.image(hit.image_id).label or "").replace("_", " ") for hit in found.hits]
    grid.images(
        source.opened,
        [hit.image_id for hit in found.hits],
        captions=[f"{hit.score:.3f} {label}" for hit, label in zip(found.hits, labels, strict=True)],
        alts=[f"image {hit.image_id}, {label}" for hit, label in zip(found.hits, labels, strict=True)],
        key="image-similar",
        label="Most similar images",
        on_click=lambda image: chosen.go(image=image, upload=None),
    )
    st.caption(
        f"The {len(found.hits)} nearest {plain(found.population)}, by {plain(found.measure)}, which stands under each. "
        "Choose one to look at it here."
    )
    return found
