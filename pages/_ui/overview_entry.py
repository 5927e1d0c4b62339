"""Where to start: a few heads picked by a rule that the page states, and the way from here to other pages."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.store import HeadSummary, Hit
from pages._ui import grid, links, selection
from pages._ui.resources import Opened
from pages._ui.words import plain

CARDS = 6
MOST_COLUMNS = 6
LEAST = 0.3
"""Correlation with a column from which a head counts as following it."""
RULE = (
    f"Picked by rule: the head with the largest share of the output's variance; then, for the first {MOST_COLUMNS} "
    f"columns of the manifest that group or measure, the head that follows each most, strongest first, if the "
    f"correlation is at least {LEAST}; then the next largest shares. No head twice. The pictures are the three with "
    "the largest score for its first text, near-duplicates shown once."
)


@dataclass(frozen=True)
class Entry:
    """A head and why it is here."""

    head: HeadSummary
    why: str


def _elsewhere() -> None:
    """Stands for another page in a link to it: Streamlit knows pages by their address."""


def target(address: str, title: str) -> "st.Page":
    """A page to link to, by its address."""
    return st.Page(_elsewhere, title=title, url_path=address)


def image_link(image_id: int) -> str:
    """The address of an image's page."""
    return links.href("image", image=image_id)


def entries(opened: Opened) -> tuple[Entry, ...]:
    """A handful of heads by RULE. Up to a second for each column the first time."""
    heads = sorted(opened.store.heads(), key=lambda head: -head.share)
    followed = []
    columns = [name for name in opened.store.measures() if name.startswith("column:")][:MOST_COLUMNS]
    for measure in columns:
        found = opened.store.grid(measure)
        best = max(heads, key=lambda head: found.value_lh[head.row, head.head])
        value = float(found.value_lh[best.row, best.head])
        if value >= LEAST:
            followed.append((value, measure.removeprefix("column:"), best))
    followed.sort(key=lambda each: -each[0])
    made = [Entry(heads[0], f"largest share of the output's variance, {heads[0].share:.1%}")]
    made += [Entry(head, f"follows “{column}” most, correlation {value:.2f}") for value, column, head in followed]
    made += [Entry(head, f"a large share of the output's variance, {head.share:.1%}") for head in heads[1:]]
    kept: dict[str, Entry] = {}
    for entry in made:
        kept.setdefault(entry.head.address, entry)
    return tuple(kept.values())[:CARDS]


def cards(opened: Opened, shown: Sequence[Entry]) -> None:
    """A card each: address, label, why, three pictures and a link."""
    columns = st.columns(3)
    for at, entry in enumerate(shown):
        with columns[at % len(columns)], st.container(border=True):
            _card(opened, entry)


def _card(opened: Opened, entry: Entry) -> None:
    head = entry.head
    hits = opened.store.ends(head.address, 0, 3).plus if head.texts else ()
    card(opened, head.address, head.label, entry.why, hits, target("heads", "Heads"), "head")


def card(opened: Opened, address: str, label: str, why: str, hits: Sequence[Hit], page: "st.Page", field: str) -> None:
    """A unit's address, label, why it is here, three pictures, and the way to its page."""
    st.markdown(f"**{address}** · {plain(label) or 'no texts'}")
    st.caption(plain(why))
    if hits:
        grid.images(
            opened,
            [hit.image_id for hit in hits],
            alts=[f"image {hit.image_id}, score {hit.score:.3f}" for hit in hits],
            key=f"entry-{address}",
            size=80,
            label=f"Images of {address}",
            href=image_link,
        )
    else:
        st.caption("What it writes does not vary, so it has no texts and no pictures.")
    st.page_link(
        page, label=f"Open {address}", icon=":material/arrow_forward:", query_params=selection.query(**{field: address})
    )
