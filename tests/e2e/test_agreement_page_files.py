"""Files on the Agreement page: made when asked for, looked at before they come in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.labels import files
from core.labels.database import Labels
from core.labels.events import Event, new_key
from pages._ui import agreement_scores, live, resources, scores
from tests.e2e.agreement_desk import HOSTILE, WORDS, Desk, decide, make, metrics, some
from tests.e2e.test_neurons_page import said


@pytest.fixture
def desk(vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return make(vit_bundle, tmp_path, monkeypatch)


def upload(app: AppTest, data: bytes, name: str = "labels.jsonl") -> AppTest:
    app.file_uploader[0].set_value((name, data, "application/octet-stream"))
    return app.run()


def plain_events(database: Labels) -> list[Event]:
    return [replace(each, seq=0, evidence=dict(each.evidence)) for each in database.since(0)]


@pytest.mark.parametrize("kind", files.FORMATS)
def test_files_are_made_when_asked_for_and_bring_everything_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    some(desk, WORDS)
    decide(desk.open(tab="disagreements"), HOSTILE, "so it is")
    offered: dict[str, Any] = {}
    made: list[str] = []
    export = files.export
    monkeypatch.setattr(files, "export", lambda events, kind, score: made.append(kind) or export(events, kind, score))
    monkeypatch.setattr(st, "download_button", lambda label, **more: offered.__setitem__(more["key"], more))
    desk.open(tab="files")
    assert not made and callable(offered[f"export-{kind}"]["data"])
    data = offered[f"export-{kind}"]["data"]()
    assert made == [kind] and offered[f"export-{kind}"]["file_name"].endswith(f".{kind}")
    read = [replace(each, seq=0, evidence=dict(each.evidence)) for each in files.read(data, "it")]
    assert sorted(read, key=lambda e: e.key) == sorted(plain_events(desk.database), key=lambda e: e.key)
    report = offered["export-html"]["data"]().decode()
    assert "<html" in report and desk.unit(0) in report and "onerror=alert(1)>" not in report


def test_an_import_is_looked_at_first(desk: Desk) -> None:
    shared = desk.say("Anna", desk.unit(0), "red sea")
    ours = desk.say("Bob", desk.unit(1), "red wall")
    altered = replace(desk.say("Anna", desk.unit(2), "red dog"), text="changed by hand")
    theirs = replace(ours, key=new_key(), annotator="Zoe", text="blue wall", at=ours.at + 5)
    elsewhere = replace(theirs, key=new_key(), bundle="another-0123", address="L0.N1", text="far")
    before = plain_events(desk.database)
    app = upload(desk.open(tab="files"), files.export([shared, altered, theirs, elsewhere], "jsonl"))
    assert metrics(app) == {"New": "2", "Known already": "1", "Labelled otherwise": "1", "Altered": "1"}
    differing, changed = (each.value for each in app.dataframe)
    assert differing[["in the file", "by (file)", "here", "by (here)"]].to_numpy().tolist() == [
        ["blue wall", "Zoe", "red wall", "Bob"]
    ]
    assert changed[["in the file", "here"]].to_numpy().tolist() == [["changed by hand", "red dog"]]
    assert "Zoe (2)" in said(app) and "1 of them are about other bundles" in said(app)
    assert plain_events(desk.database) == before  # nothing yet
    app.button(key="agreement-import").click().run()
    assert "2 events imported" in app.success[0].value.replace("\\", "")
    after = plain_events(desk.database)
    assert after[:3] == before and sorted(e.key for e in after[3:]) == sorted([theirs.key, elsewhere.key])
    assert metrics(app)["New"] == "0" and not [each for each in app.button if each.key == "agreement-import"]
    assert metrics(desk.open())["To decide"] == "1"


def test_a_malformed_file_brings_nothing(desk: Desk) -> None:
    good = files.export([desk.say("Anna", desk.unit(0), "red sea")], "jsonl")
    before = plain_events(desk.database)
    bad = good.replace(before[0].key.encode(), new_key().encode()) + b'{"annotator": "x"}\nno json\n'
    app = upload(desk.open(tab="files"), bad)
    sentence = app.warning[0].value.replace("\\", "")
    assert "line 2" in sentence and "line 3" in sentence and "nothing was imported" in sentence
    assert not [each for each in app.button if each.key == "agreement-import"] and not app.metric
    assert plain_events(desk.database) == before
    assert [each.value for each in app.subheader] == ["Export", "Import"]


def test_scores_in_files_do_not_depend_on_how_far_the_model_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = resources.open_named(desk.name)
    name = next(each for each in desk.store.images.values("class", np.arange(9)).to_pylist() if each)
    said_so = desk.say("Anna", desk.unit(0), f"a drawing of {name}")  # it names images, and no text of the pool is it
    waited: list[str] = []
    monkeypatch.setattr(scores, "await_model", lambda opened: waited.append(opened.name))
    monkeypatch.setattr(resources, "explainer_status", lambda opened: live.Status("loading"))
    assert agreement_scores.columns(opened)(said_so) is None and waited == [desk.name]
    found, why = scores.of(opened, said_so.address, "+", said_so.text)
    assert found is None and "live model" in why, "never by the images it names instead"
