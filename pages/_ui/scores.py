"""Scores beside labels: how well what a label says predicts its unit, in a few plain words, everywhere alike."""

from collections.abc import Collection
from concurrent.futures import wait

import numpy as np
import streamlit as st

from core.errors import AddressError
from core.labels.events import SENSES
from core.store.dictionary import Dictionary
from core.store.dictionary_answers import Concept
from core.store.label_scores import Score
from core.store.units import Kind
from pages._ui import dictionaries, resources, scores_jobs, states
from pages._ui.resources import Opened
from pages._ui.words import plain

WAIT_S = 3.0
"""Longest that a page waits for the scores of a whole table; they go on in the background."""
MOST_NAMED = 100_000
"""Images of a bundle up to which a tooltip also says what the images that a label names predict: more are slow to read
the columns of."""
_TOO_FEW = "Too few images are left that this label was not made from."
MOST_TEXTS = 10_000  # no head has so many
TOLD = (
    "Does the label predict the unit? Correlation, over images, of the unit's number with the cosine of the label's "
    "text (the first of its + end); 0 is chance, 1 would be all there is to say. Images that the label was made from "
    "are left out."
)


def badge(score: Score | None) -> str:
    """ "r 0.41 [0.36, 0.45] · random 0.02": the correlation with its interval, and what a random text has."""
    if score is None:
        return "no score"
    if np.isnan(score.pearson.value):
        return "no score: label or unit does not vary over these images"
    random = score.random["pearson"].value
    named = f" · by the images it names ({score.named})" if score.by == "images named" else ""
    return f"r {score.pearson} · random {random:.2f}{named}".replace("-0.00", "0.00")


def told(score: Score, named: Score | None = None) -> str:
    """Everything a score says, in sentences, for a tooltip; `named` the same label's by the images that it names."""
    what = "its cosine with each image" if score.by == "text" else f"whether an image's {score.named}"
    chance = "a random text of the pool" if score.by == "text" else "as many random images"
    lines = [
        f"Does the label predict the unit? By {what}, against the unit's number at this end: r is Pearson's "
        "correlation, brackets are 95 % bootstrap intervals over images.",
        f"For the {score.base_rate:.1%} of images of largest number: AUPRC {score.auprc}, F1 {score.f1} (chance "
        f"{score.base_rate:.2f}), AUROC {score.auroc} (chance 0.50).",
        f"Population: {score.population}; {score.images:,} remain.",
        f"Random: r of {chance}, median {score.random['pearson'].value:.2f}, middle 95 % from "
        f"{score.random['pearson'].low:.2f} to {score.random['pearson'].high:.2f}.",
    ]
    if named is not None:
        lines.append(f"By the images that it names (those whose {named.named}): r {named.pearson}.")
    return "\n\n".join(plain(line, 600) for line in lines)


def of(opened: Opened, address: str, end: str, text: str, excluded: Collection[int] = ()) -> tuple[Score | None, str]:
    """The score of a label, and where there is none, why. A text that is not in the pool is embedded by the live model
    if that is ready."""
    if ":" in address:
        try:
            found = dictionaries.having(address).store
        except AddressError as error:
            return None, str(error)
        concept = found.concept(address)
        assert concept is not None
        return _of_concept(found, concept, text, excluded)
    scores = opened.store.label_scores
    embedding_o = _embedding(opened, text)
    if why := scores.why(address, embedding_o, text, "text"):  # never by another rule while the model is loading
        return None, why
    score = scores.score(address, end, embedding_o, text, excluded, by="text")
    return score, "" if score else _TOO_FEW


def beside(
    opened: Opened, address: str, end: str, text: str, excluded: Collection[int] = (), *, before: str = "",
    note: str = "",
) -> Score | None:  # fmt: skip
    """Draw a label's score as a caption, all it says in the tooltip; `before` goes in front of it and `note` behind."""
    score, why = of(opened, address, end, text, excluded)
    named = None
    if ":" not in address and score is not None and score.by == "text" and opened.store.images.n <= MOST_NAMED:
        named = opened.store.label_scores.score(address, end, None, text, excluded, by="images named")
    _draw(score, why, named, before, note)
    return score


def of_concept(
    found: Dictionary, concept: Concept, text: str, excluded: Collection[int] = (), *, before: str = ""
) -> Score | None:
    """Draw the score of a text as a concept's label, as `beside`."""
    score, why = _of_concept(found, concept, text, excluded)
    _draw(score, why, before=before)
    return score


def _of_concept(found: Dictionary, concept: Concept, text: str, excluded: Collection[int]) -> tuple[Score | None, str]:
    if why := found.scores.why(text):
        return None, why
    score = found.scores.score(concept, text, excluded)
    return score, "" if score else _TOO_FEW


def _draw(score: Score | None, why: str, named: Score | None = None, before: str = "", note: str = "") -> None:
    shown = " ".join(part for part in (before, badge(score), note) if part)
    st.caption(plain(shown, 400), help=plain(why, 400) if score is None else told(score, named))


def ends(opened: Opened, address: str) -> dict[str, Score | None]:
    """The scores of a unit's automatic label, a line for either end that its texts describe; returns them."""
    texts = opened.store.units.texts(address)
    drawn = {}
    for end, sign, mark in (("+", 1, "+"), ("-", -1, "−")):
        first = next((text for text, weight in texts if sign * weight > 0), None)
        if first is not None:
            drawn[end] = beside(opened, address, end, first, before=f"{mark} “{first}”:")
    return drawn


def of_head(opened: Opened, address: str, text: str) -> Score | None:
    """The score of one of a head's texts, at the end of its first principal component that the text's score follows."""
    followed = dict(opened.store.units.texts(address, MOST_TEXTS)).get(text, 1.0)
    end, mark = ("+", "+") if followed >= 0 else ("-", "−")
    return beside(opened, address, end, text, before=f"Score at the {mark} end of the head's first component:")


def column(opened: Opened, kind: Kind) -> np.ndarray | None:
    """The correlation of every unit's automatic label, by row, for a table; None while they are being computed, which
    the page then says."""
    job = scores_jobs.table(opened, kind)
    if job.running:
        with st.spinner("Scoring the labels"):
            wait([job.made], timeout=WAIT_S)
    if job.running:
        _awaited(opened, kind)
    elif problem := job.problem("The labels could not be scored; the server's log says why."):
        states.problem(problem)
    else:
        return opened.store.label_scores.quick(kind)[0]
    return None


@st.fragment(run_every=2)
def _awaited(opened: Opened, kind: Kind) -> None:
    if not scores_jobs.table(opened, kind).running:
        st.rerun()
    st.caption(":material/hourglass_top: The labels are being scored; the column appears when they are.")


def await_model(opened: Opened) -> None:
    """Wait until the live model can read texts, or has failed: files must not depend on how far it was."""
    wait([resources.MODELS.ask((opened.folder, opened.stamp), opened.store.bundle.facts)], timeout=120)


def _embedding(opened: Opened, text: str) -> np.ndarray | None:
    """Of a label's text, the mean over its senses; None where only the live model could say and it is not ready."""
    scores = opened.store.label_scores
    senses = [sense for sense in map(str.strip, text.split(SENSES)) if sense]
    known = [scores.embedding(sense) for sense in senses]
    missing = [sense for sense, vector in zip(senses, known, strict=True) if vector is None]
    if missing:
        if resources.explainer_status(opened).state != "ready":
            return None
        made = iter(resources.explainer(opened).embed(missing))
        known = [next(made) if vector is None else vector for vector in known]
    if not known:
        return None
    mean_o = np.mean(np.stack([vector for vector in known if vector is not None]), axis=0)
    return np.asarray(mean_o / max(float(np.linalg.norm(mean_o)), 1e-12), np.float32)
