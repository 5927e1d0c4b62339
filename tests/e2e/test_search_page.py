"""What the Search page shows, read back from its cards, against every unit asked in turn."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.errors import LabelsUnavailable
from core.images import decode
from core.labels.events import Event, new_key
from pages._ui import figures, labels, live, map_jobs, resources, search_ask, search_results, search_scores
from pages._ui.jobs import Job
from tests import dictionary_maker
from tests.e2e.test_image_page import take
from tests.e2e.test_neurons_page import Visit, address, said
from tests.e2e.world import World
from tests.reference import plain_search

TEXT = "red wall"
"""Of the bundle's pool."""


@pytest.fixture(scope="module")
def visit(vit_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    with beside_a_dictionary(vit_bundle, tmp_path_factory.mktemp("search")) as made:
        yield made


@contextmanager
def beside_a_dictionary(vit_bundle: Path, place: Path) -> Iterator[Visit]:
    """A folder of bundles of its own, with a dictionary beside the bundle; the live model is there."""
    folder = place / "bundles"  # the database of labels lies beside it
    shutil.copytree(vit_bundle, folder / vit_bundle.name)
    dictionary_maker.make(folder / "rosetta-0123abcd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(resources.BUNDLES_VARIABLE, str(folder))
        patch.delenv("DATABASE_URL", raising=False)
        patch.setattr(resources, "MODELS", live.LiveModels(resources._load, resources._weight, resources._memory))
        opened = resources.open_named(vit_bundle.name)
        resources.explainer(opened)
        yield Visit(opened)


def cards(app: AppTest) -> list[dict[str, Any]]:
    found = [each.proto for each in app.get("bidi_component") if "search-cards-" in each.proto.id]
    return json.loads(found[0].json)["cards"] if found else []


def of_kind(app: AppTest, kind: str) -> list[dict[str, Any]]:
    return [card for card in cards(app) if card["kind"] == kind]


def box(app: AppTest, text: str) -> AppTest:
    return app.text_input(key="unit-search-box").set_value(text).run()


def open_search(visit: Visit, **query: Any) -> AppTest:
    return visit.open("search", calm=False, **query)


# --- by meaning and by words ------------------------------------------------------------------------------------------


def test_a_text_of_the_pool_is_found_without_the_model(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    store = visit.opened.store
    row = store.bundle.table("pool")["text"].to_pylist().index(TEXT)
    plain = plain_search.by_meaning(store, store.bundle.array("text_embeddings")[row])
    monkeypatch.setattr(resources, "explainer_status", lambda opened: live.Status("loading"))
    app = open_search(visit, q=TEXT, how="meaning")
    assert "Loading the model" not in said(app) and not app.warning
    for kind in ("head", "neuron", "pair"):
        shown = of_kind(app, kind)
        best = plain_search.strongest(plain[kind], len(shown))
        assert 7 <= len(shown) <= 8 and {card["address"] for card in shown} == {name for name, _ in best}
        for card in shown:
            value = plain[kind][card["address"]]
            number = float(card["why"].replace("−", "-").split("along")[0].split()[-1])
            assert number == pytest.approx(value, abs=3e-3)
            ends = store.units.ends(card["address"], 5)
            if kind != "head":
                end = ends.plus if value > 0 else ends.minus
                assert card["images of"] == f"images of its {'+' if value > 0 else '−'} end"
                assert [image["id"] for image in card["images"]] == [hit.image_id for hit in end]
            assert f"{kind}s?" in card["href"] and f"{kind}=" in card["href"] and "unit=" in card["similar"]
    kinds = [card["kind"] for card in cards(app)]
    assert kinds[:6] == ["head", "neuron", "pair"] * 2  # they take turns
    assert "kinds take turns" in said(app) and "**416 results**" in said(app)  # 16 heads, 200 of each other kind


def test_any_other_text_waits_for_the_model_and_labels_do_not(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_search(visit, q="a wall that is red")
    text_o = resources.explainer(visit.opened).embed(["a wall that is red"])[0]
    plain = plain_search.by_meaning(visit.opened.store, text_o)
    best = plain_search.strongest(plain["neuron"], len(of_kind(whole, "neuron")))
    assert {card["address"] for card in of_kind(whole, "neuron")} == {name for name, _ in best}
    with monkeypatch.context() as patch:
        patch.setattr(resources, "explainer_status", lambda opened: live.Status("loading", seconds=3))
        app = open_search(visit, q="a wall that is red")
        assert not cards(app) and any("Loading the model" in each.label for each in app.get("status"))
        by_words = open_search(visit, q="red")
        assert cards(by_words) and all("label" in card["why"] for card in cards(by_words))
        patch.setattr(resources, "explainer_status", lambda opened: live.Status("failed", "It is gone."))
        failed = open_search(visit, q="red")
        assert cards(failed) and "It is gone." in said(failed)


def test_words_find_automatic_labels_and_concepts(visit: Visit) -> None:
    store = visit.opened.store
    app = open_search(visit, q="red s", how="words", kind="neuron", shown=1000)
    wanted = {
        store.units.address("neuron", row)
        for row in range(store.units.count("neuron"))
        if plain_search.has(store.units.label("neuron", row), ["red", "s"])
    }
    assert 0 < len(wanted) < 200 and {card["address"] for card in cards(app)} == wanted
    for card in cards(app):
        assert card["why"] == "in its label"
        fits = next(text for text in card["label"].split("; ") if "red" in text)
        assert ("−" in card["images of"]) == fits.startswith("−"), card
    dictionary = search_ask.dictionary(visit.opened)
    labelled = [c for m in dictionary.store.members for c in dictionary.store.concepts(m.name) if c.label]
    found = of_kind(open_search(visit, q=labelled[0].label.text, how="words"), "concept")
    assert labelled[0].address in {card["address"] for card in found}
    assert all("rosetta?" in card["href"] and not card["similar"] for card in found)


def say(visit: Visit, unit: str, text: str, by: str = "ann", end: str = "+", kind: str = "label", **more: Any) -> Event:
    bundle = visit.opened.store.facts().bundle
    return labels.database().add([Event(new_key(), by, bundle, unit, end, kind, text, **more)])[0]


def test_labels_by_hand_are_found_at_once_and_an_undone_one_no_more(visit: Visit) -> None:
    nasty = '<b>zebra</b> crossing [x](http://x) "; DROP TABLE'
    assert "No label has all these words" in said(open_search(visit, q="zebra", how="words"))
    event = say(visit, "L1.N7", nasty)
    say(visit, "L2.N3", "zebras", by="bob", end="-")
    app = open_search(visit, q="zebra", how="words")
    assert [card["address"] for card in cards(app)] == ["L2.N3", "L1.N7"]  # the shorter label first
    second, first = cards(app)
    assert first["hand"] == [f"+ {nasty} (ann)"] and first["why"] == "in the label by hand of ann"
    assert second["hand"] == ["− zebras (bob)"] and second["images of"] == "images of its − end"
    assert {card["address"] for card in cards(open_search(visit, q=TEXT, labelled="hand", shown=600))} <= {
        "L1.N7",
        "L2.N3",
    }
    without = cards(open_search(visit, q=TEXT, labelled="none", shown=600))
    assert without and not {"L1.N7", "L2.N3"} & {card["address"] for card in without}
    say(visit, "L1.N7", "", kind="undo", undoes=event.key)
    say(visit, "L2.N3", "a horse", by="bob", end="-")
    assert "No label has all these words" in said(open_search(visit, q="zebra", how="words"))
    assert [card["address"] for card in cards(open_search(visit, q="horse", how="words"))] == ["L2.N3"]


def test_without_the_database_of_labels_the_rest_is_searched(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(bundle: str) -> None:
        raise LabelsUnavailable("labels.db: the disk is full.")

    monkeypatch.setattr(labels, "ledger", gone)
    app = open_search(visit, q=TEXT)
    assert "Labels by hand are not searched now. labels.db: the disk is full." in said(app) and cards(app)


# --- by address, unit, image ------------------------------------------------------------------------------------------


def test_addresses(visit: Visit) -> None:
    assert [card["address"] for card in cards(open_search(visit, q="l1.n12"))] == ["L1.N12"]
    layers = visit.opened.store.neurons.layers
    found = open_search(visit, q="n12")
    assert [card["address"] for card in cards(found)] == [f"L{layer}.N12" for layer in layers]
    pair = visit.opened.store.units.address("pair", int(visit.opened.store.units.importance("pair").argmax()))
    assert [card["address"] for card in cards(open_search(visit, q=pair.lower().replace(">", " > ")))] == [pair]
    dictionary = search_ask.dictionary(visit.opened).store
    concept = dictionary.concepts(dictionary.members[0].name)[0]
    shown = cards(open_search(visit, q=concept.address.upper().replace("DEMO-VIT", "demo-vit")))
    assert concept.address in {card["address"] for card in shown}
    assert {card["kind"] for card in shown} == {"concept"}


def test_units_like_a_unit(visit: Visit) -> None:
    plain = plain_search.alike(visit.opened.store, "L1.N20")
    app = open_search(visit, unit="L1.N20", kind=["head", "neuron"], shown=40)
    assert "Units like" in said(app) and "L1.N20" in said(app)
    for kind in ("head", "neuron"):
        shown = of_kind(app, kind)
        assert {card["address"] for card in shown} == {n for n, _ in plain_search.strongest(plain[kind], len(shown))}
    assert not of_kind(app, "pair")
    next(button for button in app.button if button.label == "Ask anew").click().run()
    assert "unit" not in app.query_params and "Nothing is asked yet" in said(app)
    app = visit.open("neurons", neuron="L1.N20")
    links = [each.proto for each in app.get("page_link")]
    assert any(link.label == "Similar units of any kind" and "unit=L1.N20" in link.query_string for link in links)


def test_what_an_image_moves(visit: Visit) -> None:
    store = visit.opened.store
    image = int(store.neurons.array("image_ids")[4])
    plain = plain_search.by_image(store, image)
    app = open_search(visit, image=str(image))
    assert f"image {image} of the bundle" in said(app) and "described ones" in said(app)
    for kind in ("head", "neuron", "pair"):
        shown = of_kind(app, kind)
        best = dict(plain_search.strongest(plain[kind], 8))
        assert len(shown) >= 7
        for card in shown:
            z = float(card["why"].split()[1].replace("−", "-"))
            assert z == pytest.approx(plain[kind][card["address"]], abs=0.06)  # one digit is shown
            assert abs(z) >= min(map(abs, best.values())) - 0.06


def test_an_upload_is_read_live(visit: Visit, world: World, told: list[Any]) -> None:
    """The numbers of a bundle's image by the live model are those that were stored, to their half precision."""
    store = visit.opened.store
    image = int(store.neurons.array("image_ids")[4])
    data = (world.images / store.image(image).path).read_bytes()
    app = take(open_search(visit), "anything.png", data)
    assert address(app, "upload") and "your upload" in said(app).lower()
    explainer = resources.explainer(visit.opened)
    from pages._ui.image_source import Shown, Source

    shown = Shown(Source(visit.opened, "", "", 0, 0, image=image), explainer, explainer.read(decode(data)))
    numbers, kept = search_ask.live_numbers(visit.opened, shown, explainer), search_ask.of(visit.opened).numbers(image)
    np.testing.assert_allclose(numbers.head_lhc, kept.head_lhc, atol=2e-4)
    scale = store.neurons.array("scale")
    assert np.abs(numbers.neuron_ln - kept.neuron_ln).max() <= 2e-3 * scale.max()
    rows = np.asarray(store.pairs.array("text_rows"))
    live_p, kept_p = (each.pair_lnm.reshape(-1)[rows] for each in (numbers, kept))
    assert np.abs(live_p - kept_p).max() <= 2e-3 * np.asarray(store.pairs.array("text_scale")).max()
    results = told[-1]()["results"]
    z = {r.address: r for r in results if r.kind == "neuron"}
    best = {name for name, _ in plain_search.strongest(plain_search.by_image(store, image)["neuron"], 6)}
    assert best <= set(z)


# --- the list ---------------------------------------------------------------------------------------------------------


def test_filters_order_and_more(visit: Visit, told: list[Any]) -> None:
    app = open_search(visit, q=TEXT, layer="1", kind=["neuron", "pair"], sort="importance")
    shown = cards(app)
    assert len(shown) == 24 and {card["kind"] for card in shown} <= {"neuron", "pair"}
    assert all(card["address"].startswith("L1.") for card in shown)
    listed = told[-1]()["results"]
    numbers = [r.importance for r in listed if r.kind == "neuron"]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) > 3
    next(button for button in app.button if button.label.startswith("Show")).click().run()
    assert address(app, "shown") == "48" and len(cards(app)) == 48
    assert "No result passes the filters" in said(open_search(visit, q="l1.n3", layer="2"))
    by_layer = [card["layer"] for card in cards(open_search(visit, q=TEXT, sort="layer", shown=600))]
    assert by_layer == sorted(by_layer) and len(set(by_layer)) > 2
    json.loads(figures.to_json(told[-1]()))


def test_the_table_has_what_the_cards_have(visit: Visit, told: list[Any]) -> None:
    open_search(visit, q=TEXT)
    results = told[-1]()["results"]
    rows = list(csv.DictReader(io.StringIO(search_results.frame(results).to_csv(index=False))))
    assert [row["unit"] for row in rows] == [result.address for result in results]
    assert [float(row["importance"]) for row in rows] == [result.importance for result in results]
    assert {row["kind"] for row in rows} == {"head", "neuron", "pair"}


def test_scores_of_labels_stand_on_the_cards_once_they_are_there(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    table = visit.opened.store.label_scores
    with monkeypatch.context() as patch:
        patch.setattr(type(table), "is_quick", lambda self, kind: False)
        patch.setattr(search_scores.scores_jobs, "table", lambda opened, kind: Job())
        assert all(not card["score"] for card in cards(open_search(visit, q=TEXT, kind=["head", "neuron"])))
    for kind in ("head", "neuron", "pair"):
        table.quick(kind)
    app = open_search(visit, q=TEXT)
    scored = [card for card in cards(app) if card["score"]]
    assert len(scored) > 12 and "Of a random text of the pool" in said(app)
    for card in scored:
        value = table.quick(card["kind"])[0][visit.opened.store.units.row(card["address"])]
        assert float(card["score"].removeprefix("r ").replace("−", "-")) == pytest.approx(value, abs=0.006)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Nothing is asked yet"),
        ("   ", "Nothing is asked yet"),
        ("x" * 10_000, "This has 10,000 characters; at most 1,000"),
        ("L9.N1", "not among this bundle's neurons"),
        ("N99999", "No layer of this bundle has N99999"),
        ("L2.N1>L1.H0", "must lie in a later layer"),
        ("demo-vit:L9.N1", "demo-vit has no unit L9.N1"),
    ],
)
def test_what_cannot_be_asked_gets_a_sentence(visit: Visit, text: str, told: str) -> None:
    app = box(open_search(visit), text)
    assert not app.exception and not app.error and not cards(app)
    assert told in said(app)


@pytest.mark.parametrize("text", [
    "😀", "'; DROP TABLE labels; --", '"', 'NEAR("a b" c)', "a AND OR NOT", "text:*", "雪の山", "снег", "کلب",
    "<script>alert(1)</script>", ":material/home:", "$x$ [a](b)", "-", "∅", "a\u202eb",
])  # fmt: skip
def test_strange_texts_are_texts(visit: Visit, text: str) -> None:
    app = box(open_search(visit), text)
    assert not app.exception and not app.error and not app.warning, said(app)
    assert cards(app) and not any("<" in card["why"] for card in cards(app))


@pytest.mark.parametrize("bad", [
    {"unit": "L9.N9"}, {"unit": "<b>"}, {"image": "100000"}, {"image": "-1"}, {"upload": "../x"}, {"kind": "layer"},
    {"layer": "77"}, {"sort": "x"}, {"tab": "?"}, {"how": "x"}, {"q": "x" * 5_000}, {"shown": "0"}, {"colour": "pink"},
    {"labelled": "?"}, {"unknown": "1"},
])  # fmt: skip
def test_a_bad_link_gets_a_sentence(visit: Visit, bad: dict[str, str]) -> None:
    app = open_search(visit, **bad)
    assert "cannot be shown" in said(app) or "means nothing" in said(app)
    assert not set(bad) & set(app.query_params) and [each.value for each in app.title] == ["Search"]


def test_an_image_that_is_not_there(visit: Visit) -> None:
    images = visit.opened.store.facts().images
    app = open_search(visit)
    app.number_input(key="image-of-search").set_value(images).run()
    assert f"from 0 to {images - 1}" in said(app) and "image" not in app.query_params
    bad = int(visit.opened.store.images.bad_ids[0])
    app.number_input(key="image-of-search").set_value(bad).run()
    assert "could not be used" in said(app)
    assert "could not be" in said(open_search(visit, image=str(bad)))


# --- the map ----------------------------------------------------------------------------------------------------------


def test_the_map_is_made_in_the_background_and_says_who_is_on_it(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    monkeypatch.setattr(map_jobs, "SETTINGS", map_jobs.Settings(points=150))
    map_jobs.forget(visit.opened)
    map_jobs.ask(visit.opened).made.result(120)
    app = open_search(visit, tab="map")
    every = visit.opened.store.units.count
    assert "150 neurons" not in said(app) and "of 288, the strongest" in said(app).replace(",", ",")
    assert "Distances here are not similarities" in said(app) and "perplexity 30" in said(app)
    spec = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert len({trace["name"] for trace in spec["data"]}) > 1 and every("neuron") == 288
    assert {trace["type"] for trace in spec["data"]} == {"scattergl"}
    units = told[-1]()["units"]
    assert len(units) == 150 and all(np.isfinite([each["x"], each["y"]]).all() for each in units)
    for colour in ("kind", "label"):
        assert not open_search(visit, tab="map", colour=colour).exception
    for kind in visit.opened.store.units.kinds:
        visit.opened.store.label_scores.quick(kind)
    scored = open_search(visit, tab="map", colour="score")
    assert "units without a score" in said(scored) and "colorscale" in scored.get("plotly_chart")[0].proto.spec
    monkeypatch.setattr(search_scores, "of_units", lambda opened, units: None)
    assert "being scored" in said(open_search(visit, tab="map", colour="score"))


def test_a_map_that_cannot_be_made_says_so_and_is_tried_again(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    map_jobs.forget(visit.opened)
    with monkeypatch.context() as patch:
        patch.setattr(map_jobs.unit_map, "places", fails)
        assert isinstance(map_jobs.ask(visit.opened).made.exception(30), MemoryError)
        assert "could not be made" in said(open_search(visit, tab="map"))
    monkeypatch.setattr(map_jobs, "SETTINGS", map_jobs.Settings(points=20))
    assert map_jobs.ask(visit.opened).made.result(60).places.shape == (20, 2)
    map_jobs.forget(visit.opened)


def test_while_it_is_made_the_page_says_how_far_it_is(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    job: Job[map_jobs.Map] = Job("t-SNE of 50 units")
    monkeypatch.setattr(map_jobs, "ask", lambda opened: job)
    app = open_search(visit, tab="map")
    assert "50 units" in app.get("progress")[0].proto.text and "t-SNE" in app.get("progress")[0].proto.text
    assert not app.get("plotly_chart")
