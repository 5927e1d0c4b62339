"""Who labelled how much, and how far each queue is."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from core.labels.agreement import answers, differ
from core.labels.events import Event
from core.labels.ledger import STATES, Standing
from pages._ui import figures, selection, states
from pages._ui.agreement_view import NO_QUEUE, Asked
from pages._ui.overview_entry import target
from pages._ui.words import count

ALL = "(all together)"
TIME = "%Y-%m-%d %H:%M"
_DONE = {"label": "labelled", "uninterpretable": "uninterpretable", "unsure": "unsure", "skip": "skipped"}


def nothing() -> None:
    """Before the first label."""
    states.empty(
        "Nobody has labelled anything of this yet",
        "Begin at the labelling desk: it shows one unit at a time and takes your words for it. What was labelled "
        "elsewhere comes in under *Export and import*.",
    )
    st.page_link(
        target("label", "Label"), label="To the desk", icon=":material/edit_note:", query_params=selection.query()
    )


def draw(asked: Asked) -> dict[str, Any]:
    """The figures in a row, the annotators, the queues; returns what it drew."""
    found = asked.standings.values()
    judged = [standing for standing in found if standing.by]
    several = sum(len(answers(standing)) > 1 for standing in judged)
    disputed = sum(standing.state == "disputed" for standing in found)
    facts = {
        "ends judged": (len(judged), "Ends of units of which somebody said something, skipping included."),
        "by two or more": (several, "Ends that two annotators or more answered: agreement is about these."),
        "to decide": (disputed, "Ends on which they differ and nothing is decided."),
        "decided": (sum(s.state == "decided" for s in found), "Ends with an adjudicated label."),
    }
    for column, (name, (number, told)) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(name.capitalize(), f"{number:,}", help=told)
    if disputed:
        st.button(
            f"Decide {count(disputed, 'disagreement')}", icon=":material/gavel:", type="primary",
            on_click=asked.chosen.go, kwargs={"tab": "disagreements", "show": "open", "about": None},
        )  # fmt: skip
    people, queues = annotators(found), by_queue(found)
    st.markdown(f"**{count(len(people), 'annotator')}**, by the last word of each on each end")
    figures.table(people, "agreement-annotators")
    st.markdown("**Queues**, and what stands of the ends that were judged in each")
    figures.table(queues, "agreement-queues")
    st.caption(
        "An end is *labelled* where all who named it agree, *disputed* where they differ, *decided* once somebody "
        "settled that; *unsure* and *uninterpretable* where no more was said. One end may be in several queues."
    )
    return {"annotators": people.to_dict("records"), "queues": queues.to_dict("records")}


def annotators(found: Iterable[Standing]) -> pd.DataFrame:
    """A row for each, most words first."""
    by_name: dict[str, list[Event]] = {}
    decided: Counter[str] = Counter()
    for standing in found:
        for name, event in standing.by.items():
            by_name.setdefault(name, []).append(event)
        if standing.adjudication:
            decided[standing.adjudication.annotator] += 1
    for name in decided:
        by_name.setdefault(name, [])
    rows = []
    for name, events in sorted(by_name.items(), key=lambda item: (-len(item[1]), item[0])):
        kinds = Counter(_DONE[event.kind] for event in events)
        rows.append(
            {"annotator": name, "ends judged": len(events)}
            | {kind: kinds[kind] for kind in _DONE.values()}
            | {"blind": sum(event.blind for event in events), "decisions": decided[name]}
            | {"last (UTC)": max((told(event.at) for event in events), default="")}
        )
    return pd.DataFrame(rows)


def by_queue(found: Iterable[Standing]) -> pd.DataFrame:
    """A row for all, and one for each queue."""
    every = list(found)
    ends: dict[str, list[Standing]] = {}
    for standing in every:
        for queue in {event.queue or NO_QUEUE for event in standing.by.values()}:
            ends.setdefault(queue, []).append(standing)
    rows = []
    for queue, standings in [(ALL, every), *sorted(ends.items())]:
        kinds = Counter(standing.state for standing in standings)
        differing = sum(differ(standing) for standing in standings)
        rows.append(
            {"queue": queue, "ends": len(standings)}
            | {state: kinds[state] for state in STATES if state != "open"}
            | {"differing": differing}
        )
    return pd.DataFrame(rows)


def told(at: int) -> str:
    """A time in microseconds since 1970, UTC."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime(TIME)


def described(event: Event) -> str:
    """What an event says, in one line of characters."""
    text = event.text if event.kind in ("label", "adjudicate") else event.kind
    return f"{text} [{', '.join(event.tags)}]" if event.tags else text
