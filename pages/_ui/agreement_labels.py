"""Every label that stands, in one table that can be searched."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core.labels.events import Event
from core.labels.ledger import About, Standing
from pages._ui import agreement_subject, agreement_view, linked_table, links, states
from pages._ui.agreement_overview import described, told
from pages._ui.agreement_view import MOST_CHARACTERS, MOST_SHOWN, PAGE, Asked, written
from pages._ui.words import count, typed

_TOLD = {
    "unit": "Leads to its page.",
    "label": "The label that stands: the decided one, or the one that all agree on.",
    "said": "Each annotator's last word.",
    "changed (UTC)": "When the last of these words was said.",
}


def draw(asked: Asked) -> dict[str, Any]:
    """Returns what it drew."""
    key = asked.chosen.bound("search")["key"]
    st.text_input(
        "Search", key=key, placeholder="a word of a label, a name, an address, a state", width=360,
        on_change=lambda: asked.chosen.go(search=typed(st.session_state[key])[:MOST_CHARACTERS], shown=PAGE),
        help="The key / comes here. Every word has to be in the row.",
    )  # fmt: skip
    made = frame(asked)
    found = made[matching(made, asked.view.search)]
    if not len(found):
        states.empty("No label has these words", "Search for fewer words.")
        return {"labels": []}
    shown = found.head(asked.view.shown)
    some = f", the first {len(shown):,} shown" if len(shown) < len(found) else ""
    st.caption(f"**{count(len(found), 'end')}** of {len(made):,} that were judged{some}, the last said first.")
    pages = {address: agreement_subject.href(asked.subject, address) for address in shown["unit"]}
    linked_table.draw(
        shown, "agreement-labels", "All labels", lambda row: pages[row["unit"]], told=_TOLD, height="36rem",
        links={"": lambda row: _links(asked, row)},
    )  # fmt: skip
    if len(shown) < min(len(found), MOST_SHOWN):
        st.button(
            f"Show {min(PAGE, len(found) - len(shown))} more", icon=":material/expand_more:",
            on_click=asked.chosen.go, kwargs={"shown": asked.view.shown + PAGE},
        )  # fmt: skip
    return {"labels": found.drop(columns="").to_dict("records")}


def frame(asked: Asked) -> pd.DataFrame:
    """A row for each end, the last said first."""
    found = sorted(asked.standings.items(), key=lambda item: -_last(item[1]))
    return pd.DataFrame([_line(asked, about, standing) for about, standing in found])


def matching(made: pd.DataFrame, search: str) -> pd.Series:
    """Rows that have every word looked for somewhere; letters' case does not count."""
    text = made.astype(str).agg(" ".join, axis=1).str.casefold()
    kept = pd.Series(True, index=made.index)
    for word in search.casefold().split():
        kept &= text.str.contains(word, regex=False)
    return kept


def _line(asked: Asked, about: About, standing: Standing) -> dict[str, Any]:
    address, end = about
    kind, layer = asked.subject.place(address)
    label = standing.label
    return {
        "unit": address,
        "said": "; ".join(f"{name}: {described(event)}" for name, event in sorted(standing.by.items())),
        "end": end.replace("-", "−"),
        "state": standing.state,
        "label": label.text if label else "",
        "automatic": asked.subject.line(address),
        "kind": kind,
        "layer": "" if layer is None else str(layer),
        "changed (UTC)": told(_last(standing)),
        "": "",
    }


def _words(standing: Standing) -> list[Event]:
    return [*standing.by.values(), *([standing.adjudication] if standing.adjudication else [])]


def _last(standing: Standing) -> int:
    return max(event.at for event in _words(standing))


def _links(asked: Asked, row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    found = (
        [("desk", links.href("label", **asked.subject.desk(row["unit"])))] if asked.subject.rank(row["unit"]) else []
    )
    if row["state"] in ("disputed", "decided"):
        about = written((row["unit"], row["end"].replace("−", "-")))
        query = asked.chosen.query(tab="disagreements", about=about, show="all")
        found.append(("decide" if row["state"] == "disputed" else "decision", agreement_view.href(query)))
    return found
