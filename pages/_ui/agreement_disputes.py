"""Where annotators differ, the most important unit first: one of them with all that helps decide, and the list."""

import random
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import UnitscopeError
from core.labels.agreement import answers
from core.labels.events import Event
from core.labels.ledger import About, Standing
from pages._ui import (
    agreement_decide,
    agreement_scores,
    agreement_view,
    figures,
    grid,
    keys,
    linked_table,
    selection,
    states,
    steps,
)
from pages._ui.agreement_overview import described, told
from pages._ui.agreement_subject import ENDS, Row
from pages._ui.agreement_view import SHOW, Asked, parsed, written
from pages._ui.overview_entry import target
from pages._ui.resources import Opened
from pages._ui.words import count, plain

SIZE = 92


def draw(asked: Asked, opened: Opened) -> dict[str, Any]:
    """Returns what it drew."""
    listed = asked.disputes
    agreement_decide.notices(asked)
    about = _about(asked)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.segmented_control("Disagreements", list(SHOW), format_func=SHOW.__getitem__, required=True, **_show(asked))
        _step(asked, about)
    if about is None:
        _none(asked)
        return {"listed": []}
    standing = asked.standings[about]
    _title(asked, about, listed)
    left, right = steps.halves()
    with left:
        choices = options(standing)
        agreement_decide.draw(asked, about, standing, choices)
    with right:
        with states.calm():
            _images(asked, about)
        _history(asked, about)
    _list(asked, listed)
    return {"about": about, "said": choices, "listed": listed}


def options(standing: Standing) -> list[list[Event]]:
    """What can be chosen: the different answers, those of most annotators first, each with who gave it."""
    by_answer: dict[str, list[Event]] = {}
    for name, answer in sorted(answers(standing).items()):
        by_answer.setdefault(answer, []).append(standing.by[name])
    return sorted(by_answer.values(), key=lambda events: (-len(events), min(event.at for event in events)))


def _about(asked: Asked) -> About | None:
    """The dispute that the URL names, if it is one, listed or not; else the first that is listed."""
    if asked.view.about:
        about = parsed(asked.view.about)
        if about in asked.standings:
            return about
        st.info("Of what the link names, these filters leave nothing, so you see the first of the list.", icon="🔗")
    return asked.disputes[0] if asked.disputes else None


def _show(asked: Asked) -> dict[str, Any]:
    key = asked.chosen.bound("show")["key"]
    return {"key": key, "on_change": lambda: asked.chosen.go(show=st.session_state[key], about=None)}


def _step(asked: Asked, about: About | None) -> None:
    listed = asked.disputes
    at = listed.index(about) if about in listed else None
    known = lambda n: written(listed[n]) if 0 <= n < len(listed) else None
    keys.stepper(
        asked.chosen.go,
        previous=known(at - 1) if at is not None else None,
        following=known(at + 1) if at is not None else known(0),
        random=written(random.choice(others)) if (others := [each for each in listed if each != about]) else None,
        field="about",
        noun="disagreement",
    )


def _none(asked: Asked) -> None:
    others = {"open": "All are decided, or nobody differs.", "decided": "Nothing was decided yet.", "all": ""}
    states.empty(
        "No disagreements here",
        f"{others[asked.view.show]} One appears where two annotators answer the same end of a unit differently.",
    )


def _title(asked: Asked, about: About, listed: list[About]) -> None:
    address, end = about
    kind, _ = asked.subject.place(address)
    rank = asked.subject.rank(address)
    st.subheader(plain(f"{address}, {ENDS[end]}" if end else address), anchor=False)
    where = f"{listed.index(about) + 1:,} of {len(listed):,} listed" if about in listed else "not among those listed"
    importance = (
        f"{kind} number {rank[0]:,} of {rank[1]:,} {asked.subject.by}"
        if rank
        else f"not in {asked.subject.opened.name}"
    )
    st.caption(plain(f"{where} · {importance}"))
    with st.container(horizontal=True, gap="medium"):
        if page := asked.subject.page(address):
            st.page_link(
                target(page[0], "Its page"), icon=":material/open_in_full:", width="content",
                query_params=selection.query(**page[1]),
            )  # fmt: skip
            st.page_link(
                target("label", "At the desk"), icon=":material/edit_note:", width="content",
                query_params=selection.query(**asked.subject.desk(address)),
            )  # fmt: skip


def _images(asked: Asked, about: About) -> None:
    """The automatic label, then + and − rows, the end in question marked."""
    address, end = about
    if asked.subject.rank(address) is None:
        states.empty(
            "This unit is not here", "It was labelled elsewhere; its images are with the bundle it belongs to."
        )
        return
    automatic = asked.subject.automatic(address, end)
    st.markdown(f"**Automatic label** {plain(automatic) or ':gray[none]'}")
    agreement_scores.automatic(asked.subject, address, end)
    rows = asked.subject.rows(address)
    for row in sorted(rows, key=lambda row: row.end != end):
        _row(asked, row, chosen=row.end == end and len(rows) > 1)


def _row(asked: Asked, row: Row, *, chosen: bool) -> None:
    st.markdown(f"**{row.title}**" + (" :blue-badge[the end in question]" if chosen else ""))
    grid.images(
        asked.subject.opened, row.images, key=f"dispute-{row.end or 'images'}", size=SIZE, label=row.title,
        captions=row.captions or None, alts=[f"image {image}" for image in row.images],
    )  # fmt: skip


def _history(asked: Asked, about: About) -> None:
    """All that was ever said of this end, undone or not."""
    with st.expander("Everything that was said of it", icon=":material/history:"):
        try:
            events = asked.ledger.labels.history(asked.subject.id, about[0])
        except UnitscopeError as error:
            states.problem(error)
            return
        figures.table(history([event for event in events if event.end == about[1]]), "agreement-history")


def history(events: list[Event]) -> pd.DataFrame:
    """A row for each event, in order."""
    undone = {(event.annotator, event.undoes) for event in events if event.kind == "undo"}
    return pd.DataFrame(
        {
            "time (UTC)": [told(event.at) for event in events],
            "annotator": [event.annotator for event in events],
            "said": [
                "took back an earlier word" if event.kind == "undo" else
                f"{'decided: ' if event.kind == 'adjudicate' else ''}{described(event)}" for event in events
            ],
            "taken back": [(event.annotator, event.key) in undone for event in events],
            "confidence": pd.array([event.confidence for event in events], "Float64"),
            "blind": [event.blind for event in events],
            "reason": [event.reason for event in events],
            "automatic then": [event.automatic or "" for event in events],
            "queue": [event.queue for event in events],
        }
    )  # fmt: skip


def _list(asked: Asked, listed: list[About]) -> None:
    if not listed:
        return
    st.markdown(f"**{count(len(listed), 'disagreement')}**, by how important a unit is among those of its kind")
    made = frame(asked, listed[: asked.view.shown])
    here = {row: asked.chosen.query(about=written(about)) for row, about in zip(made["end of"], listed, strict=False)}
    linked_table.draw(
        made, "agreement-disputes", "Disagreements",
        lambda row: agreement_view.href(here[row["end of"]]),
        told={"end of": "Choose one to decide it.", "rank": "Place by importance among the units of its kind."},
        formats={"rank": "{:.0f}"}, height="24rem",
    )  # fmt: skip
    if len(listed) > asked.view.shown:
        st.caption(f"The first {asked.view.shown:,} of {len(listed):,}.")


def frame(asked: Asked, listed: list[About]) -> pd.DataFrame:
    """A row for each dispute."""
    rows = []
    for about in listed:
        standing = asked.standings[about]
        said = "; ".join(
            f"{', '.join(event.annotator for event in events)}: {described(events[0])}" for events in options(standing)
        )
        rank = asked.subject.rank(about[0])
        decided = standing.adjudication.text if standing.adjudication else ""
        rows.append(
            {
                "end of": f"{about[0]} {about[1].replace('-', '−')}".strip(),
                "said": said,
                "automatic": asked.subject.line(about[0]),
                "decided": decided,
                "rank": float(rank[0]) if rank else float("nan"),
            }
        )
    return pd.DataFrame(rows)
