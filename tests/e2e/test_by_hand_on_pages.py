"""What people call a unit stands on its own page too, and a neuron's page leads to the concept it is in."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.labels.database import URL_VARIABLE, Labels, default_url
from core.labels.events import Event, new_key
from core.store.dictionary import Dictionary
from pages._ui import agreement_scores, dictionaries, figures, labels, resources, rosetta_links, scores
from tests import dictionary_maker
from tests.e2e.test_neurons_page import Visit, said


@pytest.fixture
def visit(vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    folder = tmp_path / "bundles"
    folder.mkdir()
    shutil.copytree(vit_bundle, folder / vit_bundle.name)
    dictionary_maker.make(folder / "rosetta-0123abcd")
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(folder))
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    yield Visit(resources.open_named(vit_bundle.name))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(figures, "page_data", lambda data, name: seen.append(data))
    return seen


def store() -> Dictionary:
    return dictionaries.open_named("rosetta-0123abcd").store


def give(bundle: str, address: str, *given: tuple[str, str, str]) -> None:
    base = Labels(default_url(resources.bundles_folder()))
    base.add([Event(new_key(), who, bundle, address, end, "label", text) for who, end, text in given])  # type: ignore[arg-type] # ends
    base.close()


@pytest.mark.parametrize(("page", "field", "address"), [("heads", "head", "L1.H0"), ("neurons", "neuron", "L1.N20")])
def test_labels_stand_on_the_units_page(visit: Visit, told: list[Any], page: str, field: str, address: str) -> None:
    before = visit.open(page, **{field: address})
    assert "By hand" not in said(before)
    assert not Path(default_url(resources.bundles_folder()).removeprefix("sqlite:///")).exists()  # looking makes none
    bundle = visit.opened.store.facts().bundle
    give(bundle, address, ("Ada", "+", "a *red* <b>wall</b>"), ("Bo", "-", "snow"), ("Bo", "+", "bricks"))
    app = visit.open(page, **{field: address})
    line = next(each.value for each in app.markdown if "By hand" in each.value)
    assert r"+ **a \*red\* \<b\>wall\</b\>** (Ada) · + **bricks** (Bo) · − **snow** (Bo)" in line
    assert json.loads(figures.to_json(told[-1]()))["by hand"][0] == {
        "end": "+", "text": "a *red* <b>wall</b>", "annotator": "Ada",
    }  # fmt: skip


def test_labels_stand_on_a_concepts_page(visit: Visit) -> None:
    concept = store().concepts("demo-vit")[0]
    give(store().id, concept.address, ("Ada", "", "grass"))
    app = visit.open("rosetta", hub="demo-vit", concept=concept.address)
    assert any("By hand: **grass** (Ada)" in each.value for each in app.markdown)
    assert "**1 concept** of" in said(visit.open("rosetta", hub="demo-vit", search="GRASS"))
    assert "No concept passes" in said(visit.open("rosetta", hub="demo-vit", search="grass snow"))


def test_without_a_readable_database_the_page_stands(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    (resources.bundles_folder().parent / "labels.sqlite").write_bytes(b"no database at all" * 100)
    app = visit.open("neurons", neuron="L1.N20")
    assert "By hand" not in said(app) and labels.beside(visit.opened.store.facts().bundle, "L1.N20") == []


def test_a_neurons_page_leads_to_its_concept(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    concepts = [c for c in store().concepts("demo-vit") if ":L1." in c.address]
    address = concepts[0].address.partition(":")[2]
    assert link(visit.open("neurons", neuron=address)) is None  # the dictionary's model is another
    member = store().member("demo-vit")
    ours = visit.opened.store
    monkeypatch.setattr(ours.head_table, "facts", replace(ours.facts(), weights_digest=member.weights_digest))
    assert rosetta_links.holding(store(), visit.opened, address)[0] == concepts[0]
    found = link(visit.open("neurons", neuron=address))
    assert found is not None and found.label == f"Shared by {concepts[0].models} models"
    assert f"concept={concepts[0].address.replace(':', '%3A')}" in found.query_string
    assert rosetta_links.holding(store(), visit.opened, "L7.N0") == []


def test_labels_of_concepts_have_scores(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    concept = next(c for c in store().concepts("demo-vit") if c.label)
    drawn: list[str] = []
    monkeypatch.setattr(scores.st, "caption", lambda text, help="": drawn.append(text + help))
    text = next(text for text in dictionary_maker.POOL if text != concept.label.text)  # type: ignore[union-attr]
    seen = list(concept.images[:4])
    made = scores.beside(visit.opened, concept.address, "", text, seen)
    assert made == store().scores.score(concept, text, seen) and made is not None and made.images == 20
    assert str(made.pearson) in drawn[-1].replace("\\", "") and "that it was made from" in drawn[-1]
    assert scores.beside(visit.opened, concept.address, "", "of no pool") is None and "not in the" in drawn[-1]
    assert scores.beside(visit.opened, "demo-vit:L9.N9", "", text) is None and "No dictionary here" in drawn[-1]


def test_images_that_an_annotator_was_shown_do_not_count(visit: Visit) -> None:
    opened = visit.opened
    text = opened.store.bundle.table("pool")["text"][0].as_py()
    score = agreement_scores.columns(opened)
    shown = [int(image) for image in np.flatnonzero(opened.store.images.ok_n)[:5]]
    made = [
        score(Event(new_key(), "Ada", opened.store.facts().bundle, "L1.H1", "+", "label", text, evidence=evidence))
        for evidence in ({}, {"images": {"+": shown}})
    ]
    assert made[0] is not None and made[1] is not None
    assert made[0]["images"] - made[1]["images"] == 5


def link(app: AppTest) -> Any:
    return next((each.proto for each in app.get("page_link") if each.proto.label.startswith("Shared")), None)
