"""Image: what happens in one picture, from the bundle or the visitor's own, and what adds up to its cosines."""

from dataclasses import asdict
from typing import Any

import streamlit as st

from pages._ui import (
    figures,
    grid,
    image_choose,
    image_neurons,
    image_prompts,
    image_rosetta,
    image_sections,
    image_segment,
    image_semantic,
    image_source,
    image_view,
    resources,
    states,
)
from pages._ui.image_view import TABS


def main() -> None:
    opened = resources.current()
    chosen = image_view.read(opened.store)
    view = chosen.view
    image = None if view.upload else opened.store.random(0)[0] if view.image is None else view.image
    prompts = view.prompts[: image_prompts.MAX_LINES] or image_prompts.start(opened, image)
    model = resources.explainer_status(opened)
    explainer = resources.explainer(opened) if model.state == "ready" else None
    st.title("Image")
    left, right = st.columns([1, 2], gap="large")
    source = shown = None
    with left:
        with states.calm():
            source = image_source.look(opened, image, view.upload)
            if source is not None:
                row = {"id": 0, "src": source.address, "caption": "", "alt": source.title, "overlay": ""}
                grid.draw([row], key="image-itself", size=256, label="The image")
        told = st.empty()  # filled again once the model has read the picture
        if source is not None:
            told.caption(image_source.caption(source, None))
        image_choose.draw(opened, chosen, image)
        image_prompts.area(chosen, prompts)
        if explainer is not None:
            image_prompts.unseen(explainer, prompts)
            image_prompts.unread(explainer, prompts)
    with right, states.calm():
        st.segmented_control(
            "Section", list(TABS), format_func=TABS.__getitem__, label_visibility="collapsed", required=True,
            wrap=True, **chosen.bound("tab"),
        )  # fmt: skip
        if source is None:
            states.empty(
                "No image yet",
                "Choose one of the bundle or upload one, and what the model makes of it stands here.",
            )
            return
        if explainer is not None:
            shown = image_source.read(source, explainer)
            told.caption(image_source.caption(source, shown.trace))
            if explainer.notice:
                states.problem(explainer.notice)
        if view.tab == "similar" and source.image is not None:  # for which the bundle needs no model
            answer: Any = image_sections.similar(source, source.image, chosen)
        elif view.tab == "similar" and shown is not None:
            answer = image_sections.similar(source, shown.trace.unit_o, chosen)
        elif view.tab == "rosetta":  # which has models of its own
            answer = image_rosetta.rosetta(source, chosen)
        elif view.tab == "neurons" and (shown is not None or opened.store.neurons is None):
            answer = image_neurons.neurons(opened, shown, chosen, prompts)
        elif view.tab == "segment" and shown is not None:
            answer = image_segment.segment(shown, chosen, prompts)
        elif view.tab == "semantic" and shown is not None:
            answer = image_semantic.semantic(shown, chosen, prompts)
        elif shown is not None:
            answer = getattr(image_sections, view.tab)(shown, chosen, prompts)
        else:
            image_sections.wait(opened, model)
            return
        about = {"view": asdict(view), "prompts": prompts, "bundle": opened.name}
        figures.page_data(lambda: about | {"answer": answer}, "image")
