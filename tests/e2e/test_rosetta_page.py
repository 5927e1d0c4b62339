"""What the pages about a dictionary show, read back from their elements, against the dictionary's store."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from core.explain.rosetta import MOST, RosettaExplainer
from core.images import decode
from core.store.dictionary import Dictionary
from pages._ui import dictionaries, figures, live, resources, rosetta_concept, rosetta_links, thumbs
from tests import bundle_maker, dictionary_maker
from tests.e2e.test_neurons_page import _page, address, component, said
from tests.unit.test_rosetta_explainer import MadeUp

NAME = "rosetta-0123abcd"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    dictionary_maker.make(out / NAME)
    return out


def made_up(facts: Mapping[str, Any], make_room: object) -> RosettaExplainer:
    """Models in no time; one of them cannot be loaded."""
    members = [MadeUp(name) for name in dictionary_maker.MEMBERS if name != "demo-mae"]
    return RosettaExplainer(facts["dictionary"], members, {"demo-mae": "Its <b>weights</b> are gone."})


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(folder))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    monkeypatch.setattr(resources, "MODELS", live.LiveModels(made_up, lambda model: ("cpu", 1), lambda kind: 100))


@pytest.fixture
def store() -> Dictionary:
    return dictionaries.open_named(NAME).store


def visit(page: str = "rosetta", *, calm: bool = True, **query: Any) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=60, kwargs={"name": page})
    app.query_params.update(query)
    app.run()
    assert not app.exception and not app.error and (not calm or not (app.warning or app.info)), said(app)
    return app


def ready(store: Dictionary) -> None:
    """Wait for the made-up models, so that a page is drawn whole at once."""
    opened = dictionaries.open_named(NAME)
    dictionaries.explainer_status(opened)
    assert dictionaries.explainer(opened).dictionary is store


def cards(app: AppTest) -> list[str]:
    keys = (key for key in (button.key or "" for button in app.button) if key.startswith("card-"))
    found = [key.removeprefix("card-") for key in keys]
    return found


# --- concepts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hub", list(dictionary_maker.MEMBERS))
def test_cards_of_a_hub(store: Dictionary, told: list[Any], hub: str) -> None:
    app = visit(hub=hub)
    concepts = store.concepts(hub)
    assert sorted(cards(app)) == sorted(concept.address for concept in concepts)
    assert [concept.address for concept in told[-1]()["concepts"]] == [concept.address for concept in concepts]
    assert f"**{len(concepts)} concepts** of {len(concepts)}" in said(app) and "24 images" in said(app)
    strip = component(app, f"strip-{concepts[0].address}")["rows"]
    assert [row["id"] for row in strip] == list(concepts[0].images[: len(strip)]) and len(strip) == 4
    assert all(row["href"].startswith("/rosetta?") and f"N{concepts[0].address.rpartition('N')[2]}" in row["href"]
               for row in strip)  # fmt: skip
    assert all(f"strength {concept.strength:+.3f}" in said(app) for concept in concepts)


def test_search_and_filters(store: Dictionary) -> None:
    concepts = store.concepts("demo-vit")
    for text in ("*2*", "<B>OF</b>"):
        expected = [c.address for c in concepts if c.label and text.casefold() in c.label.text.casefold()]
        assert sorted(cards(visit(search=text))) == sorted(expected) and expected
    unit = next(unit for unit in concepts[0].members if unit.member == "demo-cnn")
    for text in (unit.address, f"{unit.layer}.N{unit.unit}".lower()):
        found = cards(visit(search=text))
        assert concepts[0].address in found
        assert all(any(text in u.address.casefold() or unit.address == u.address for u in c.members)
                   for c in concepts if c.address in found)  # fmt: skip
    for member in ("demo-cnn", "demo-mae"):
        expected = [c.address for c in concepts if member in c.best]
        assert sorted(cards(visit(member=member))) == sorted(expected)
    everywhere = [c.address for c in concepts if len(c.best) == 3]
    assert sorted(cards(visit(member=list(dictionary_maker.MEMBERS)))) == sorted(everywhere) and everywhere
    assert sorted(cards(visit(models="3"))) == sorted(c.address for c in concepts if c.models >= 3)
    nothing = visit(search="no concept says this")
    assert not cards(nothing) and "No concept passes" in said(nothing)
    few = visit(shown="2")
    assert set(cards(few)) == {concept.address for concept in concepts[:2]} and "the first 2 shown" in said(few)
    next(button for button in few.button if button.label.startswith("Show ")).click().run()
    assert address(few, "shown") == "26" and len(cards(few)) == len(concepts)


def test_controls_write_the_link(store: Dictionary) -> None:
    app = visit()
    assert app.selectbox[0].value == "demo-vit"  # a CLIP model: its concepts have labels
    app.text_input(key="RosettaView.search").set_value(" *2* ").run()
    assert address(app, "search") == "*2*"
    app.selectbox[0].set_value("demo-cnn").run()
    assert address(app, "hub") == "demo-cnn"
    app.multiselect[0].set_value(["demo-mae"]).run()
    assert address(app, "member") == "demo-mae"


def test_keys_walk_in_the_lists_order(store: Dictionary) -> None:
    names = [concept.address for concept in store.concepts("demo-cnn")]
    app = visit(hub="demo-cnn")
    assert app.button(key="key-previous").disabled
    for _ in range(2):
        app.button(key="key-next").click().run()
    assert address(app, "concept") == names[1]
    app.button(key="key-previous").click().run()
    assert address(app, "concept") == names[0] and app.button(key="key-previous").disabled
    wanted = [c.address for c in store.concepts("demo-cnn") if c.label and "*3*" in c.label.text]
    app = visit(hub="demo-cnn", search="*3*", concept=wanted[0])
    app.button(key="key-next").click().run()
    assert address(app, "concept") == wanted[1]


def test_one_concept(store: Dictionary, told: list[Any]) -> None:
    concept = store.concepts("demo-vit")[0]
    app = visit(concept=concept.address)
    assert app.subheader[0].value.replace("\\", "") == concept.label.text  # characters, not markup
    rows = [row for row in app.get("bidi_component") if "rosetta-" in row.proto.id]
    assert [row["id"] for row in component(app, "rosetta-plain")["rows"]] == list(concept.images)
    for unit in concept.best.values():
        shown = component(app, f"rosetta-{unit.address}")["rows"]
        assert [row["id"] for row in shown] == list(concept.images) and all(row["overlay"] for row in shown)
        if unit.partner:
            assert f"r {unit.r:.3f} with {unit.partner}, null {unit.null:.3f}" in said(app).replace("\u2060", "")
            assert f"{unit.member} {store.level('demo-vit', unit.member):.3f}" in said(app)
    assert len(rows) >= 1 + len(concept.best)
    drawn = told[-1]()
    np.testing.assert_array_equal(drawn["correlations"], store.correlations(concept))
    assert list(drawn["texts"]) == [unit.address for unit in concept.best.values() if unit.member == "demo-vit"]
    assert f"On the other half: r {concept.label.r:.2f} [" in said(app)
    units = app.dataframe[0].value
    assert units["unit"].tolist() == [unit.address for unit in concept.members]
    np.testing.assert_allclose(units["null"].to_numpy(float), [unit.null for unit in concept.members])
    json.loads(figures.to_json(drawn))
    every = visit(concept=concept.address, every="True")
    assert all(component(every, f"rosetta-{unit.address}")["rows"] for unit in concept.members)
    own = component(visit(concept=concept.address, own="True"), f"rosetta-{concept.address}")["rows"]
    tops = np.abs(store.maps(concept)[concept.address]).max((1, 2))
    maps = store.maps(concept)[concept.address]
    one = component(app, f"rosetta-{concept.address}")["rows"]  # on the row's scale
    assert [row["overlay"] for row in one] == [rosetta_concept.over(map_yx, tops.max()) for map_yx in maps]
    assert [row["overlay"] for row in own] == [rosetta_concept.over(map_yx) for map_yx in maps]
    assert [row["caption"] for row in own] == [f"±{top:.2g}" for top in tops]


def test_a_concepts_own_link_is_enough(store: Dictionary) -> None:
    concept = store.concepts("demo-mae")[0]
    app = visit(concept=concept.address)
    assert address(app, "hub") == "demo-mae" and app.selectbox[0].value == "demo-mae"


@pytest.mark.parametrize("bad", [
    {"concept": "<b>"}, {"concept": "demo-vit:L0.N999"}, {"hub": "nobody"}, {"tab": "?"}, {"models": "1"},
    {"member": "nobody"}, {"image": "24"}, {"image": "-1"}, {"shown": "0"}, {"every": "1"}, {"search": "x" * 300},
    {"dictionary": "../x"}, {"unknown": "1"},
])  # fmt: skip
def test_a_bad_link_gets_a_sentence(bad: dict[str, str]) -> None:
    app = visit(calm=False, **bad)
    assert "cannot be shown" in said(app) or "means nothing" in said(app)
    assert cards(app) and all(name not in app.query_params or address(app, name) != text for name, text in bad.items())


# --- one image --------------------------------------------------------------------------------------------------------


def test_all_concepts_of_an_image(store: Dictionary, told: list[Any]) -> None:
    ready(store)
    app = visit(calm=False, tab="image", hub="demo-cnn", image="5")
    expected = [(concept, z) for concept, z in store.in_image("demo-cnn", 5) if z > 0]
    table = component(app, "rosetta-in-image")["rows"]
    assert [row["values"][0] for row in table] == [concept.address for concept, _ in expected]
    assert [row["values"][2] for row in table] == pytest.approx([z for _, z in expected])
    for concept, _ in expected[:MOST]:
        shown = component(app, f"active-{concept.address}")["rows"]
        there = [unit.address for name, unit in sorted(concept.best.items()) if name != "demo-mae"]
        assert sorted(row["alt"] for row in shown) == sorted(there) and all(row["overlay"] for row in shown)
    assert "demo-mae is left out: Its <b>weights</b> are gone." in said(app).replace("\u2060", "")
    assert len(told[-1]()["maps"]) == len(expected)
    app.button(key="key-next").click().run()
    assert address(app, "image") == "6"


def test_the_list_of_an_image_needs_no_models(store: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(facts: object, make_room: object) -> RosettaExplainer:
        raise resources.ModelError("None of this dictionary's models can be loaded.")

    monkeypatch.setattr(resources, "MODELS", live.LiveModels(fails, lambda model: ("cpu", 1), lambda kind: 100))
    resources.MODELS.ask(*dictionaries._promise(dictionaries.open_named(NAME))).exception()
    app = visit(calm=False, tab="image", image="5")
    assert "Maps need the live models. None of" in said(app)
    assert len(component(app, "rosetta-in-image")["rows"]) == sum(z > 0 for _, z in store.in_image("demo-vit", 5))


# --- how universal ----------------------------------------------------------------------------------------------------


def test_universality(store: Dictionary, told: list[Any]) -> None:
    app = visit("universal", a="demo-cnn", b="demo-vit")
    drawn = told[-1]()
    rows = drawn["shares"]
    names = list(dictionary_maker.MEMBERS)
    expected = [(a, layer.layer, b, layer.partnered, layer.alive) for a in names for b in names if a != b
                for layer in store.universality(a, b)]  # fmt: skip
    got = [(r["units of"], r["layer"], r["partners in"], r["with a partner"], r["living"]) for r in rows]
    assert got == expected
    for at, layer in enumerate(store.universality("demo-cnn", "demo-vit")):
        depths = [other.depth for other in store.member("demo-vit").layers]
        assert drawn["depths"][:, at].tolist() == [int((layer.partner_depth == depth).sum()) for depth in depths]
    assert drawn["sharing"]["demo-cnn"] == store.sharing("demo-cnn")
    assert "so there is no reference" in said(app)
    json.loads(figures.to_json(drawn))
    same = visit("universal", a="demo-cnn", b="demo-cnn")  # a model is not compared with itself
    assert "Where their partners in demo-vit sit" in said(same)


def test_two_seeds_are_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vit = dictionary_maker.MEMBERS["demo-vit"]
    monkeypatch.setattr(dictionary_maker, "MEMBERS", {"demo-vit": vit, "demo-vit-2": vit, "demo-cnn":
                        dictionary_maker.MEMBERS["demo-cnn"]})  # fmt: skip
    folder = dictionary_maker.make(tmp_path / NAME)
    facts = json.loads((folder / "rosetta.json").read_text())
    facts["members"][1]["weights_digest"] = "11"
    (folder / "rosetta.json").write_text(json.dumps(facts))
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    app = visit("universal")
    text = said(app)
    assert "demo-vit in demo-vit-2" in text and "trained twice from different seeds" in text
    assert [box.value for box in app.selectbox] == ["demo-vit", "demo-vit-2"]
    same = json.loads((folder / "rosetta.json").read_text())
    same["members"][1]["weights_digest"] = "00"  # one model under two names is no other seed
    (folder / "rosetta.json").write_text(json.dumps(same))
    assert "so there is no reference" in said(visit("universal"))


# --- none, several, damaged -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["rosetta", "universal"])
def test_without_a_dictionary(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    app = visit(page)
    assert "There is no dictionary yet" in said(app) and "precompute rosetta --models" in app.code[0].value
    (tmp_path / "rosetta-99").mkdir()
    assert "empty" in said(visit(page, calm=False))
    (tmp_path / "rosetta-99" / ".work").mkdir()
    assert "A dictionary is being made" in said(visit(page))


@pytest.mark.parametrize("page", ["rosetta", "universal"])
def test_models_that_share_nothing(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary_maker.make(tmp_path / NAME, empty=True)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    app = visit(page)
    assert "These models share nothing" in said(app) and "demo-vit with demo-cnn 0.990" in said(app)


def test_several_dictionaries_and_a_damaged_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (NAME, "rosetta-1123abcd"):
        shutil.copytree(folder / NAME, tmp_path / name)
    (tmp_path / "rosetta-1123abcd" / "concepts" / "corr.npy").unlink()
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    app = visit()
    assert cards(app) and app.selectbox[0].options == [NAME, "rosetta-1123abcd"]
    app.selectbox[0].set_value("rosetta-1123abcd").run()
    assert address(app, "dictionary") == "rosetta-1123abcd" and "is missing" in said(app) and not cards(app)
    app.selectbox[0].set_value(NAME).run()
    assert cards(app)


# --- around the pages -------------------------------------------------------------------------------------------------


def test_thumbnails_come_by_the_route(folder: Path, store: Dictionary) -> None:
    routes = thumbs.routes()
    try:
        with TestClient(Starlette(routes=routes), base_url="http://localhost") as client:
            answer = client.get(f"/b/{NAME}/t/3")
            assert answer.status_code == 200 and answer.content == store.thumbnail(3)
            for wrong in (f"/b/{NAME}/t/24", "/b/rosetta-nothing/t/0", "/b/rosetta-..%2f..%2fetc/t/0"):
                assert client.get(wrong).status_code == 404
            assert thumbs.source(dictionaries.open_named(NAME), 3) == f"/b/{NAME}/t/3"
    finally:
        os.environ.pop(thumbs.ROUTE_VARIABLE)


def _app(path: str) -> None:
    import runpy

    runpy.run_path(path)


def app_at(page: str, **query: str) -> AppTest:
    app = AppTest.from_function(_app, kwargs={"path": str(resources.ROOT / "app.py")}, default_timeout=60)
    app._page_hash = calc_hash(page)
    app.query_params.update(query)
    return app.run()


def test_a_folder_of_dictionaries_alone_has_their_pages(folder: Path) -> None:
    app = app_at("rosetta")
    assert not app.exception and cards(app) and "bundle" not in app.query_params
    assert "there is none yet" in said(app_at(""))  # of bundles, which the other pages are about


def test_links_to_the_page_of_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Dictionary) -> None:
    bundle_maker.make(tmp_path / "tiny-0123abcd")  # with the neurons of layers 1 and 2, and weights of digest "00"
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    vit, cnn = store.member("demo-vit"), store.member("demo-cnn")
    assert rosetta_links.page(vit, "L1", 3) == ("tiny-0123abcd", "L1.N3")
    assert rosetta_links.page(vit, "L0", 3) is None and rosetta_links.page(cnn, "L1", 3) is None
    facts = json.loads((tmp_path / "tiny-0123abcd" / "bundle.json").read_text())
    facts["model"]["weights_digest"] = "11"
    (tmp_path / "tiny-0123abcd" / "bundle.json").write_text(json.dumps(facts))
    st.cache_resource.clear()
    assert rosetta_links.page(vit, "L1", 3) is None


@pytest.fixture
def with_bundle(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    bundle_maker.make(tmp_path / "tiny-0123abcd")
    shutil.copytree(folder / NAME, tmp_path / NAME)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    return tmp_path


def test_dictionaries_are_no_bundles(with_bundle: Path) -> None:
    assert resources.names() == ("tiny-0123abcd",) and resources.problems() == ()
    app = app_at("rosetta")
    assert not app.exception and cards(app) and address(app, "bundle") == "tiny-0123abcd"
    assert "RANDOM WEIGHTS" not in said(app)  # which the bundle's model has, and no model here


def test_the_image_pages_section(
    folder: Path, vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    (tmp_path / vit_bundle.name).symlink_to(vit_bundle)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    query = {"bundle": vit_bundle.name, "tab": "rosetta", "image": "3"}
    load = lambda facts, room: (made_up if "dictionary" in facts else resources._load)(facts, room)
    monkeypatch.setattr(resources, "MODELS", live.LiveModels(load, lambda model: ("cpu", 1), lambda kind: 100))
    assert "There is no dictionary yet" in said(visit("image", **query))
    shutil.copytree(folder / NAME, tmp_path / NAME)
    store = dictionaries.open_named(NAME).store
    ready(store)
    app = visit("image", calm=False, **query, hub="demo-cnn")
    active = told[-1]()["answer"]["active"]
    data = resources.open_named(vit_bundle.name).store.thumbnail(3)
    expected = dictionaries.explainer(dictionaries.open_named(NAME)).look(decode(data), "demo-cnn")
    assert [each.concept.address for each in active] == [each.concept.address for each in expected] and expected
    for each in expected:
        rows = component(app, f"active-{each.concept.address}")["rows"]
        assert len(rows) == len(each.maps)
        for row in rows:
            member = row["alt"].partition(":")[0]
            assert row["caption"].startswith(f"{member} z {each.by_member[member]:.1f}\n")
    assert "is left out" in said(app) and f"among {len(store.concepts('demo-cnn'))} of the hub" in said(app)
    hub = next(box for box in app.selectbox if box.label == "Hub")
    hub.set_value("demo-vit").run()
    assert address(app, "hub") == "demo-vit" and address(app, "tab") == "rosetta"
    wrong = visit("image", calm=False, **query, hub="nobody", dictionary="rosetta-x")
    assert "dictionary cannot be shown" in said(wrong) and next(b for b in wrong.selectbox if b.label == "Hub").value
