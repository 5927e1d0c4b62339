"""One concept: the same images for every model, each with that model's map over it; its units, their correlations, its
texts."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.store.dictionary_answers import Concept, ConceptUnit, MemberInfo
from pages._ui import (
    desk_links,
    figures,
    grid,
    labels,
    overlays,
    rosetta_figures,
    rosetta_frame,
    rosetta_links,
    rosetta_view,
    scores,
)
from pages._ui.dictionaries import Opened
from pages._ui.rosetta_cards import label, shared
from pages._ui.rosetta_view import RosettaView
from pages._ui.selection import Chosen
from pages._ui.thumbs import data_uri
from pages._ui.words import count, plain

SIZE = 104
HOW = {
    "second-order direction": "texts nearest to what it writes through later attention heads (cosine)",
    "pool direction": "texts nearest to what it writes through the attention pool (cosine)",
    "map": "texts whose heatmaps its map follows best over the images (correlation)",
}


def draw(found: Opened, chosen: Chosen[RosettaView], concept: Concept) -> dict[str, Any]:
    """The page's body; returns what it drew."""
    st.subheader(plain(label(concept)), anchor=False)
    given = labels.beside(found.store.id, concept.address)
    _told(found, concept)
    desk_links.concept(found, concept)
    maps = found.store.maps(concept)
    with st.container(horizontal=True, gap="medium"):
        st.toggle(
            "Every unit", **chosen.bound("every"), width="content",
            help="Off: of each model the unit that fits best. On: all of the concept's units.",
        )  # fmt: skip
        st.toggle(
            "Each map on its own scale", **chosen.bound("own"), width="content",
            help="Off: a row has one scale, so that strong and weak maps differ. On: each map's largest value in full "
            "colour, and its value under the image.",
        )  # fmt: skip
    st.markdown(
        f"**The {len(concept.images)} images** of largest activation: the mean over models, of each its best unit"
    )
    grid.images(
        found, concept.images, key="rosetta-plain", size=SIZE, label="Images of this concept",
        alts=[f"image {image}" for image in concept.images],
        href=lambda image: rosetta_view.href(chosen, tab="image", image=image, concept=None),
    )  # fmt: skip
    for member in found.store.members:
        _member(found, chosen, concept, member, maps)
    st.caption(
        "Blue: active, orange: below zero; patch by patch, each model's own. A model sees the image's middle square. "
        "Choose an image for all the concepts in it."
    )
    _null(found, concept)
    left, right = st.columns(2, gap="large")
    corr_nn = np.asarray(found.store.correlations(concept))
    with left:
        _matrix(found, concept, corr_nn)
    with right:
        texts = _texts(found, concept)
    _units(concept)
    return {"concept": concept, "maps": maps, "correlations": corr_nn, "texts": texts, "by hand": given}


def match(unit: ConceptUnit) -> str:
    """How a unit came into the concept; plain text."""
    if unit.partner is None:
        return "unit of the hub"
    return f"r {unit.r:.3f} with {unit.partner}, null {unit.null:.3f}"


def _told(found: Opened, concept: Concept) -> None:
    members = len(found.store.members)
    st.caption(plain(f"{concept.address} · {shared(concept, members)} · {count(len(concept.members), 'unit')}"))
    if concept.label is None:
        st.caption("It has no label: no CLIP model of this dictionary has a unit in a concept, or it follows no text.")
        return
    st.caption(
        f"Its label is, of {count(len(found.store.pool), 'text')}, the one that its activation follows most closely "
        "over half of the images, as the CLIP models read them. The concept itself was found without texts."
    )
    scores.of_concept(found.store, concept, concept.label.text, before="On the other half:")


def _null(found: Opened, concept: Concept) -> None:
    """What its matches are compared with."""
    levels = ", ".join(
        f"{member.name} {found.store.level(concept.hub, member.name):.3f}"
        for member in found.store.members
        if member.name != concept.hub and member.name in concept.best
    )
    st.caption(
        plain(
            f"Null level of {concept.hub} with {levels}: {rosetta_frame.null_told(found)}. A match counts where "
            f"both units are among each other's {found.store.k} nearest and their r is above this level and above "
            "their own r under the same shuffle; the larger of the two is the null.",
            900,
        )
    )


def _member(
    found: Opened, chosen: Chosen[RosettaView], concept: Concept, member: MemberInfo, maps: dict[str, np.ndarray]
) -> None:
    """A model's row, or rows."""
    units = [unit for unit in concept.members if unit.member == member.name]
    fits = concept.best.get(member.name)
    if fits is None:
        st.markdown(f"**{plain(member.name)}** :gray[{plain(member.family)} · no partner above the null]")
        return
    for unit in units if chosen.view.every else [fits]:
        more = f" · {len(units) - 1} more" if len(units) > 1 and not chosen.view.every else ""
        top = float(np.abs(maps[unit.address]).max())
        scale = "" if chosen.view.own else f" · full colour at {top:.2g}"
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            numbers = plain(f"{member.family} · {match(unit)}{more}{scale}", 400)
            st.markdown(
                f"**{plain(member.name)}** {plain(unit.layer)}.N{unit.unit} :small[:gray[{numbers}]]", width="content"
            )
            rosetta_links.elsewhere(member, unit.layer, unit.unit)
        grid.draw(
            _row(found, chosen, concept, unit, maps[unit.address], None if chosen.view.own else top),
            key=f"rosetta-{unit.address}",
            size=SIZE,
            label=f"Maps of {unit.address}",
        )


def _row(
    found: Opened, chosen: Chosen[RosettaView], concept: Concept, unit: ConceptUnit, map_iyx: np.ndarray,
    scale: float | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The concept's images under a unit's maps."""
    return [
        {
            "id": image,
            "src": grid.source(found, image),
            "overlay": over(map_yx, scale),
            "caption": f"±{np.abs(map_yx).max():.2g}" if chosen.view.own else "",
            "alt": f"{unit.address} in image {image}",
            "href": rosetta_view.href(chosen, tab="image", image=image, concept=None),
        }
        for image, map_yx in zip(concept.images, map_iyx, strict=True)
    ]


def over(map_yx: np.ndarray, scale: float | None = None) -> str:
    """A map as a picture to lay over an image's middle square; full colour at `scale` (default: its largest value)."""
    return data_uri(overlays.png(np.asarray(map_yx, np.float32), 1, 1, scale))


def _matrix(found: Opened, concept: Concept, corr_nn: np.ndarray) -> None:
    st.markdown("**How its units correlate**")
    figures.show(
        rosetta_figures.correlations(concept, corr_nn), "rosetta-correlations",
        height=min(900, 190 + 26 * len(corr_nn)),
    )  # fmt: skip
    st.caption(
        f"Pearson correlation of the units' maps over all positions of {count(found.store.images, 'image')}, the "
        "smaller map resized to the larger. Units of the same model are in one block."
    )


def _texts(found: Opened, concept: Concept) -> dict[str, Any]:
    """The texts of the concept's CLIP units."""
    st.markdown("**What its CLIP units write**")
    told = {}
    for member in found.store.members:
        unit = concept.best.get(member.name)
        if unit is None or not member.clip:
            continue
        texts = told[unit.address] = found.store.texts(unit.address)
        st.markdown(f":small[**{plain(unit.address)}** {plain(HOW[texts[0].how] if texts else 'no text')}]")
        for text in texts:
            st.caption(f"{text.value:+.3f} {plain(text.text)}")
    if not told:
        st.caption("None of the models with a unit in it reads texts.")
    return told


def _units(concept: Concept) -> None:
    st.markdown("**Its units**")
    st.caption("Units of the hub are matched with none; their r is the largest with a partner. Null: see above.")
    figures.table(
        pd.DataFrame(
            {
                "unit": [unit.address for unit in concept.members],
                "model": [unit.member for unit in concept.members],
                "layer": [unit.layer for unit in concept.members],
                "matched with": [unit.partner or "" for unit in concept.members],
                "r": [unit.r for unit in concept.members],
                "null": [unit.null if unit.partner else None for unit in concept.members],
            }
        ),
        "rosetta-units",
        columns={name: st.column_config.NumberColumn(format="%.3f") for name in ("r", "null")},
    )
