"""Disagreements on the Agreement page: their order, what they show, and how they are decided."""

import re
from pathlib import Path
from typing import Any

import pytest

from pages._ui import agreement_decide, resources, scores
from pages._ui.agreement_subject import Units
from tests.e2e.agreement_desk import HOSTILE, WORDS, Desk, decide, heading, make, metrics, some, table
from tests.e2e.test_neurons_page import address, component, said


@pytest.fixture
def desk(vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return make(vit_bundle, tmp_path, monkeypatch)


def test_disagreements_come_by_importance_and_keys_step(desk: Desk) -> None:
    words = some(desk, WORDS)
    differing = [u for u, by in words.items() if len({" ".join(t.casefold().split()) for t in by.values()}) > 1]
    assert len(differing) == 4  # in the order of their ranks
    app = desk.open(tab="disagreements")
    assert heading(app) == f"{differing[0]}, + end"
    rows = table(app, "agreement-disputes")
    assert [row["end of"] for row in rows] == [f"{unit} +" for unit in differing]
    for expected in differing[1:]:
        app.button(key="key-next").click().run()
        assert heading(app) == f"{expected}, + end" and address(app, "about") == f"{expected}+"
    assert app.button(key="key-next").disabled
    app.button(key="key-previous").click().run()
    assert heading(app) == f"{differing[-2]}, + end"
    again = desk.open(tab="disagreements", about=f"{differing[2]}+")
    assert heading(again) == f"{differing[2]}, + end"
    lost = desk.open(tab="disagreements", about="L0.N0-", calm=False)
    assert heading(lost) == f"{differing[0]}, + end" and "leave nothing" in lost.info[0].value


def test_a_dispute_shows_who_said_what_and_both_ends(desk: Desk) -> None:
    unit = desk.unit(0)
    desk.say("Anna", unit, "red sea", "-", confidence=0.8, tags=("colour",), automatic="it")
    desk.say("Bob", unit, "red | grey", "-", blind=True)
    desk.say("Cem", unit, "RED sea", "-")
    desk.say("Dora", unit, kind="uninterpretable", end="-")
    desk.say("Eve", unit, kind="unsure", end="-")
    app = desk.open(tab="disagreements")
    choices = [button.label.replace("\\", "") for button in app.button if (button.key or "").startswith("choice-")]
    assert choices == ["1   red sea", "2   red | grey", "3   uninterpretable"]
    text = said(app)
    assert "confidence 80%" in text and "tags: colour" in text and "2 senses" in text and "Eve was unsure" in text
    ends = desk.store.units.ends(unit, 10)
    for key, hits in (("dispute--", ends.minus), ("dispute-+", ends.plus)):
        assert [row["id"] for row in component(app, key)["rows"]] == [hit.image_id for hit in hits]
    card = desk.store.units.card(unit, 3)
    assert "; ".join(card.minus) in text
    history = next(each.value for each in app.dataframe if "taken back" in each.value)
    assert history["annotator"].tolist() == ["Anna", "Bob", "Cem", "Dora", "Eve"]


def test_a_decision_is_stored_with_its_reason_and_the_next_is_shown(desk: Desk) -> None:
    some(desk, WORDS)
    app = desk.open(tab="disagreements")
    first = heading(app).split(",")[0]
    next(each for each in app.button if (each.key or "").startswith("choice-2")).click().run()
    chosen = next(each.value for each in app.text_input if (each.key or "").startswith("decide-text"))
    decide(app, None, "it is plain to see")
    assert "Saved" in app.success[0].value and heading(app).split(",")[0] != first
    (event,) = [each for each in desk.database.since(0) if each.kind == "adjudicate"]
    assert (event.annotator, event.address, event.end, event.text) == ("Cleo", first, "+", chosen)
    assert event.reason == "it is plain to see" and event.model == desk.store.facts().weights_digest
    said_ = {each.key for each in desk.database.history(event.bundle, first) if each.kind == "label"}
    assert set(event.evidence["said"]) == said_
    assert metrics(desk.open())["Decided"] == "1"
    decided = desk.open(tab="disagreements", show="decided")
    assert heading(decided).startswith(first) and f"Decided: {chosen}" in said(decided)


def test_a_second_press_stores_nothing_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    some(desk, WORDS)
    save = agreement_decide._save

    def twice(*arguments: Any) -> None:
        save(*arguments)
        save(*arguments)

    monkeypatch.setattr(agreement_decide, "_save", twice)
    app = decide(desk.open(tab="disagreements"), "mine", "so it is")
    assert not app.warning and [each.kind for each in desk.database.since(0)].count("adjudicate") == 1


@pytest.mark.parametrize(("text", "reason", "sentence"), [
    ("mine", " ", "Say in a few words why"), ("", "because", "empty"), ("x" * 10_000, "because", "at most 2,000"),
])  # fmt: skip
def test_an_incomplete_decision_is_refused_and_nothing_typed_is_lost(
    desk: Desk, text: str, reason: str, sentence: str
) -> None:
    some(desk, WORDS)
    app = desk.open(tab="disagreements")
    before = heading(app)
    decide(app, text, reason)
    assert sentence in app.warning[0].value.replace("\\", "") and heading(app) == before
    assert [each.value for each in app.text_input if (each.key or "").startswith("decide-text")] == [text]
    assert not [each for each in desk.database.since(0) if each.kind == "adjudicate"]
    decide(app, "short", "because")
    assert [each.text for each in desk.database.since(0) if each.kind == "adjudicate"] == ["short"]


def test_ones_own_decision_can_be_taken_back_and_nobody_elses(desk: Desk) -> None:
    some(desk, WORDS)
    app = decide(desk.open(tab="disagreements"), "mine", "so it is")
    undo = [each for each in app.button if (each.key or "").startswith("decide-undo")]
    assert len(undo) == 1
    undo[0].click().run()
    kinds = [each.kind for each in desk.database.since(0)]
    assert kinds.count("undo") == 1 and "is open again" in app.success[0].value
    assert metrics(desk.open())["Decided"] == "0"
    decide(app, "mine again", "so it is")
    shown = desk.open(tab="disagreements", show="decided")
    assert [each for each in shown.button if (each.key or "").startswith("decide-undo")]
    other = desk.open(tab="disagreements", show="decided", who="Dora")
    assert not [each for each in other.button if (each.key or "").startswith("decide-undo")]
    assert "Only who decided can take it back" in said(other)
    decide(other, "hers", "I know better")
    assert "Decided: hers" in said(desk.open(tab="disagreements", show="decided"))


def test_without_a_name_nothing_can_be_decided(desk: Desk) -> None:
    some(desk, WORDS)
    app = desk.open(tab="disagreements", who=None)
    assert not [each for each in app.button if (each.key or "").startswith("decide-save")]
    assert "Your name" in [each.label for each in app.text_input]


def test_what_people_wrote_is_text(desk: Desk) -> None:
    desk.say(HOSTILE, desk.unit(0), HOSTILE, tags=(HOSTILE,))
    desk.say("Bob", desk.unit(0), "red sea")
    for tab in ("overview", "agreement", "disagreements", "labels"):
        app = desk.open(tab=tab)
        for each in (*app.markdown, *app.caption, *app.subheader, *app.success):
            assert not re.search(r"(?<!\\)(<img|\*\*bold|\]\(http|\$x)", each.value), each.value
        for button in app.button:
            assert "**bold**" not in button.label


def test_labels_of_what_is_not_here_are_shown_as_far_as_they_go(desk: Desk) -> None:
    desk.say("Anna", "L77.N5", "red sea")
    desk.say("Bob", "L77.N5", "red wall")
    app = desk.open(tab="disagreements")
    assert "This unit is not here" in said(app) and f"not in {desk.name}" in said(app)
    decide(app, "mine", "so it is")
    (row,) = table(desk.open(tab="labels"), "agreement-labels")
    assert (row["unit"], row["href"], row["state"], row["label"]) == ("L77.N5", "", "decided", "mine")


def test_labels_are_scored_on_images_that_nobody_was_shown_who_gave_them(desk: Desk) -> None:
    unit = desk.unit(0)
    desk.say("Anna", unit, "red sea", evidence={"images": {"+": [0, 1], "-": [2]}})
    desk.say("Bob", unit, "red sea", evidence={"images": {"+": [3], "junk": "no", "more": ["x", None, True, 4]}})
    desk.say("Cem", unit, "blue dog", evidence={"images": "no"})
    text = said(desk.open(tab="disagreements"))
    found = {}
    for label, seen in (("red sea", {0, 1, 2, 3, 4}), ("blue dog", set())):
        embedding_o = desk.store.label_scores.embedding(label)
        found[label] = scores.badge(desk.store.label_scores.score(unit, "+", embedding_o, label, seen))
        assert found[label].startswith("r ") and found[label].replace("-", "") in text.replace("-", "")
    assert found["red sea"] != scores.badge(
        desk.store.label_scores.score(unit, "+", desk.store.label_scores.embedding("red sea"), "red sea")
    )


def test_a_rank_is_among_the_pairs_that_there_are(desk: Desk) -> None:
    subject, pairs = Units(resources.open_named(desk.name)), desk.store.pairs
    assert pairs is not None and len(pairs.columns().row_p) < desk.store.units.count("pair")  # not every head is later
    first = pairs.address(int(pairs.columns().row_p[0]))
    assert subject.rank(first) == (1, len(pairs.columns().row_p))
