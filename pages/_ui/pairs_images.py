"""A pair's images: both ends of its direction, rows by quantile, and its neuron's and its head's beside them.

Each returns what it drew, for the page's data.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.store import Hit
from core.store.pair_answers import PairSummary
from core.store.pairs import PairTable
from pages._ui import image_rows, pairs_maps
from pages._ui.pairs_maps import Kind
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

SHOWN = 20
BESIDE = 10
PER_ROW = 6
TAB = "image"
"""Where a click on an image leads: the pair in it."""


def ends(opened: Opened, chosen: Chosen[Any], table: PairTable, summary: PairSummary) -> dict[str, Any]:
    """The images of largest and of smallest coefficient, apart."""
    found = table.ends(summary.address, SHOWN)
    hits = (found.plus, found.minus)
    st.caption(
        plain(
            "Under each image its coefficient x, how far the pair moves it along its direction from where it moves "
            f"images on average; {found.population}. Choose an image to see the pair in it."
        )
    )
    overlays = pairs_maps.over(opened, chosen.view, summary.address, [hit for end in hits for hit in end])
    for sign, title, end in (("plus", "+ end", found.plus), ("minus", "− end", found.minus)):
        st.markdown(f"**{title}**: {'largest' if sign == 'plus' else 'smallest'} coefficients")
        image_rows.row(opened, chosen, end, f"pairs-{sign}", title, overlays, tab=TAB)
    image_rows.folded(hits, found.fold_above)
    return {"ends": found, "heatmaps": overlays.maps}


def intervals(opened: Opened, chosen: Chosen[Any], table: PairTable, summary: PairSummary) -> dict[str, Any]:
    """A row of images for each quantile interval of the coefficient, the highest first."""
    found = table.intervals(summary.address, PER_ROW)
    st.caption(
        plain(f"Images at evenly spread ranks of each quantile interval of the coefficient; {found.population}.")
    )
    shown = [hit for interval in found.rows for hit in interval.hits]
    overlays = pairs_maps.over(opened, chosen.view, summary.address, shown)
    image_rows.intervals(opened, chosen, found, "pairs", overlays, tab=TAB)
    return {"intervals": found, "heatmaps": overlays.maps}


def levels(opened: Opened, chosen: Chosen[Any], table: PairTable, summary: PairSummary) -> dict[str, Any]:
    """The pair, its neuron and its head: a row each of the images they do most in (paper P, figure 4)."""
    st.caption(
        plain(
            "The images that each moves most, whichever way: the pair by the size of its coefficient x, the neuron and "
            f"the head by the length of their whole effect less its mean; {table.population}. In the paper, the finer "
            "the unit, the more alike its images; the last line says whether that holds here.",
            400,
        )
    )
    rows: list[tuple[Kind, str, str, Sequence[Hit]]] = [
        ("pair", f"Pair {summary.address}", summary.label or table.short(summary.address),
         table.largest(summary.address, BESIDE)),
        ("neuron", f"Neuron {summary.neuron}", summary.neuron_label, table.neurons.top(summary.neuron, "norm", BESIDE)),
        ("head", f"Head {summary.head}", table.head_label(summary.head), table.head_largest(summary.head, BESIDE)),
    ]  # fmt: skip
    drawn: dict[str, Any] = {}
    for kind, name, label, hits in rows:
        st.markdown(f"**{plain(name)}**" + (f": {plain(label)}" if label else ""))
        if not hits:
            st.caption("This bundle does not analyse the head's layer, so it has no images of the whole head.")
            continue
        overlays = pairs_maps.over(opened, chosen.view, summary.address, hits, kind, told=not drawn)
        if overlays.maps and drawn:
            st.caption(plain(f"The maps of this row: {pairs_maps.UNITS[kind]}."))
        image_rows.row(opened, chosen, hits, f"pairs-beside-{kind}", name, overlays, tab=TAB)
        drawn[kind] = {"images": hits, "heatmaps": overlays.maps}
    st.caption(inertia(summary))
    return {"beside": drawn}


def sub(opened: Opened, chosen: Chosen[Any], table: PairTable, summary: PairSummary) -> dict[str, Any]:
    """The neuron's concept, and the parts of it that single heads read."""
    found = table.sub_concepts(summary.neuron)
    st.caption(
        "Parts of the neuron's concept, found without a language model: those of its pairs whose images are closer "
        "together than the neuron's and lie inside it. Score = tightness × inside; tightness = 1 − inertia of the "
        "pair's images / the neuron's; inside = share of them in which the whole neuron is active. Pairs with less "
        "than half of an even share of the neuron, and pairs that show the same images again, are left out."
    )
    whole = table.neurons.top(summary.neuron, "norm", BESIDE)
    st.markdown(f"**Neuron {plain(summary.neuron)}**: {plain(summary.neuron_label)}")
    overlays = pairs_maps.over(opened, chosen.view, summary.address, whole, "neuron")
    image_rows.row(opened, chosen, whole, "pairs-sub-neuron", f"Neuron {summary.neuron}", overlays, tab=TAB, size=84)
    if not found:
        st.caption("None of its pairs has images that are closer together than its own: its concept has no parts.")
    elif overlays.maps:
        st.caption(plain(f"The maps of the rows below: {pairs_maps.UNITS['pair']}."))
    for n, part in enumerate(found):
        numbers = f"score {part.score:.2f} = tightness {part.tightness:.2f} × inside {part.inside:.2f}"
        here = " (this pair)" if part.address == summary.address else ""
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.button(
                plain(part.address),
                key=f"pairs-sub-open-{n}",
                icon=":material/arrow_forward:",
                type="tertiary",
                on_click=chosen.go,
                kwargs={"pair": table.pair(table.row(part.address))},
                help="Opens this pair.",
                disabled=bool(here),
            )
            text = f"{numbers} · {part.share:.0%} of the neuron's effect{here}"
            st.markdown(f"**{plain(part.label) or 'no texts'}**  \n:small[:gray[{plain(text)}]]")
        maps = pairs_maps.over(opened, chosen.view, part.address, part.images, told=False)
        image_rows.row(opened, chosen, part.images, f"pairs-sub-{n}", part.address, maps, tab=TAB, size=84)
    return {"neuron": whole, "sub_concepts": found}


def inertia(summary: PairSummary) -> str:
    """The pair's inertia beside its neuron's, in a sentence."""
    closer = "closer together" if summary.tightness > 0 else "no closer together"
    return plain(
        f"Inertia, the summed squared distance of the {summary.inertia_images} first images from their mean: "
        f"{summary.inertia:.3f} for the pair, {summary.neuron_inertia:.3f} for its neuron: the pair's are {closer}.",
        400,
    )
