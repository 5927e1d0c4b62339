"""The Image page's sections, one a tab: each asks the explainer or the store and draws the answer."""

from dataclasses import asdict
from typing import Any

import pandas as pd
import streamlit as st

from core.store import HeadSummary
from pages._ui import figures, grid, selection
from pages._ui import image_figures as drawing
from pages._ui.image_prompts import explained
from pages._ui.image_source import Shown
from pages._ui.selection import Chosen
from pages._ui.words import plain

Prompts = tuple[str, ...]
_SCALE = "Blue adds, red takes away."


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
        f"{best.probability:.1%} by the softmax over these prompts alone, with the model's own temperature."
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
    unit = "in units of the cosine" if view.normalise == "raw" else "divided by each layer's largest, so in no unit"
    strongest = float(abs(found.total_yx).max())
    st.caption(f"{_SCALE} Full colour is ±{strongest:.4f} on one patch, {unit}.")
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
    return found


def budget(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    text, _ = explained(chosen, prompts, contrast=False)
    found = shown.explainer.budget(shown.trace, text)
    left, middle, right = st.columns(3)
    left.metric("Sum of the parts", f"{found.total:.5f}", help="All parts of the encoder, read along the text.")
    middle.metric("Cosine", f"{found.cosine:.5f}", help="Of the encoder's own output with the text.")
    right.metric("Residual", f"{found.residual:+.1e}", help="Sum less cosine: rounding, if the decomposition is right.")
    figures.show(drawing.waterfall(found), "image-budget", height=440)
    st.caption(
        f"One image, one text, {len(found.rows):,} parts; a layer's heads are drawn as one and listed below. "
        f"{_SCALE} The dotted line is the true cosine."
    )
    figures.table(pd.DataFrame([asdict(row) for row in found.rows]), "image-budget")
    return found


def heads(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    text, _ = explained(chosen, prompts, contrast=False)
    ranked = shown.explainer.ranked_heads(shown.trace, text)
    found = shown.explainer.heatmap(shown.trace, text)
    known: dict[str, HeadSummary] = {head.address: head for head in shown.opened.store.heads()}
    small = drawing.picture(shown.trace.view_yx3, 160)
    rows = []
    for i, head in enumerate(ranked):
        number = int(head.address.rpartition("H")[2])
        map_yx = found.head_lhyx[found.layers.index(head.layer), number]
        label = known[head.address].label if head.address in known else ""
        rows.append(
            {"id": i, "src": small, "overlay": drawing.overlay(map_yx, 0.8), "alt": f"{head.address}: {label}"}
            | {"caption": f"{head.address} {head.value:+.3f} {label}"}
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
            address = selection.href("heads", head=chosen_head.address)
            st.link_button(f"Open {chosen_head.address} on the Heads page", address, icon=":material/arrow_forward:")
    grid.draw(
        rows,
        key="image-heads",
        size=128,
        selected=at,
        label="Heads by what they add",
        on_click=lambda i: chosen.go(head=ranked[i].address),
    )
    st.caption(f"The largest first; each map on its own scale. {_SCALE} Choose a head for its texts.")
    return ranked


def tokens(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    text, _ = explained(chosen, prompts, contrast=False)
    found = shown.explainer.head_token_matrix(shown.trace, text)
    count = len(found.addresses)
    figures.show(drawing.tokens(found), "image-tokens", height=min(1100, 120 + 18 * count))
    own = float(abs(found.score_nt[:, 0]).sum() / (abs(found.score_nt).sum() or 1))
    st.caption(
        f"{count:,} heads by {found.score_nt.shape[1]:,} tokens, in units of the cosine. {_SCALE} The scale ends at "
        f"the top patch; the class token, first, carries {own:.0%} of the absolute sum. A row's sum is the head's bar."
    )
    return found


def similar(shown: Shown, chosen: Chosen[Any], prompts: Prompts) -> Any:
    found = shown.opened.store.similar(shown.image if shown.image is not None else shown.trace.unit_o, 24)
    grid.images(
        shown.opened,
        [hit.image_id for hit in found.hits],
        captions=[f"{hit.score:.3f}" for hit in found.hits],
        alts=[f"image {hit.image_id}" for hit in found.hits],
        key="image-similar",
        label="Most similar images",
        on_click=lambda image: chosen.go(image=image, upload=None),
    )
    st.caption(f"The nearest {plain(found.population)}, by {plain(found.measure)}. Choose one to look at it here.")
    return found
