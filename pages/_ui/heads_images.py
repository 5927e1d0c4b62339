"""A head's images: both ends of a text, rows by quantile, and the images alike to a chosen one.

Each returns what it drew, for the page's data.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.store import HeadAnswer, Hit, Neighbours
from pages._ui import figures, heads_maps, image_rows, overview_entry, selection, states
from pages._ui.overlays import Overlays
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

SHOWN = 20
PER_ROW = 6


def ends(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, pick: int) -> dict[str, Any]:
    """The images of largest and of smallest score, apart."""
    address = answer.summary.address
    found = opened.store.ends(address, pick, SHOWN)
    hits = (found.plus, found.minus)
    st.caption(plain(f"Under each image ⟨c, t⟩, what this head adds to its cosine with the text; {found.population}."))
    overlays = heads_maps.over(opened, chosen.view, answer.texts[pick].text, [h for end in hits for h in end])
    for sign, title, end in (("plus", "+ end", found.plus), ("minus", "− end", found.minus)):
        st.markdown(f"**{title}**: {'largest' if sign == 'plus' else 'smallest'} scores")
        row(opened, chosen, end, f"heads-{sign}", title, overlays)
    image_rows.folded(hits, found.fold_above)
    everyone = opened.store.histogram(address, pick)
    figures.show(image_rows.histogram(everyone, "⟨c, t⟩"), f"scores-{address.replace('.', '-')}", height=230)
    st.caption(plain(f"Scores {everyone.population}: mean {everyone.mean:.4f}, deviation {everyone.std:.4f}."))
    return {"ends": found, "histogram": everyone, "heatmaps": overlays.maps}


def intervals(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, pick: int) -> dict[str, Any]:
    """A row of images for each quantile interval of the score, the highest first."""
    found = opened.store.intervals(answer.summary.address, pick, PER_ROW)
    hits = [hit for interval in found.rows for hit in interval.hits]
    st.caption(
        plain(f"Some images of each quantile interval, drawn at random but always the same; {found.population}.")
    )
    overlays = heads_maps.over(opened, chosen.view, answer.texts[pick].text, hits)
    image_rows.intervals(opened, chosen, found, "heads", overlays, tab="alike")
    return {"intervals": found, "heatmaps": overlays.maps}


def alike(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, pick: int) -> dict[str, Any]:
    """The images nearest to the chosen one in this head's sense, beside those nearest by the whole representation."""
    image = chosen.view.image
    if image is None:
        states.empty("No image is chosen", "Choose one: click on a thumbnail at either end or in a quantile row.")
        return {}
    info = opened.store.image(image)
    pair = opened.store.similar_in_head(answer.summary.address, image, SHOWN), opened.store.similar(image, SHOWN)
    every = [Hit(image, 0.0), *pair[0].hits, *pair[1].hits]
    overlays = heads_maps.over(opened, chosen.view, answer.texts[pick].text, every)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        with st.container(width=112):
            row(opened, chosen, (Hit(image, 0.0),), "heads-chosen", "The chosen image", overlays, captions=[""])
        with st.container(width="stretch", gap="xsmall"):
            st.markdown(f"**Image {image}**" + (f", {plain(info.label)}" if info.label else ""))
            st.caption(plain(info.path))
            page = overview_entry.target("image", "Image")
            st.page_link(
                page, label="What happens in it", icon=":material/image:", query_params=selection.query(image=image)
            )
    both = {hit.image_id for hit in pair[0].hits} & {hit.image_id for hit in pair[1].hits}
    st.caption(f"{len(both)} of the {len(pair[0].hits)} images of one side are on the other, too.")
    titles = f"In the sense of {answer.summary.address}", "By the whole representation"
    for n, (side, title, found) in enumerate(zip(st.columns(2, gap="small"), titles, pair, strict=True)):
        with side:
            neighbours(opened, chosen, found, title, f"heads-alike-{n}", overlays)
    return {"chosen": info, "in_head": pair[0], "by_representation": pair[1], "heatmaps": overlays.maps}


def neighbours(
    opened: Opened, chosen: Chosen[Any], found: Neighbours, title: str, key: str, overlays: Overlays
) -> None:
    """One side, with what its numbers are."""
    st.markdown(f"**{plain(title)}**  \n:small[:gray[{plain(found.measure)}]]  \n:small[:gray[{found.population}]]")
    row(opened, chosen, found.hits, key, title, overlays, size=76)


def row(
    opened: Opened, chosen: Chosen[Any], hits: Sequence[Hit], key: str, label: str, overlays: Overlays, **more: Any
) -> None:  # fmt: skip
    """Images with their scores; a click chooses one and shows what is alike to it."""
    image_rows.row(opened, chosen, hits, key, label, overlays, tab="alike", **more)
