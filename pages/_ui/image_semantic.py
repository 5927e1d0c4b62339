"""The Image page's section Semantic: every pixel given to one of the visitor's own classes, in colour."""

import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image, ImageChops
from plotly.colors import qualitative

from core.errors import InputError
from pages._ui import image_prompts, image_source, resources, states
from pages._ui.image_source import Shown
from pages._ui.selection import Chosen
from pages._ui.thumbs import data_uri

if TYPE_CHECKING:
    from core.explain.semantic import Semantic, SemanticExplainer

METHODS = {"pairs": "Pairs", "heads": "Heads", "neurons": "Neurons", "maskclip": "MaskCLIP"}
SIZES = {"code": "1 ×", "paper": "1.33 ×", "fine": "2 ×"}
ZEROED = (0, 1, 2, 5, 10, 20, 50, 100)
_MAX_TOTAL = 2_000  # characters: the prompts are in the address as well
_NOTICE = "_classes_notice"
_SIDE = 640  # pixels of the longer side of what is drawn
# told apart by colour-blind eyes first (Okabe and Ito), then whatever is left
PALETTE = ("#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", *qualitative.Dark24,
           *qualitative.Light24)  # fmt: skip
_HOW = {
    "pairs": "The {n:,} neuron–head pairs whose direction is most like a class speak for it: where the neuron is "
    "active, times how like the class what the head writes there is.",
    "heads": "How like a class what the heads write at each place is, mean over all heads.",
    "neurons": "The mean activation of the {n:,} neurons whose direction is most like a class.",
    "maskclip": "MaskCLIP: each place through the last value and output projections, and its cosine with the class.",
}


def semantic(shown: Shown, chosen: Chosen[Any], prompts: tuple[str, ...]) -> Any:
    """The section; returns what it drew."""
    live = resources.semantic_explainer(shown.opened)
    _area(chosen, prompts)
    _controls(live, chosen)
    place = st.empty()
    found = _find(live, shown, chosen, chosen.view.classes or prompts, place)
    place.empty()
    opacity = chosen.view.opacity / 100
    names = ", ".join(f"{found.classes[c]} {found.share_c[c]:.0%}" for c in np.argsort(-found.share_c)[:5])
    style = "flex: 1 1 240px; min-width: 0; max-width: 420px; width: 100%; height: auto; border-radius: 6px"
    pictures = (
        (drawn(found, opacity), f"Classes by colour: {names}"),
        (drawn(found, 0.0), "The picture at the same size"),
    )
    st.html(
        '<div style="display: flex; flex-wrap: wrap; gap: 12px">'
        + "".join(f'<img src="{src}" alt="{html.escape(alt)}" style="{style}">' for src, alt in pictures)
        + "</div>"
    )
    st.html(legend(found))
    st.caption(_told(found))
    st.download_button(
        "Label map (PNG)",
        data=lambda: label_png(found),
        file_name="unitscope-labels.png",
        mime="image/png",
        key="image-semantic-labels",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
        help="A palette PNG: each pixel the number of its class's line, from 1.",
    )
    return found


def _area(chosen: Chosen[Any], prompts: tuple[str, ...]) -> None:
    """The classes, one a line: the prompts until they are changed. What cannot be used gets a sentence."""

    def changed() -> None:
        try:
            found = image_prompts.lines(st.session_state["image-classes"], "class", "classes", _MAX_TOTAL)
            chosen.go(classes=() if found == prompts else found)
        except InputError as error:
            st.session_state[_NOTICE] = f"{error} The classes from before are still shown."

    st.session_state["image-classes"] = "\n".join(chosen.view.classes or prompts)
    st.text_area(
        "Classes, one a line",
        key="image-classes",
        height=170,
        on_change=changed,
        help="Every place is given to one of them, so name what surrounds things too. At first these are the prompts. "
        "Press Ctrl+Enter to apply.",
    )
    if sentence := st.session_state.pop(_NOTICE, None):
        states.problem(sentence)


def _controls(live: "SemanticExplainer", chosen: Chosen[Any]) -> None:
    able = [name for name in METHODS if name in live.methods]
    by = chosen.bound("method")
    if chosen.view.method not in able:  # a link from a bundle with pairs
        st.session_state[by["key"]] = able[0]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control("By", able, format_func=METHODS.__getitem__, required=True, width="content", **by)
        st.segmented_control(
            "Size", list(SIZES), format_func=SIZES.__getitem__, required=True, width="content",
            help="The picture's short side over a window's, which is what the model sees at once: 1.33 in the paper, 1 "
            "in its code. Larger finds smaller things, and sees less around them.", **chosen.bound("size"),
        )  # fmt: skip
        st.slider("Opacity, %", 10, 100, step=10, width=140, **chosen.bound("opacity"))
        if live.repairs:
            st.toggle(
                "Repair the sink",
                width="content",
                help="The attention pool looks at its last token whatever is there. On: that token's vectors are the "
                "mean of its neighbours', as in the paper's code.",
                **chosen.bound("repair"),
            )
        if live.repairs and live.registers:
            st.select_slider(
                "Register neurons off", [n for n in ZEROED if n <= live.registers], width=180,
                help="The neurons that drive the attention sink, strongest first, set to zero in all tokens before the "
                "positional embedding is added.", **chosen.bound("zeroed"),
            )  # fmt: skip
    if len(able) < len(METHODS):
        st.caption("This bundle has no neuron–head pairs or neurons, so places are read by heads or by MaskCLIP.")


def _find(
    live: "SemanticExplainer", shown: Shown, chosen: Chosen[Any], classes: tuple[str, ...], place: Any
) -> "Semantic":
    from core.explain.semantic import How  # brings torch, which pages that only read bundles need not wait for

    view = chosen.view
    how = How(
        by=view.method if view.method in live.methods else live.methods[0],
        short_side=view.size,
        repair=view.repair and live.repairs,
        zeroed=min(view.zeroed, live.registers) if live.repairs else 0,
    )

    def told(done: int, total: int) -> None:
        place.progress(done / total, text=f"Windows: {done} of {total}")

    return live.segment(shown.trace.key, lambda: image_source.picture(shown.source), classes, how, told)


def _told(found: "Semantic") -> str:
    """One sentence on how, one on what was looked at."""
    rows, columns = found.label_yx.shape
    windows = "one window" if found.windows == 1 else f"{found.windows} windows of {found.crop} pixels"
    every = "" if found.windows == 1 else f", {found.stride} apart"
    sink = " The last place of each window is read from its neighbours." if found.how.repair else ""
    zeroed = f" {found.how.zeroed} register neurons are set to zero." if found.how.zeroed else ""
    return (
        f"{_HOW[found.how.by].format(n=found.chosen)} Classes are compared as typed, less their mean over these "
        f"{len(found.classes)}, in {windows}{every}, of the picture at {columns} × {rows} pixels.{sink}{zeroed} Half "
        f"of the pixels have their class with a probability of at least {found.confidence:.0%}."
    )


def drawn(found: "Semantic", opacity: float) -> str:
    """The picture in grey under its classes' colours, which its light and dark shade, as a data URI; at opacity 0 the
    picture itself."""
    rows, columns = found.label_yx.shape
    scale = max(1, round(_SIDE / max(rows, columns)))
    size = (columns * scale, rows * scale)
    picture = Image.fromarray(found.view_yx3)
    if opacity:
        grey = picture.convert("L").resize(size, Image.Resampling.BICUBIC).convert("RGB")
        colours = Image.fromarray(_rgb()[found.label_yx % len(PALETTE)]).resize(size, Image.Resampling.NEAREST)
        picture = Image.blend(grey, ImageChops.multiply(colours, grey.point(lambda value: 115 + 0.55 * value)), opacity)
    out = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(out, "WEBP", quality=90)
    return data_uri(out.getvalue(), "image/webp")


def legend(found: "Semantic") -> str:
    """Colours, names and shares, the largest first, as HTML in which the names are characters alone."""
    item = "display: inline-flex; align-items: center; gap: 6px; margin: 0 14px 4px 0; font-size: 0.85rem"
    swatch = "width: 14px; height: 14px; border-radius: 3px; flex: none; border: 1px solid rgba(128, 128, 128, 0.6)"
    parts = []
    for c in np.argsort(-found.share_c, kind="stable").tolist():
        name, share = found.classes[c], found.share_c[c]
        cut = html.escape(name if len(name) <= 60 else name[:59] + "…")
        parts.append(
            f'<span style="{item}; opacity: {1 if share else 0.5}">'
            f'<span style="{swatch}; background: {PALETTE[c % len(PALETTE)]}"></span>'
            f'<bdi>{cut}</bdi> <span style="opacity: 0.7">{share:.1%}</span></span>'
        )
    return f'<div style="display: flex; flex-wrap: wrap">{"".join(parts)}</div>'


def label_png(found: "Semantic") -> bytes:
    """Class numbers from 1, with the legend's colours as the palette."""
    labels = Image.fromarray((found.label_yx + 1).astype(np.uint8))
    labels.putpalette([0, 0, 0, *_rgb().ravel().tolist()])
    out = io.BytesIO()
    labels.save(out, "PNG")
    return out.getvalue()


def _rgb() -> np.ndarray:
    return np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in PALETTE], np.uint8)
