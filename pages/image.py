"""Image: what happens in one picture, from the bundle or the visitor's own, and what adds up to its cosines."""

from dataclasses import asdict, dataclass

import streamlit as st

from pages._ui import figures, grid, image_prompts, image_sections, image_source, resources, selection, states
from pages._ui.image_figures import picture

TABS = {
    "scores": "Scores",
    "where": "Where",
    "budget": "Budget",
    "heads": "Heads",
    "tokens": "Tokens",
    "similar": "Similar images",
}


@dataclass(frozen=True)
class ImageView:
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
    head: str | None = None


def main() -> None:
    opened = resources.current()
    store = opened.store
    prompt = selection.words(image_prompts.MAX_CHARACTERS)
    chosen = selection.read(
        ImageView,
        image=selection.integer(0, store.facts().images - 1),
        upload=upload,
        prompts=prompt,
        tab=selection.one_of(*TABS),
        scale=selection.one_of("cosine", "softmax"),
        text=prompt,
        against=prompt,
        normalise=selection.one_of("raw", "per-layer"),
        averaged=selection.flag,
        opacity=selection.one_of(*range(10, 101, 10)),
        head=selection.one_of(*(head.address for head in store.heads())),
    )
    view = chosen.view
    image = None if view.upload else store.random(0)[0] if view.image is None else view.image
    prompts = view.prompts[: image_prompts.MAX_LINES] or image_prompts.start(opened, image)
    st.title("Image")
    left, right = st.columns([1, 2], gap="large")
    shown = None
    with left:
        with states.calm():
            shown = image_source.read(opened, image, view.upload)
            if shown is not None:
                source = picture(shown.trace.view_yx3, 448)
                row = {"id": 0, "src": source, "caption": "", "alt": shown.title, "overlay": ""}
                grid.draw([row], key="image-itself", size=256, label="The image")
                st.caption(image_source.caption(shown))
        image_prompts.area(chosen, prompts)
        image_source.choose(opened, chosen, image)
    with right:
        st.segmented_control(
            "Section",
            list(TABS),
            format_func=lambda tab: TABS[tab],
            label_visibility="collapsed",
            required=True,
            **chosen.bound("tab"),
        )
        with states.calm():
            if shown is not None:
                if shown.explainer.notice:
                    states.problem(shown.explainer.notice)
                answer = getattr(image_sections, view.tab)(shown, chosen, prompts)
                about = {"view": asdict(view), "prompts": prompts, "bundle": opened.name}
                figures.page_data(lambda: about | {"answer": answer}, "image")
            else:
                states.empty(
                    "No image yet",
                    "Choose one of the bundle or upload one, and what the model makes of it stands here.",
                )


def upload(text: str) -> str:
    """The name of an upload in a link: exactly as long as `uploads` makes them."""
    if len(selection.digest(text)) != 32:
        raise ValueError
    return text
