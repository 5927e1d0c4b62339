"""Pages that show neurons, over a ResNet's bundle, whose neurons and heads are of no layer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pages._ui import figures, live, map_jobs, resources
from pages._ui.neurons_view import TABS
from tests.e2e.test_neurons_page import Visit, component, said


@pytest.fixture(scope="module")
def visit(resnet_bundle: Path) -> Iterator[Visit]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(resources.BUNDLES_VARIABLE, str(resnet_bundle.parent))
        patch.setattr(resources, "MODELS", live.LiveModels(resources._load, resources._weight, resources._memory))
        opened = resources.open_named(resnet_bundle.name)
        resources.explainer(opened)  # waits, so that pages are drawn whole at once
        yield Visit(opened)


def everything(app: Any) -> str:
    """All text of a page, its components' too."""
    parts = [each.proto.json for each in app.get("bidi_component")]
    return "\n".join([said(app), *parts, *(str(frame.value) for frame in app.dataframe)])


def test_the_table(visit: Visit) -> None:
    app = visit.open()
    shown = app.dataframe[0].value
    order = np.argsort(-visit.array("coef_std")[0], kind="stable")
    assert shown["neuron"].tolist() == [f"N{n}" for n in order]
    assert "the channels of the last map" in said(app) and "None" not in everything(app)


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_of_a_neuron(visit: Visit, tab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(figures, "page_data", lambda data, name: seen.append(data()))
    app = visit.open(neuron="N20", tab=tab, map="on" if tab != "relabel" else "off")
    assert [each.value for each in app.title] == ["N20"] and "LNone" not in everything(app)
    assert not any(button.key in ("key-lower", "key-higher") for button in app.button)
    if tab == "effects":
        assert "**Direct" not in said(app) and "**Second order" in said(app)
    assert seen and "LNone" not in figures.to_json(seen[-1]).decode()


def test_the_map_of_units_of_one_layer_is_coloured_by_kind(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_jobs, "SETTINGS", map_jobs.Settings(points=40))
    map_jobs.ask(visit.opened).made.result(120)
    app = visit.open("search", tab="map")
    drawn = json.loads(app.get("plotly_chart")[0].proto.spec)["data"]
    assert {trace["name"] for trace in drawn} == set(visit.opened.store.units.kinds)
    assert "#9aa2a8" not in {trace["marker"]["color"] for trace in drawn}
    grey = json.loads(visit.open("search", tab="map", colour="layer").get("plotly_chart")[0].proto.spec)["data"]
    assert {trace["name"] for trace in grey} == {"no layer"}
    map_jobs.forget(visit.opened)


def test_an_address_with_a_layer_gets_a_sentence(visit: Visit) -> None:
    app = visit.open("search", calm=False, q="L2.N1")
    last = visit.opened.store.neurons.neurons - 1
    assert f"L2.N1 is not among this bundle's neurons: N0 to N{last}, without a layer." in said(app)


def test_what_a_resnet_has_none_of_is_not_offered(visit: Visit) -> None:
    app = visit.open(neuron="N20", tab="measures", by="first order", calm=False)
    assert "cannot be shown" in said(app) and "by" not in app.query_params
    assert "first order" not in [str(o).lower() for each in app.get("button_group") for o in each.options]
    assert "cannot be shown" in said(visit.open(layer="None", calm=False))


@pytest.mark.parametrize(("page", "query"), [
    ("overview", {}), ("heads", {"head": "H1"}), ("image", {"image": "3", "tab": "neurons"}),
    ("image", {"image": "3", "tab": "neurons", "by": "prompt"}),
])  # fmt: skip
def test_other_pages(visit: Visit, page: str, query: dict[str, str]) -> None:
    app = visit.open(page, **query)
    text = everything(app)
    assert "LNone" not in text and "L0.N" not in text
    if page == "heads":
        rows = component(app, "neurons-of-H1")["rows"]
        assert rows and all(f"neuron={row['values'][0]}" in row["href"] for row in rows)
    if page == "image":
        assert all(f"neuron=N{row['caption'].split()[0][1:]}" in row["href"]
                   for row in component(app, "image-neurons")["rows"])  # fmt: skip
    if page == "overview":
        assert "Try these neurons" in text
