"""Sparsity and rank on the Characterise page: how few pairs, neurons or heads are needed, and how simple they are."""

import shlex
from collections.abc import Sequence

import streamlit as st

from core.store import Sparse
from pages._ui import figures
from pages._ui import sparsity_figures as drawn
from pages._ui.resources import Opened
from pages._ui.words import count, plain


def draw(opened: Opened, layer: str) -> None:
    """The section, of a layer by its number or of all ("all"); nothing where the bundle has no such table."""
    stored = opened.store.sparsity()
    if not stored:
        return
    rows = drawn.of_layer(stored, layer)
    st.subheader("Sparsity and rank")
    st.write(
        "A neuron and a head that reads it are a pair; a pair adds one fixed direction, more or less of it in each "
        "image. How few pairs does the representation need, compared with whole neurons or whole heads, and how simple "
        "is each of them?"
    )
    kept(opened, rows, layer)
    st.markdown("**How many components**")
    st.caption(
        "How to read it: each neuron's part is replaced by its mean and its first principal components, over the "
        "images where it is largest. A pair has one component, which is all of it, by algebra; what a neuron's bars "
        "lose below the dotted line is what its heads make of it in different directions."
    )
    figures.show(drawn.rank_chart(rows), "sparsity-rank", height=340)
    if any(row.kind == "texts" for row in rows):
        texts(rows)
    st.caption("For other percentages, more texts and all pairs, or other images of the same classes:")
    folder = shlex.quote(f"bundles/{opened.name}")
    st.code(f"python -m precompute sparsity {folder} --images FOLDER --texts 1,4,16,64 --csv table.csv", "bash")
    with st.expander("All numbers of sparsity and rank"):
        figures.table(drawn.table(stored), "sparsity", columns=drawn.COLUMNS)


def kept(opened: Opened, rows: Sequence[Sparse], layer: str) -> None:
    base = rows[0]
    if opened.store.facts().tower == "resnet":
        whose, rest = "", "In a ResNet nothing but constants is left besides."
    else:
        whose = " of all analysed layers, the best of each," if layer == "all" else f" of layer {layer}, chosen above,"
        rest = (
            "What does not go from these neurons through later heads stays as it is, so the lines end at what that "
            "alone can do."
        )
    st.markdown("**How many are needed**")
    st.caption(
        f"How to read it: all but the best share of the pairs{whose} are replaced by their means, or all but that "
        "share of neurons, or of heads; the best are those whose largest effects are largest. The further left a line "
        f"stays high, the fewer units carry what counts. {rest} Over {count(base.images, 'image')} with a class; bars "
        "are one standard error."
    )
    figures.show(drawn.kept_chart(rows), "sparsity-kept", height=420)


def texts(rows: Sequence[Sparse]) -> None:
    pairs, pool = drawn.described(rows)
    st.markdown("**How many texts**")
    st.caption(
        f"How to read it: of the {pairs:,} best pairs, those that this bundle describes, each direction is replaced by "
        f"what its first texts of the pool {plain(pool, 60)} make of it; all other pairs are replaced by their means "
        "throughout. The nearer to the dotted line, the more of what these pairs write can be said in so many texts."
    )
    figures.show(drawn.texts_chart(rows), "sparsity-texts", height=340)
