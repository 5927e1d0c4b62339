"""Images of the data set that show the first class and hold the cues, and what the model takes them for."""

from collections import Counter

import numpy as np
import streamlit as st

from core.store.cue_images import CueImages, members, nearest, occurring
from core.store.cues import CueFinder, CueWord
from pages._ui import grid, links, states
from pages._ui.cues_choose import Side
from pages._ui.resources import Opened
from pages._ui.words import count, plain

SHOWN = 24
NEAREST = 50
"""Images that stand for a class which the bundle does not have."""


def draw(opened: Opened, finder: CueFinder, sides: tuple[Side, Side], words: tuple[CueWord, ...]) -> CueImages | None:
    """The section; returns what it shows."""
    st.subheader("In the data set", anchor=False)
    c1, store = sides[0], opened.store
    ids = members(store, c1.position) if c1.position is not None else nearest(store, c1.text_o, NEAREST)
    if not len(ids) or not words:
        states.empty("No images", "The data set has no usable image of the first class, or there are no cues.")
        return None
    found = occurring(store, ids, words, _directions(finder, words))
    whose = f"of {plain(c1.about, 60)}" if c1.position is not None else f"nearest to “{plain(c1.name, 60)}”"
    st.caption(
        f"The {count(len(found.hits), 'image')} of the {found.members:,} {whose} "
        + (
            f"with most of the cues' words in the columns {plain(', '.join(found.by), 120)}: half of them at most, by "
            "the summed weight of the words that occur."
            if found.by
            else "that are most like the cues: the data set has no column of text, so this is the upper half by the "
            "cosine of image and cues."
        )
    )
    _taken(opened, found, sides)
    names = store.class_names()
    hits = found.hits[:SHOWN]
    grid.images(
        opened,
        [hit.image_id for hit in hits],
        captions=[f"{names[hit.predicted]}\n{', '.join(hit.found) or format(hit.score, '+.3f')}" for hit in hits],
        alts=[f"image {hit.image_id}, taken for {names[hit.predicted]}" for hit in hits],
        key="cues-images",
        label="Images with cues",
        href=lambda image: links.href("image", image=image),
    )
    if hits:
        st.caption(
            f"{len(hits)} of {len(found.hits):,}; under each, the class it is taken for among the bundle's "
            f"{len(names):,}, and {'the words that occur' if found.by else 'its cosine with the cues'}. From stored "
            "representations."
        )
    return found


def _taken(opened: Opened, found: CueImages, sides: tuple[Side, Side]) -> None:
    """What images with and without cues are taken for, in words."""
    (c1, c2), names = sides, opened.store.class_names()
    having = Counter(hit.predicted for hit in found.hits)
    lacking = Counter(found.taken) - having
    lines = []
    for told, counts in (("With most cues", having), ("The others", lacking)):
        total = sum(counts.values())
        parts = [
            f"{counts[side.position]:,} taken for {plain(side.about, 60)}"
            for side in (c1, c2)
            if side.position is not None
        ]
        rest = total - sum(counts[side.position] for side in (c1, c2) if side.position is not None)
        most = Counter({c: n for c, n in counts.items() if c not in (c1.position, c2.position)}).most_common(3)
        others = f" ({', '.join(f'{plain(names[c], 40)} {n:,}' for c, n in most)})" if most else ""
        lines.append(
            f"**{told}**, {count(total, 'image')}: {', '.join([*parts, f'{rest:,} for another class'])}{others}."
        )
    st.markdown("  \n".join(lines))


def _directions(finder: CueFinder, words: tuple[CueWord, ...]) -> np.ndarray:
    """The words' embeddings less the pool's mean."""
    rows = [finder.texts.index(word.text) for word in words]
    return np.asarray(finder.table.bundle.array("text_embeddings")[rows]) - finder.table.pool_mean
