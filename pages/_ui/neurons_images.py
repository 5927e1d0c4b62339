"""A neuron's images: both ends of its direction, rows by quantile, other measures, and clusters of its largest.

Each returns what it drew, for the page's data.
"""

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.bundle.schema_pairs import LEVELS
from core.store import Histogram
from core.store.neurons import NeuronTable
from pages._ui import figures, image_rows, neurons_maps, states
from pages._ui.neurons_view import MEASURES
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

SHOWN = 20
PER_ROW = 6
CONCEPT_SHOWN = 12
TAB = "effects"
"""Where a click on an image leads: what the neuron does in it."""
TOLD = {
    "norm": "Length of the neuron's whole effect less its mean, ‖φ − b‖: whatever direction it has in that image. "
    "The direction r and the concepts come from the first of these images.",
    "activation max": "Its largest activation over the image's tokens: one patch suffices. What later heads then make "
    "of it does not count.",
    "activation mean": "Its mean activation over the image's tokens: it is active in much of the picture.",
    "first order": "Its activation at the class token, as it enters the output directly, past all later heads "
    "(the logit lens).",
}


def ends(opened: Opened, chosen: Chosen[Any]) -> dict[str, Any]:
    """The images of largest and of smallest coefficient, apart; and how coefficient and norm are distributed."""
    table, address = _of(opened, chosen)
    found = table.ends(address, SHOWN)
    hits = (found.plus, found.minus)
    st.caption(
        plain(
            "Under each image its coefficient x, how far the neuron moves it along its direction from where it moves "
            f"images on average; {found.population}. Choose an image to see the neuron's effects in it."
        )
    )
    overlays = neurons_maps.over(opened, chosen.view, [hit for end in hits for hit in end])
    for sign, title, end in (("plus", "+ end", found.plus), ("minus", "− end", found.minus)):
        st.markdown(f"**{title}**: {'largest' if sign == 'plus' else 'smallest'} coefficients")
        image_rows.row(opened, chosen, end, f"neurons-{sign}", title, overlays, tab=TAB)
    image_rows.folded(hits, found.fold_above)
    return {"ends": found, "heatmaps": overlays.maps} | _histograms(table, address)


def _histograms(table: NeuronTable, address: str) -> dict[str, Any]:
    summary = table.summary(address)
    coefficient, norm = table.histogram(address), table.histogram(address, "norm")
    measured = norm.population
    active = int((table.scores(address, "norm").score_n > summary.threshold).sum())
    name = address.replace(".", "-")
    left, right = st.columns(2, gap="small")
    with left:
        figures.show(image_rows.histogram(coefficient, "coefficient x"), f"coefficients-{name}", height=220)
        st.caption(plain(f"Coefficients {coefficient.population}: deviation {coefficient.std:.4f}."))
    with right:
        figures.show(norms(norm, summary.threshold), f"norms-{name}", height=220)
        st.caption(
            plain(
                f"Lengths of its effect {measured}; {count(active, 'image')} ({active / measured.looked_at:.1%}) above"
                f" its own threshold {summary.threshold:.4f}, the dotted line: there it counts as active."
            )
        )
    return {"coefficients": coefficient, "norms": norm}


def norms(found: Histogram, threshold: float) -> go.Figure:
    """The distribution of ‖φ - b‖ with the threshold of being active."""
    figure = image_rows.histogram(found, "length of its effect")
    figure.add_vline(x=threshold, line={"dash": "dot", "width": 1.5, "color": "#d95f0e"})
    return figure


def intervals(opened: Opened, chosen: Chosen[Any]) -> dict[str, Any]:
    """A row of images for each quantile interval of the coefficient, the highest first."""
    table, address = _of(opened, chosen)
    found = table.intervals(address, PER_ROW, LEVELS)
    st.caption(
        plain(
            "Some images of each quantile interval of the coefficient, drawn at random but always the same; "
            f"{found.population}."
        )
    )
    overlays = neurons_maps.over(opened, chosen.view, [hit for interval in found.rows for hit in interval.hits])
    image_rows.intervals(opened, chosen, found, "neurons", overlays, tab=TAB)
    return {"intervals": found, "heatmaps": overlays.maps}


def measures(opened: Opened, chosen: Chosen[Any]) -> dict[str, Any]:
    """The first images by another measure than the coefficient."""
    table, address = _of(opened, chosen)
    known = [measure for measure in MEASURES if measure in table.lists]  # a ResNet's have no first order
    st.segmented_control("Ordered by", known, format_func=str.capitalize, required=True, **chosen.bound("by"))
    by = chosen.view.by
    hits = table.top(address, by, SHOWN)
    st.caption(plain(f"{TOLD[by]} The largest {table.population}."))
    overlays = neurons_maps.over(opened, chosen.view, hits)
    image_rows.row(opened, chosen, hits, "neurons-measure", by, overlays, tab=TAB)
    return {"by": by, "images": hits, "heatmaps": overlays.maps}


def concepts(opened: Opened, chosen: Chosen[Any]) -> dict[str, Any]:
    """A row of images for each cluster of those of largest effect; strays last."""
    table, address = _of(opened, chosen)
    found = table.concepts(address)
    if not found:
        states.empty("No concepts", "The neuron has no effect in any image.")
        return {}
    clusters = sum(concept.number is not None for concept in found)
    total = sum(len(concept.images) for concept in found)
    st.markdown(f"**{count(clusters, 'concept')}** among the {total} images of its largest effect.")
    st.caption(
        plain(
            "Images are grouped by what the model as a whole makes of them: those closer than images are by chance "
            f"belong together. Under each the length of the neuron's effect; {table.population}."
        )
    )
    shown = {concept.number: concept.images[:CONCEPT_SHOWN] for concept in found}
    overlays = neurons_maps.over(opened, chosen.view, [hit for hits in shown.values() for hit in hits])
    for concept in found:
        size = f"{count(len(concept.images), 'image')} of {total}"
        name = f"Concept {concept.number + 1}" if concept.number is not None else "Strays, which are like no other"
        some = ", the first shown" if len(concept.images) > CONCEPT_SHOWN else ""
        st.markdown(f"**{name}**: {size}{some}")
        key = f"neurons-concept-{concept.number}"
        image_rows.row(opened, chosen, shown[concept.number], key, name, overlays, tab=TAB, size=84)
    return {"concepts": found, "heatmaps": overlays.maps}


def _of(opened: Opened, chosen: Chosen[Any]) -> tuple[NeuronTable, str]:
    table = opened.store.neurons
    assert table is not None
    return table, str(chosen.view.neuron)
