"""The Agreement page, read back from its elements, against plain counts of what is in the database."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pages._ui import figures, live, resources
from tests import dictionary_maker
from tests.e2e.agreement_desk import WORDS, Desk, decide, heading, make, metrics, some, table
from tests.e2e.test_neurons_page import address, component, said
from tests.reference.plain_agreement import plain_alpha, plain_kappa, plain_meaning

DICTIONARY = "rosetta-0123abcd"
NAN = ("nan", "NaN", "None")


@pytest.fixture
def desk(vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return make(vit_bundle, tmp_path, monkeypatch)


# --- overview ---------------------------------------------------------------------------------------------------------


def test_before_the_first_label_the_page_says_how_to_begin(desk: Desk) -> None:
    for tab in ("overview", "agreement", "disagreements", "labels"):
        assert "Nobody has labelled anything" in said(desk.open(tab=tab))
    app = desk.open(tab="files")
    assert "nothing to export" in said(app)


def test_the_overview_counts(desk: Desk, told: list[Any]) -> None:
    words = some(desk, WORDS)
    desk.say("Anna", desk.unit(20), kind="unsure", queue="random")
    desk.say("Anna", desk.unit(21), kind="skip", queue="random")
    desk.say("Bob", desk.unit(22), kind="uninterpretable", queue="")
    app = desk.open()
    differing = [u for u, by in words.items() if len({" ".join(t.casefold().split()) for t in by.values()}) > 1]
    several = sum(len(by) > 1 for by in words.values())
    assert metrics(app) == {
        "Ends judged": str(len(words) + 3), "By two or more": str(several), "To decide": str(len(differing)),
        "Decided": "0",
    }  # fmt: skip
    people, queues = (each.value for each in app.dataframe[:2])
    assert people.set_index("annotator")["ends judged"].to_dict() == {"Anna": 14, "Bob": 13, "Cem": 5}
    assert people.set_index("annotator")["blind"].to_dict() == {"Anna": 0, "Bob": 12, "Cem": 0}
    assert people.set_index("annotator").loc["Anna", ["unsure", "skipped", "labelled"]].tolist() == [1, 1, 12]
    rows = queues.set_index("queue")
    assert rows["ends"].to_dict() == {
        "(all together)": len(words) + 3, "by importance": len(words), "random": 2, "(no queue)": 1
    }  # fmt: skip
    assert rows.loc["by importance", "disputed"] == len(differing)
    assert json.loads(figures.to_json(told[-1]()))["annotators"]


# --- agreement --------------------------------------------------------------------------------------------------------


def test_figures_are_the_plain_ones_and_say_what_they_are_over(desk: Desk, told: list[Any]) -> None:
    words = {u: {n: " ".join(t.casefold().split()) for n, t in by.items()} for u, by in some(desk, WORDS).items()}
    app = desk.open(tab="agreement")
    shown = metrics(app)
    assert shown["Krippendorff's alpha"] == f"{plain_alpha(words):.3f}"
    pool = desk.store.bundle.table("pool")["text"].to_pylist()
    vectors = dict(zip(pool, np.asarray(desk.store.bundle.array("text_embeddings"), float), strict=True))
    units, cosine, by_chance = plain_meaning(words, list(WORDS), vectors)
    assert shown["Alike in meaning"] == f"{cosine:.3f}"
    text = said(app)
    assert f"labels of different ends have {by_chance:.3f}" in text and f"over the {units} of" in text
    distinct = {text for by in WORDS.values() for text in by if text}
    judged = [by for by in words.values() if len(by) > 1]
    assert f"Over {len(judged)} ends" in text.replace("**", "")
    assert f"{sum(map(len, judged))} answers, {sum('Bob' in by for by in judged)} of them given blind" in text
    assert "the bundle's pool" in text and f"of {len(distinct)} labels embedded" in text
    assert "95 % interval" in text and "The weights are gone." in text
    pairs = app.dataframe[0].value
    assert [tuple(row) for row in pairs[["one", "other"]].to_numpy()] == [
        ("Anna", "Bob"),
        ("Anna", "Cem"),
        ("Bob", "Cem"),
    ]
    for _, row in pairs.iterrows():
        assert row["kappa"] == pytest.approx(plain_kappa(words, row["one"], row["other"]), abs=1e-12)
        assert row["ends"] == sum({row["one"], row["other"]} <= by.keys() for by in words.values())
    data = json.loads(figures.to_json(told[-1]()))["agreement"]
    assert data["alpha"] == pytest.approx(plain_alpha(words), abs=1e-12) and data["units"] == len(judged)


@pytest.mark.parametrize(("words", "sentence"), [
    ({"Anna": ("red sea", "red wall")}, "No end has two answers"),
    ({"Anna": ("red sea", ""), "Bob": ("", "red sea")}, "No end has two answers"),
    ({"Anna": ("zebra",) * 3, "Bob": ("Zebra",) * 3}, "not defined"),
    ({"Anna": ("red sea", "x"), "Bob": ("red sea", "y")}, "fewer than 10 ends"),
])  # fmt: skip
def test_what_is_undefined_is_said_in_words(desk: Desk, words: Mapping[str, tuple[str, ...]], sentence: str) -> None:
    some(desk, words)
    app = desk.open(tab="agreement")
    text = said(app) + " ".join(metrics(app).values())
    assert sentence in text and not any(word in text for word in NAN)
    for frame in app.dataframe:
        assert not any(str(value) in ("nan", "NaN") for value in frame.value.to_numpy().ravel())


@pytest.mark.parametrize(("query", "kept"), [
    ({"queue": "random"}, {"Anna: c", "Bob: d", "Bob: e"}),
    ({"annotator": "Anna"}, {"Anna: a", "Anna: c"}),
    ({"kind": "head"}, {"Bob: e"}),
    ({"layer": "1"}, {"Anna: a", "Bob: b"}),
    ({"blind": "True"}, {"Bob: b", "Bob: d"}),
    ({"queue": "by importance", "annotator": "Bob"}, {"Bob: b"}),
])  # fmt: skip
def test_filters_in_the_link_keep_what_they_say(desk: Desk, query: dict[str, str], kept: set[str]) -> None:
    head = next(head.address for head in desk.store.heads() if head.address.startswith("L0"))
    desk.say("Anna", "L1.N3", "a")
    desk.say("Bob", "L1.N3", "b", blind=True)
    desk.say("Anna", "L2.N3", "c", queue="random")
    desk.say("Bob", "L2.N3", "d", queue="random", blind=True)
    desk.say("Bob", head, "e", queue="random")
    app = desk.open(tab="labels", **query)
    rows = table(app, "agreement-labels")
    assert {piece for row in rows for piece in row["said"].split("; ")} == kept
    assert len(table(desk.open(tab="labels"), "agreement-labels")) == 3


def test_filters_are_set_by_their_controls(desk: Desk) -> None:
    some(desk, WORDS)
    desk.say("Anna", desk.unit(0), "x", end="-", queue="random")
    app = desk.open(tab="overview")
    app.selectbox(key="AgreementView.queue").set_value("random").run()
    assert address(app, "queue") == "random" and metrics(app)["Ends judged"] == "1"
    app.button(key="clear-filters").click().run()
    assert "queue" not in app.query_params
    app.multiselect(key="AgreementView.annotator").set_value(["Cem"]).run()
    assert address(app, "annotator") == "Cem" and metrics(app)["Ends judged"] == "5"


def test_a_bad_link_gets_a_sentence(desk: Desk) -> None:
    some(desk, WORDS)
    for bad in ({"queue": "<b>no"}, {"annotator": "Nobody"}, {"layer": "99"}, {"tab": "x"}, {"shown": "-1"}):
        app = desk.open(calm=False, **bad)
        assert "cannot be shown" in app.info[0].value and metrics(app)["Ends judged"]


# --- all labels -------------------------------------------------------------------------------------------------------


def test_all_labels_can_be_searched_and_lead_on(desk: Desk) -> None:
    words = some(desk, WORDS)
    app = desk.open(tab="labels")
    rows = table(app, "agreement-labels")
    assert [row["unit"] for row in rows[:1]] == [desk.unit(12)] and len(rows) == len(words)
    first = rows[0]
    assert f"neuron={desk.unit(12)}" in first["href"] and first["label"] == "red dot" and first["state"] == "labelled"
    app.text_input(key="AgreementView.search").set_value("SEA anna").run()
    assert address(app, "search") == "SEA anna"
    units = desk.store.units
    rows_of = {u: " ".join((*by.values(), units.label("neuron", units.row(u)))) for u, by in words.items()}
    wanted = {u for u, text in rows_of.items() if "Anna" in words[u] and "sea" in text}
    assert {row["unit"] for row in table(app, "agreement-labels")} == wanted
    disputed = table(desk.open(tab="labels", search="disputed"), "agreement-labels")
    assert len(disputed) == 4 and [text for text, _ in disputed[0][""]] == ["desk", "decide"]
    assert "about=" in disputed[0][""][1][1] and "/label?" in disputed[0][""][0][1]
    assert "No label has these words" in said(desk.open(tab="labels", search="elephant"))
    assert len(table(desk.open(tab="labels", shown="3"), "agreement-labels")) == 3


# --- bad luck, other subjects -----------------------------------------------------------------------------------------


def test_a_database_that_cannot_be_read_gets_its_sentence(desk: Desk) -> None:
    desk.file.write_bytes(b"this is no database" * 100)
    app = desk.open(calm=False)
    assert "no database of labels" in app.warning[0].value.replace("\\", "") and not app.metric
    assert [button.label for button in app.button if button.label == "Look again"]
    desk.file.unlink()
    for left in desk.file.parent.glob("labels.sqlite*"):
        left.unlink()
    next(button for button in app.button if button.label == "Look again").click().run()
    assert "Nobody has labelled anything" in said(app)


def test_concepts_of_a_dictionary(desk: Desk) -> None:
    dictionary_maker.make(desk.folder / DICTIONARY)
    try:
        app = desk.open(dictionary=DICTIONARY)
        assert "Nobody has labelled anything" in said(app)
        from pages._ui import dictionaries

        store = dictionaries.open_named(DICTIONARY).store
        hub = next(member.name for member in store.members if store.concepts(member.name))
        concepts = store.concepts(hub)[:3]
        for rank, concept in enumerate(reversed(concepts)):
            desk.say("Anna", concept.address, "a", end="", bundle=store.id, model="")
            desk.say("Bob", concept.address, "b" if rank else "A", end="", bundle=store.id, model="")
        app = desk.open(dictionary=DICTIONARY, tab="disagreements")
        assert heading(app) == concepts[0].address and "concept number 1 of" in said(app).replace("\u2060", "")
        assert [row["id"] for row in component(app, "dispute-images")["rows"]] == list(concepts[0].images)
        assert len(table(app, "agreement-disputes")) == len(concepts) - 1
        decide(app, "mine", "so it is")
        (event,) = [each for each in desk.database.since(0, store.id) if each.kind == "adjudicate"]
        assert (event.address, event.end, event.bundle) == (concepts[0].address, "", store.id)
        app = desk.open()
        app.selectbox(key="agreement-source").set_value(DICTIONARY).run()
        assert address(app, "dictionary") == DICTIONARY and metrics(app)["Decided"] == "1"
    finally:
        shutil.rmtree(desk.folder / DICTIONARY)


def test_the_live_model_embeds_what_is_no_text_of_the_pool(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "MODELS", live.LiveModels(resources._load, resources._weight, resources._memory))
    explainer = resources.explainer(resources.open_named(desk.name))
    unread = "zebra"
    monkeypatch.setattr(explainer, "unseen_words", lambda texts: tuple(w for w in texts if w == unread))
    words = some(
        desk, {"Anna": ("a red sea | a wall", "dog", unread, "sky"), "Bob": ("red sea", "a blue dog", "sky", "sky")}
    )
    app = desk.open(tab="agreement")
    vectors = {
        text: explainer.embed([text])[0] for text in ("a red sea", "a wall", "red sea", "dog", "a blue dog", "sky")
    }
    mean = vectors.pop("a red sea") + vectors.pop("a wall")
    vectors["a red sea | a wall"] = mean / np.linalg.norm(mean)
    units, cosine, _ = plain_meaning(words, ["Anna", "Bob"], vectors)
    assert units == 3 and metrics(app)["Alike in meaning"] == f"{cosine:.3f}"
    assert "5 of 6 labels embedded" in said(app) and "never trained on" in said(app)
