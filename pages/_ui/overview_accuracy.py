"""Zero-shot accuracy, and how it falls when parts of the encoder are replaced by their means."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.store import Ablation, Facts
from pages._ui import figures
from pages._ui.words import count


def draw(facts: Facts, ablations: Sequence[Ablation]) -> None:
    """The section; ablations are shown where the bundle has them."""
    score = facts.zero_shot
    if not score:
        st.caption("The images of this bundle have no classes, so there is no zero-shot accuracy.")
        return
    over = f"Of {count(score['images'], 'image')} with a class."
    left, middle, right = st.columns(3)
    left.metric("Zero-shot top-1", f"{score['top1']:.1%}", help=over)
    middle.metric("Zero-shot top-5", f"{score['top5']:.1%}", help=over)
    right.metric("Classes", f"{score['classes']:,}", help=f"Each named in {count(score['templates'], 'prompt')}.")
    st.caption(
        f"{over} An image counts when its class's prompts have the largest cosine with it among "
        f"{count(score['classes'], 'class', 'classes')}; at random that is {1 / max(1, score['classes']):.1%}."
    )
    if ablations:
        _ablated(ablations, 1 / max(1, score["classes"]))


def _ablated(ablations: Sequence[Ablation], chance: float) -> None:
    st.markdown("**When parts are replaced by their means**")
    images = ablations[0].images
    st.caption(
        f"Each part is replaced by its mean over the data set, so that it no longer tells images apart; top-1 accuracy "
        f"of {count(images, 'image')}. Where it hardly falls, the encoder gets by without what these parts say of an "
        "image directly."
    )
    left, right = st.columns([3, 2])
    with left:
        figures.show(chart(ablations, chance), "ablation", height=320)
    with right:
        shown = {"top-1": st.column_config.NumberColumn(format="percent")}
        shown["images"] = st.column_config.NumberColumn(format="localized")
        figures.table(rows(ablations), "ablation", columns=shown)


def named(ablation: Ablation) -> str:
    """What was replaced, in words."""
    if ablation.kind == "attention":
        return "attention of L0" if not ablation.layer else f"attention of L0 to L{ablation.layer}"
    return {"none": "nothing", "mlps": "all MLPs"}.get(ablation.kind, ablation.kind)


def rows(ablations: Sequence[Ablation]) -> pd.DataFrame:
    """The table: what was replaced, accuracy, population."""
    return pd.DataFrame([{"replaced": named(each), "top-1": each.top1, "images": each.images} for each in ablations])


def chart(ablations: Sequence[Ablation], chance: float) -> go.Figure:
    """Accuracy against the last layer whose attention is replaced, with the levels of nothing and of all MLPs."""
    attention = sorted((each for each in ablations if each.kind == "attention"), key=lambda each: each.layer or 0)
    drawn = go.Figure()
    names = [f"L{each.layer}" for each in attention]
    levels = [(named(each), each.top1, dash) for kind, dash in (("none", "dot"), ("mlps", "dash"))
              for each in ablations if each.kind == kind]  # fmt: skip
    for name, level, dash in [*levels, ("at random", chance, "longdashdot")]:
        drawn.add_scatter(x=names, y=[level] * len(names), name=name, mode="lines", line={"dash": dash, "width": 1.5})
    drawn.add_scatter(x=names, y=[each.top1 for each in attention], name="attention up to here", mode="lines+markers")
    drawn.update_layout(legend={"orientation": "h", "y": -0.35}, hovermode="x unified")
    drawn.update_xaxes(title="attention replaced in layers 0 to …", type="category")
    drawn.update_yaxes(title="top-1 accuracy", tickformat=".0%", range=[0, 1.02])
    return drawn
