"""A head's images: both ends of a text, rows by quantile, and the images alike to a chosen one."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.store import HeadAnswer, Histogram, Hit, Neighbours
from pages._ui import figures, grid, heads_maps, states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

SHOWN = 20
PER_ROW = 6


def ends(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, pick: int) -> None:
    """The images of largest and of smallest score, apart."""
    address = answer.summary.address
    found = opened.store.ends(address, pick, SHOWN)
    hits = (found.plus, found.minus)
    overlays = heads_maps.overlays(opened, chosen.view, answer.texts[pick].text, [h for end in hits for h in end])
    st.caption(plain(f"Under each image ⟨c, t⟩, what this head adds to its cosine with the text; {found.population}."))
    for sign, title, end in (("plus", "+ end", found.plus), ("minus", "− end", found.minus)):
        st.markdown(f"**{title}**: {'largest' if sign == 'plus' else 'smallest'} scores")
        row(opened, chosen, end, f"heads-{sign}", title, overlays)
    folded = sum(len(hit.folded) for end in hits for hit in end)
    if folded:
        st.caption(plain(f"{count(folded, 'near-duplicate')} (cosine above {found.fold_above}) shown once, marked +n."))
    figures.show(histogram(opened.store.histogram(address, pick)), f"scores-{address.replace('.', '-')}", height=230)
    everyone = opened.store.histogram(address, pick)
    st.caption(plain(f"Scores {everyone.population}: mean {everyone.mean:.4f}, deviation {everyone.std:.4f}."))


def intervals(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, pick: int) -> None:
    """A row of images for each quantile interval of the score, the highest first."""
    found = opened.store.intervals(answer.summary.address, pick, PER_ROW)
    hits = [hit for interval in found.rows for hit in interval.hits]
    overlays = heads_maps.overlays(opened, chosen.view, answer.texts[pick].text, hits)
    st.caption(
        plain(f"Some images of each quantile interval, drawn at random but always the same; {found.population}.")
    )
    for n, interval in enumerate(found.rows):
        levels = f"{interval.low_level:.0%} to {interval.high_level:.0%}"
        st.markdown(f"**{levels}**")
        scores = f"scores {interval.low:.4f} to {interval.high:.4f}; {count(interval.count, 'image')}"
        st.caption(plain(f"{scores}, {found.sentence(interval)}"))
        row(opened, chosen, interval.hits, f"heads-interval-{n}", levels, overlays, size=84)


def alike(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, pick: int) -> None:
    """The images nearest to the chosen one in this head's sense, beside those nearest by the whole representation."""
    image = chosen.view.image
    if image is None:
        states.empty("No image is chosen", "Choose one: click on a thumbnail at either end or in a quantile row.")
        return
    info = opened.store.image(image)
    pair = opened.store.similar_in_head(answer.summary.address, image, SHOWN), opened.store.similar(image, SHOWN)
    every = [Hit(image, 0.0), *pair[0].hits, *pair[1].hits]
    overlays = heads_maps.overlays(opened, chosen.view, answer.texts[pick].text, every)
    left, right = st.columns([1, 3], vertical_alignment="center")
    with left:
        row(opened, chosen, (Hit(image, 0.0),), "heads-chosen", "The chosen image", overlays, captions=[""])
    right.markdown(f"**Image {image}**  \n{plain(info.path)}")
    both = {hit.image_id for hit in pair[0].hits} & {hit.image_id for hit in pair[1].hits}
    titles = f"In the sense of {answer.summary.address}", "By the whole representation"
    for n, (side, title, found) in enumerate(zip(st.columns(2, gap="small"), titles, pair, strict=True)):
        with side:
            neighbours(opened, chosen, found, title, f"heads-alike-{n}", overlays)
    st.caption(f"{len(both)} of the {len(pair[0].hits)} images of one side are on the other, too.")


def neighbours(
    opened: Opened, chosen: Chosen[Any], found: Neighbours, title: str, key: str, overlays: dict[int, str]
) -> None:
    """One side, with what its numbers are."""
    st.markdown(f"**{plain(title)}**")
    row(opened, chosen, found.hits, key, title, overlays, size=76)
    st.caption(plain(f"{found.measure}; {found.population}"))


def row(
    opened: Opened, chosen: Chosen[Any], hits: Sequence[Hit], key: str, label: str, overlays: dict[int, str],
    *, size: int = 100, captions: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Images with their scores; a click chooses one and shows what is alike to it."""
    shown = captions or [f"{hit.score:.4f}" + (f" +{len(hit.folded)}" if hit.folded else "") for hit in hits]
    grid.images(
        opened,
        [hit.image_id for hit in hits],
        key=key,
        captions=shown,
        alts=[f"image {hit.image_id}, {caption}".rstrip(", ") for hit, caption in zip(hits, shown, strict=True)],
        overlays=overlays,
        selected=chosen.view.image,
        size=size,
        label=label,
        on_click=lambda image: chosen.go(image=image, tab="alike"),
    )


def histogram(scores: Histogram) -> go.Figure:
    """How the scores are distributed."""
    middle = (scores.edge_b[:-1] + scores.edge_b[1:]) / 2
    figure = go.Figure(
        go.Bar(x=middle.tolist(), y=scores.count_b.tolist(), hovertemplate="%{x:.4f}: %{y} images<extra></extra>")
    )
    figure.update_xaxes(title="⟨c, t⟩")
    figure.update_yaxes(title="images")
    figure.update_layout(bargap=0.02)
    return figure
