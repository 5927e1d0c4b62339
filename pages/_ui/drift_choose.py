"""What the Drift page follows: concepts, the groups, what counts as the truth; and following them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from core.errors import InputError
from core.methods.drift import Truth
from core.store.drift import DriftTable
from core.store.drift_answers import FollowedText
from pages._ui import image_sections, resources, states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

MOST_CONCEPTS = 8
MOST_CHARACTERS = 200
AUTO, NONE = "auto", "none"
_PAIRS = (1, 2, 5, 10, 20, 50)


def counts(table: DriftTable) -> list[int]:
    """How many pairs can be summed."""
    return [number for number in _PAIRS if number <= table.pairs] or [table.pairs]


def draw(table: DriftTable, chosen: Chosen[Any]) -> None:
    """The fields."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        _concepts(chosen)
    with right:
        st.selectbox(
            "Groups of images",
            list(table.columns),
            help="A column of the manifest. Text, years and counts group as they are, other numbers by twelve bins of "
            "as many images each, dates by year.",
            **chosen.bound("by"),
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            st.selectbox(
                "Pairs of a concept", counts(table), width=140, help="The paper sums five.", **chosen.bound("pairs")
            )
            st.toggle(
                "Less the pool's mean",
                help="Off, as in the paper: pairs are chosen by the cosine of their direction with the text as it is. "
                "On: with the text less the mean of the pool's texts. On the demo world the paper's way follows the "
                "truth better for some concepts and worse for others.",
                width="content",
                **chosen.bound("centred"),
            )
    if chosen.view.concept:
        with st.expander("What counts as each concept"):
            st.caption(
                "To see whether the pairs are right, each concept is compared with a column of the manifest. By "
                "itself that is the column one of whose values the concept names. A value that the column does not "
                "have counts wherever a text of the column contains it."
            )
            for at, concept in enumerate(chosen.view.concept):
                _truth(table, chosen, at, concept)


def follow(opened: Opened, table: DriftTable, chosen: Chosen[Any]) -> dict[str, FollowedText]:
    """Every concept that can be followed, by its text; the others get a sentence each."""
    found: dict[str, FollowedText] = {}
    if not chosen.view.concept:
        states.empty("No concept yet", "Type a few above, one a line, such as “snow” or “a photo of a phone”.")
    grouping = table.grouping(chosen.view.by)
    embedded = _embed(opened, table, chosen.view.concept)
    for at, concept in enumerate(chosen.view.concept):
        if concept in embedded:
            with states.calm():
                scores = table.scores(embedded[concept], chosen.view.pairs, chosen.view.centred)
                with states.calm():
                    known = _known(table, chosen, at, concept)
                    found[concept] = table.follow(scores, grouping, known)
                if concept not in found:  # its truth could not be used; the share can still be followed
                    found[concept] = table.follow(scores, grouping)
    return found


def encode(truth: Truth | None) -> str:
    """For the URL."""
    return NONE if truth is None else f"{truth.column}={truth.value}"


def _concepts(chosen: Chosen[Any]) -> None:
    key = "drift-concepts"
    st.session_state[key] = "\n".join(chosen.view.concept)

    def changed() -> None:
        lines = (" ".join(line.split())[:MOST_CHARACTERS] for line in str(st.session_state[key] or "").splitlines())
        concepts = tuple(dict.fromkeys(line for line in lines if line))[:MOST_CONCEPTS]
        kept = dict(zip(chosen.view.concept, chosen.view.truth, strict=False))
        chosen.go(concept=concepts, truth=tuple(kept.get(concept, AUTO) for concept in concepts), shown="", group="")

    st.text_area(
        "Concepts, one a line",
        key=key,
        on_change=changed,
        height=136,
        help=f"At most {MOST_CONCEPTS}, in words of your own. The first ones are values of the manifest whose share "
        "differs most between the groups.",
    )


def _truth(table: DriftTable, chosen: Chosen[Any], at: int, concept: str) -> None:
    """One row of fields: the column, and its value."""
    asked = _asked(chosen, at)
    column, _, value = _split(table, asked)
    name, which, what = st.columns([2, 2, 3], vertical_alignment="center")
    name.markdown(f"**{plain(concept, 80)}**")
    options = {AUTO: "the column it names", NONE: "nothing", **{each: each for each in table.truth_columns}}
    key = f"drift-truth-{at}"
    st.session_state[key] = column if column in options else asked if asked in options else AUTO

    def change(key: str, prefix: str = "") -> None:
        given = str(st.session_state[key] or "")
        if not prefix and given not in (AUTO, NONE):
            values = table.values(given)
            given = f"{given}={values[0] if values else concept}"
        every = [_asked(chosen, i) for i in range(len(chosen.view.concept))]
        every[at] = f"{prefix}{given}"[:MOST_CHARACTERS]
        chosen.go(truth=tuple(every))

    which.selectbox(
        f"Column for {at + 1}", list(options), format_func=lambda each: options[each], key=key, on_change=change,
        args=(key,), label_visibility="collapsed",
    )  # fmt: skip
    if column:
        values, own = table.values(column), f"drift-value-{at}"
        st.session_state[own] = value
        what.selectbox(
            f"Value for {at + 1}", values if value in values else (value, *values), key=own, accept_new_options=True,
            on_change=change, args=(own, f"{column}="), label_visibility="collapsed",
        )  # fmt: skip
    else:
        guessed = table.guess_truth(concept) if asked == AUTO else None
        what.caption(plain(str(guessed)) if guessed else "not compared")


def _known(table: DriftTable, chosen: Chosen[Any], at: int, concept: str) -> Truth | None:
    asked = _asked(chosen, at)
    if asked == AUTO:
        return table.guess_truth(concept)
    column, equals, value = _split(table, asked)
    if asked != NONE and not equals:
        raise InputError(f"The link's truth for “{concept}” names no column of this bundle, so it is not compared.")
    return table.truth(column, value) if column else None


def _asked(chosen: Chosen[Any], at: int) -> str:
    return str(chosen.view.truth[at]) if at < len(chosen.view.truth) else AUTO


def _split(table: DriftTable, asked: str) -> tuple[str, str, str]:
    """Column and value of "column=value"; a column's name may have an equals sign of its own."""
    fitting = [column for column in table.truth_columns if asked.startswith(f"{column}=")]
    column = max(fitting, key=len, default="")
    return (column, "=", asked[len(column) + 1 :]) if column else ("", "", "")


def _embed(opened: Opened, table: DriftTable, concepts: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """Unit embeddings: the pool's own where it has the text; for the others the live model is waited for."""
    found = {concept: vector for concept in concepts if (vector := table.known_text(concept)) is not None}
    own = [concept for concept in concepts if concept not in found]
    if not own:
        return found
    model = resources.explainer_status(opened)
    if model.state != "ready":
        st.caption(
            f"{count(len(own), 'concept')} {'is no text' if len(own) == 1 else 'are no texts'} of the bundle's pool "
            f"({plain(', '.join(own), 200)}): the live model has to read "
            f"{'it' if len(own) == 1 else 'them'}."
        )
        image_sections.wait(opened, model)
        return found
    explainer = resources.explainer(opened)
    for concept in own:
        with states.calm():
            found[concept] = explainer.embed([concept])[0]
            if unseen := explainer.unseen_words([concept]):
                st.caption(
                    f"“{plain(concept, 80)}”: the model never met {plain(', '.join(unseen), 80)} in its training."
                )
    return found
