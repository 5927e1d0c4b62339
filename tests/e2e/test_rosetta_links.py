"""What links to the pages about dictionaries say, and what is found by words on them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.images import decode
from core.store.dictionary import Dictionary
from pages._ui import dictionaries, figures, live, resources, rosetta_figures, rosetta_live, rosetta_view, thumbs
from pages._ui.words import plain
from tests import bundle_maker, dictionary_maker
from tests.e2e.test_neurons_page import address, component, said
from tests.e2e.test_rosetta_page import NAME, app_at, cards, made_up, ready, visit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    dictionary_maker.make(out / NAME)
    return out


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(folder))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)


@pytest.fixture
def store() -> Dictionary:
    return dictionaries.open_named(NAME).store


@pytest.fixture
def with_bundle(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    bundle_maker.make(tmp_path / "tiny-0123abcd")
    shutil.copytree(folder / NAME, tmp_path / NAME)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    return tmp_path


def test_words_in_any_order_and_other_hubs_that_have_them(store: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    concepts = store.concepts("demo-vit")
    label = next(c.label.text for c in concepts if c.label and len(c.label.text.split()) > 1)
    backwards = " ".join(reversed(label.split()))
    expected = [c.address for c in concepts if c.label and all(w in c.label.text for w in label.split())]
    assert set(expected) <= set(cards(visit(search=backwards.upper())))
    assert not cards(visit(search=f"{backwards} nowhere"))
    every = {name: store.concepts(name) for name in dictionary_maker.MEMBERS}
    few = every | {"demo-vit": every["demo-vit"][:1]}  # which is of *4*
    monkeypatch.setattr(Dictionary, "concepts", lambda self, hub: few[hub])
    app = visit(search="pool *3*")
    assert not cards(app) and "Of other hubs these pass" in said(app)
    for hub in ("demo-cnn", "demo-mae"):
        number = sum("*3*" in c.label.text for c in every[hub] if c.label)
        told = app.button(key=f"hub-{hub}").label.replace("\\", "")
        assert told == f"{hub}: {number} concept{'s' * (number > 1)}" and number
    app.button(key="hub-demo-mae").click().run()
    assert address(app, "hub") == "demo-mae" and cards(app) and "Of other hubs" not in said(app)
    assert "Of other hubs" not in said(visit(search="no concept says this"))


def test_an_address_copied_from_the_page_is_found(store: Dictionary) -> None:
    concept = store.concepts("demo-vit")[0]
    app = visit()
    copied = plain(concept.address).replace("\\", "")
    assert copied != concept.address  # it has a character that cannot be seen
    app.text_input(key="RosettaView.search").set_value(f" {copied}").run()
    assert address(app, "search") == concept.address and concept.address in cards(app)
    assert concept.address in cards(visit(search=copied))


def test_a_number_of_cards_that_no_page_can_draw(store: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosetta_view, "MOST_SHOWN", 3)
    app = visit(shown="99999")
    assert len(cards(app)) == 3 and address(app, "shown") == "3" and "At most 3 concepts" in app.toast[0].value
    assert not visit(shown="3").toast


@pytest.mark.parametrize("page", ["rosetta", "universal"])
def test_a_link_names_its_dictionary(page: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     told: list[Any]) -> None:  # fmt: skip
    """So that one that comes later, and before it in the alphabet, changes nothing."""
    shutil.copytree(folder / NAME, tmp_path / NAME)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    app = visit(page)
    assert address(app, "dictionary") == NAME and json.loads(figures.to_json(told[-1]()))["view"]["dictionary"] == NAME
    app.selectbox[0].set_value("demo-cnn").run()
    assert address(app, "dictionary") == NAME
    shutil.copytree(folder / NAME, tmp_path / "rosetta-00000000")
    assert address(visit(page, dictionary=NAME), "dictionary") == told[-1]()["dictionary"] == NAME
    refused = visit(page, calm=False, dictionary=NAME, hub="nobody", a="nobody")
    assert "cannot be shown with this dictionary" in said(refused) and address(refused, "dictionary") == NAME
    assert address(visit(page, calm=False, dictionary="../x"), "dictionary") == "rosetta-00000000"


@pytest.mark.parametrize("page", ["rosetta", "universal", "about"])
def test_another_bundle_keeps_what_is_of_no_bundle(page: str, with_bundle: Path) -> None:
    shutil.copytree(with_bundle / "tiny-0123abcd", with_bundle / "tiny-1123abcd")
    concept = dictionaries.open_named(NAME).store.concepts("demo-cnn")[0].address
    view = {"rosetta": {"concept": concept}, "universal": {"a": "demo-mae"}, "about": {"tab": "cite"}}[page]
    app = app_at(page, bundle="tiny-0123abcd", **view)
    app.selectbox(key="bundle-picker").set_value("tiny-1123abcd").run()
    assert address(app, "bundle") == "tiny-1123abcd"
    kept = {name: address(app, name) for name in view if name in app.query_params}
    assert kept == ({} if page == "about" else view)
    links = [each.proto for each in app.get("page_link")]
    for name in ("rosetta", "universal"):
        assert any(link.page == name and f"dictionary={NAME}" in link.query_string for link in links), links


def test_a_model_is_not_compared_with_itself(told: list[Any]) -> None:
    """What the address and the page's data say is what is drawn."""
    app = visit("universal", a="demo-cnn", b="demo-cnn")
    assert "Where their partners in demo-vit sit" in said(app)
    assert address(app, "b") == "demo-vit" == told[-1]()["view"].b
    app = visit("universal", a="demo-mae", b="demo-vit")
    app.selectbox(key="UniversalView.a").set_value("demo-vit").run()  # they change places
    assert (address(app, "a"), address(app, "b")) == ("demo-vit", "demo-mae")
    assert (told[-1]()["view"].a, told[-1]()["view"].b) == ("demo-vit", "demo-mae")


def test_what_bounds_a_share(store: Dictionary, told: list[Any]) -> None:
    app = visit("universal", a="demo-cnn", b="demo-mae")
    alive = {member.name: member.alive for member in store.members}
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]
    for pair in told[-1]()["pairs"]:
        a, b = pair["units of"], pair["partners in"]
        layers = store.universality(a, b)
        share = sum(layer.partnered for layer in layers) / sum(layer.alive for layer in layers)
        most = min(1, dictionary_maker.K * alive[b] / alive[a])
        assert (pair["share"], pair["at most"]) == pytest.approx((share, most)) and share <= most
        told_there = figure["text"][list(alive).index(a)][list(alive).index(b)]
        assert told_there == f"{share:.1%}" + (f"<br>≤ {rosetta_figures.bound(most)}" if most < 1 else "")
    assert "A unit has at most 3 partners" in said(app) and "cannot pass" not in said(app)
    names = list(alive)[:2]
    shares = {pair: store.universality(*pair) for pair in (tuple(names), tuple(names[::-1]))}
    drawn = rosetta_figures.overall(shares, names, dict(zip(shares, (0.382, 1.0), strict=True)))
    assert drawn.data[0].text[0][1].endswith("<br>≤ 38.2%") and "≤" not in drawn.data[0].text[1][0]


def test_all_concepts_of_a_picture_on_the_image_page(
    folder: Path, vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    (tmp_path / vit_bundle.name).symlink_to(vit_bundle)
    shutil.copytree(folder / NAME, tmp_path / NAME)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    load = lambda facts, room: (made_up if "dictionary" in facts else resources._load)(facts, room)
    monkeypatch.setattr(resources, "MODELS", live.LiveModels(load, lambda model: ("cpu", 1), lambda kind: 100))
    ready(dictionaries.open_named(NAME).store)
    query = {"bundle": vit_bundle.name, "tab": "rosetta", "image": "3", "hub": "demo-cnn"}
    app = visit("image", calm=False, **query, shown="2")
    picture = decode(resources.open_named(vit_bundle.name).store.thumbnail(3))
    every = dictionaries.explainer(dictionaries.open_named(NAME)).look(picture, "demo-cnn", most=10**6)
    table = component(app, "image-rosetta")["rows"]
    assert [row["values"][0] for row in table] == [each.concept.address for each in every] and len(every) > 2
    assert [row["values"][2] for row in table] == pytest.approx([each.z for each in every])
    assert "read it with care" in said(app) and address(app, "dictionary") == NAME
    answer = told[-1]()["answer"]
    assert [each.concept for each in answer["active"]] == [each.concept for each in every[:2]]
    assert [each["by_member"] for each in answer["every"]] == [each.by_member for each in every]
    next(button for button in app.button if button.label.startswith("Show ")).click().run()
    assert address(app, "shown") == str(2 + rosetta_live.MOST)
    assert len(told[-1]()["answer"]["active"]) == min(len(every), 2 + rosetta_live.MOST)
    json.loads(figures.to_json(told[-1]()))


def test_a_bound_is_as_exact_as_the_share_beside_it() -> None:
    assert [rosetta_figures.bound(share) for share in (1.0, 0.4007, 0.38)] == ["100%", "40.1%", "38%"]
