"""What the Search page takes from the scores of labels, and what it gives to the labelling desk."""

from collections.abc import Collection, Sequence

import numpy as np
import streamlit as st

from core.store.unit_map import Population
from core.store.units import KINDS, Kind
from pages._ui import desk_links, scores, scores_jobs
from pages._ui.resources import Opened
from pages._ui.search_view import CONCEPT
from pages._ui.words import count


def told(opened: Opened, address: str, kind: str) -> str:
    """ "r 0.41" of a unit's automatic label; "" of a concept, a unit without a score, and as long as scores are being
    computed, which pictures need not wait for."""
    if kind == CONCEPT:
        return ""
    of = opened.store.units.kind(address)
    if not ready(opened, of):
        return ""
    value = float(opened.store.label_scores.quick(of)[0][opened.store.units.row(address)])
    return "" if np.isnan(value) else f"r {value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def caption(opened: Opened, kinds: Collection[str]) -> None:
    """What the scores on the cards are, beside what random texts have."""
    parts = []
    for kind in KINDS:
        if kind in kinds and np.isfinite(random := opened.store.label_scores.quick(kind)[1]).any():
            low, high = np.nanquantile(random, [0.025, 0.975])
            parts.append(f"{low:.2f} to {high:.2f} ({kind}s)".replace("-", "−"))
    if parts:
        st.caption(f"r: {scores.TOLD} Of a random text of the pool, 95 % lie from {' and from '.join(parts)}.")


def of_units(opened: Opened, units: Population) -> np.ndarray | None:
    """The scores of a map's units in its order, NaN for one without; None as long as they are being computed."""
    there = [ready(opened, kind) for kind in units.rows]  # each is begun
    if not all(there):
        return None
    parts = [opened.store.label_scores.quick(kind)[0][rows] for kind, rows in units.rows.items()]
    return np.concatenate(parts) if parts else np.zeros(0)


def ready(opened: Opened, kind: Kind) -> bool:
    """Whether the scores of a kind are there; begins to compute them, once."""
    if opened.store.label_scores.is_quick(kind):
        return True
    scores_jobs.table(opened, kind)
    return False


def send(addresses: Sequence[str], name: str, ticked: bool) -> None:
    """The button that makes these units a queue of the labelling desk."""
    units = count(len(addresses), "unit")
    if st.button(
        f"Label {'these ' if ticked else 'all '}{units}",
        key="send-to-desk",
        icon=":material/edit_note:",
        help="Send them to the labelling desk, as a queue in this order.",
    ):
        desk_links.send(addresses, name)
