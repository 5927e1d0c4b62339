"""Results as cards: pictures, what the unit is called, why it is there; all of them in one component, so that a page of
them is drawn at once. Text is set as text; j and k step, x ticks, Enter opens."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "unitscope_search_cards",
    html='<div class="cards" role="list"></div>',
    css=(_HERE / "search_cards.css").read_text(),
    js=(_HERE / "search_cards.js").read_text(),
)


def draw(cards: Sequence[Mapping[str, Any]], question: str) -> list[str]:
    """Draw the cards (see `search_results`); returns the addresses that are ticked, which stay so as long as the same
    `question` is asked."""
    key = f"search-cards-{sha256(question.encode()).hexdigest()[:12]}"
    before = _addresses(st.session_state.get(key))
    result = _mount(key=key, data={"cards": list(cards), "ticked": before}, on_ticked_change=lambda: None)
    return _addresses(result)


def _addresses(result: object) -> list[str]:
    """What the browser says is ticked: it can say anything."""
    value = getattr(result, "ticked", None)
    if not isinstance(value, list):
        return []
    return [each for each in value if isinstance(each, str) and len(each) <= 200][:10_000]
