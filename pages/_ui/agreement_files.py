"""Labels as files: taken along, and brought from another desk after a look at what would come in."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import UnitscopeError
from core.labels import files, report
from core.labels.database import Labels
from core.labels.events import Event
from pages._ui import agreement_scores, figures, labels, states
from pages._ui.agreement_overview import described, told
from pages._ui.agreement_subject import Units
from pages._ui.agreement_view import Asked
from pages._ui.words import count, plain

KINDS = {"csv": ("CSV", "text/csv"), "jsonl": ("JSON Lines", "application/jsonl"),
         "parquet": ("Parquet", "application/vnd.apache.parquet")}  # fmt: skip
WAIT_S = 60.0
_NOTICE, _READ = "_agreement_imported", "_agreement_read"


def draw(asked: Asked) -> None:
    """Export, then import."""
    st.subheader("Export", anchor=False)
    with states.calm():
        _export(asked)
    st.subheader("Import", anchor=False)
    with states.calm():
        _import(asked)


def _export(asked: Asked) -> None:
    """Every event, undone ones too, so that nothing is lost on the way; made when the button is pressed."""
    database = labels.database()
    own, every = database.bundles().get(asked.subject.id, 0), database.count()
    if not every:
        states.empty("There is nothing to export yet", "Labels come from the desk, or from a file below.")
        return
    name = asked.subject.opened.name
    scopes = {name: f"{name} ({own:,})", "everything": f"Everything in the database ({every:,})"}
    scope = st.segmented_control(
        "Events of",
        list(scopes),
        format_func=scopes.__getitem__,
        default=name if own else "everything",
        key=f"agreement-scope-{name}",
        required=True,
    )
    bundle = None if scope == "everything" else asked.subject.id
    stem = f"unitscope-labels-{'everything' if bundle is None else name}"
    score = _scorer(asked, own)
    with st.container(horizontal=True, gap="small"):
        for kind in files.FORMATS:
            title, mime = KINDS[kind]
            st.download_button(
                title, data=partial(_file, database, bundle, kind, score), file_name=f"{stem}.{kind}", mime=mime,
                key=f"export-{kind}", icon=":material/download:", on_click="ignore",
            )  # fmt: skip
        if isinstance(asked.subject, Units):
            opened, ledger = asked.subject.opened, asked.ledger
            worded = agreement_scores.told(opened, ledger) if score else None
            st.download_button(
                "HTML report", data=lambda: report.html(opened.store, ledger, score=worded),
                file_name=f"unitscope-report-{name}.html", mime="text/html", key="export-html",
                icon=":material/description:", on_click="ignore",
                help="One file with this bundle's labelled units, their images and what was said; opens offline.",
            )  # fmt: skip
    st.caption(
        "One row for each event, those taken back and replaced included, with annotator, time, method and bundle: "
        "another desk that imports the file has exactly what is here. Files are made when you press a button."
    )


def _file(database: Labels, bundle: str | None, kind: str, score: files.Scorer | None) -> bytes:
    return files.export(database.since(0, bundle), kind, score)


def _scorer(asked: Asked, events: int) -> files.Scorer | None:
    """Scores for the files, where they are wanted: they take a moment each the first time."""
    if not isinstance(asked.subject, Units):
        return None
    seconds = events * agreement_scores.SECONDS
    long = f"up to {seconds / 60:.0f} min" if seconds > 90 else f"up to {max(1, seconds):.0f} s"
    wanted = st.toggle(
        f"With each label's score ({long} the first time)", value=seconds <= WAIT_S, key="agreement-scored",
        help="How well each label predicts its unit, on images that its annotator was not shown.",
    )  # fmt: skip
    return agreement_scores.columns(asked.subject.opened) if wanted else None


def _import(asked: Asked) -> None:
    if notice := st.session_state.pop(_NOTICE, None):
        states.problem(notice) if isinstance(notice, UnitscopeError) else st.success(plain(notice))
    upload = st.file_uploader(
        "A file that a desk exported", type=list(files.FORMATS), key="agreement-upload",
        help="CSV, JSON Lines or Parquet. First you see what would come in; nothing is stored before you say so.",
    )  # fmt: skip
    if upload is None:
        return
    plan = files.plan(labels.database(), _events(upload))
    _told(asked, plan)
    if plan.new:
        st.button(
            f"Import {count(len(plan.new), 'event')}", type="primary", icon=":material/input:", key="agreement-import",
            on_click=_take, args=(plan,),
        )  # fmt: skip


def _told(asked: Asked, plan: files.Import) -> None:
    """What would come in, before anything is stored."""
    facts = {
        "new": (len(plan.new), "Events that this desk does not have yet; these are imported."),
        "known already": (len(plan.known), "Events that are here just so; they are left as they are."),
        "labelled otherwise": (len(plan.differing), "New labels of an end that somebody here labelled otherwise."),
        "altered": (len(plan.altered), "Events that are here with other content; what is here stays."),
    }
    for column, (name, (number, told_)) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(name.capitalize(), f"{number:,}", help=told_)
    if plan.new:
        people = Counter(event.annotator for event in plan.new)
        st.caption(
            plain("From " + ", ".join(f"{name} ({number:,})" for name, number in people.most_common()) + ".", 600)
        )
        elsewhere = Counter(event.bundle for event in plan.new if event.bundle != asked.subject.id)
        if elsewhere:
            which = ", ".join(f"{bundle} ({number:,})" for bundle, number in elsewhere.most_common(5))
            st.caption(plain(f"{elsewhere.total():,} of them are about other bundles or dictionaries: {which}.", 600))
    elif not plan.altered:
        st.info("All of this file is here already: there is nothing to import.", icon=":material/check:")
    if plan.differing:
        st.markdown("**Labelled otherwise here.** Both stay: import them, and decide under *Disagreements*.")
        figures.table(beside(plan.differing), "agreement-differing")
    if plan.altered:
        st.markdown("**Altered.** The file has these events with other content than this desk. What is here stays.")
        figures.table(beside(plan.altered), "agreement-altered")


def beside(pairs: Sequence[tuple[Event, Event]]) -> pd.DataFrame:
    """Conflicts, the two sides of each in one row."""
    rows = []
    for theirs, ours in pairs:
        row = {"unit": theirs.address, "end": theirs.end.replace("-", "−")}
        for side, event in (("file", theirs), ("here", ours)):
            row |= {f"in the {side}" if side == "file" else side: described(event)}
            row |= {f"by ({side})": event.annotator, f"time ({side}, UTC)": told(event.at)}
        rows.append(row)
    return pd.DataFrame(rows)


def _events(upload: Any) -> list[Event]:
    """What is in the file, read once. LabelRejected, with line numbers."""
    kept = st.session_state.get(_READ)
    if kept is None or kept[0] != upload.file_id:
        kept = st.session_state[_READ] = upload.file_id, files.read(upload.getvalue(), upload.name)
    return kept[1]


def _take(plan: files.Import) -> None:
    try:
        taken = files.take(labels.database(), plan)
    except UnitscopeError as error:
        st.session_state[_NOTICE] = error
        return
    st.session_state[_NOTICE] = f"{count(taken, 'event')} imported; {len(plan.known):,} were here already."
