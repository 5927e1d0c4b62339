"""What the pages show of neurons, read back from their elements, against the bundle's arrays."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.bundle.read import Bundle
from core.ids import Neuron
from pages._ui import figures, live, neurons_table, overview_neurons, resources
from pages._ui.neurons_view import NeuronsView, Span
from tests.e2e.world import World, call

NEURON = (1, 20)  # of L1.N20, in the arrays


def _page(name: str) -> None:
    import importlib

    from pages._ui import states

    with states.calm():
        importlib.import_module(f"pages.{name}").main()


class Visit:
    """Pages over one bundle with its live model."""

    def __init__(self, opened: resources.Opened) -> None:
        self.opened, self.bundle = opened, opened.store.bundle

    def open(self, page: str = "neurons", *, calm: bool = True, **query: Any) -> AppTest:
        app = AppTest.from_function(_page, default_timeout=60, kwargs={"name": page})
        app.query_params.update({"bundle": self.opened.name} | query)
        app.run()
        assert not app.exception and not app.error and (not calm or not (app.warning or app.info)), said(app)
        return app

    def array(self, name: str) -> np.ndarray:
        return np.asarray(self.bundle.array(f"neuron_{name}"))


@pytest.fixture(scope="module")
def visit(vit_bundle: Path) -> Iterator[Visit]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(resources.BUNDLES_VARIABLE, str(vit_bundle.parent))
        patch.setattr(resources, "MODELS", live.LiveModels(resources._load, resources._weight, resources._memory))
        opened = resources.open_named(vit_bundle.name)
        resources.explainer(opened)  # waits, so that pages are drawn whole at once
        yield Visit(opened)


def said(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.info)
    return "\n".join(str(each.value) for kind in kinds for each in kind).replace("\\", "")


def address(app: AppTest, name: str) -> str:
    """A parameter of the link: AppTest has a list before a callback writes it, and text after."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[-1]


def component(app: AppTest, key: str) -> dict[str, Any]:
    found = [each.proto for each in app.get("bidi_component") if each.proto.id.endswith(f"-{key}")]
    return json.loads(found[0].json)


def flat(bundle: Bundle, name: str) -> np.ndarray:
    return np.asarray(bundle.array(f"neuron_{name}")).reshape(-1)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_every_neuron_and_its_numbers(visit: Visit) -> None:
    shown = visit.open().dataframe[0].value
    neurons = visit.array("scale").shape[1]
    order = np.argsort(-flat(visit.bundle, "coef_std"), kind="stable")
    layers = visit.bundle.axes["neuron_layer"].labels
    assert shown["neuron"].tolist() == [f"L{layers[row // neurons]}.N{row % neurons}" for row in order]
    for column, name in (("strength", "coef_std"), ("above", "share_above"), ("explained", "explained"),
                         ("concepts", "concepts")):  # fmt: skip
        np.testing.assert_array_equal(shown[column], flat(visit.bundle, name)[order])


def test_filters_keep_what_they_say(visit: Visit) -> None:
    label = "red"
    app = visit.open(
        layer="1", label=label, explained="50~95", concepts="1~3", std="25~100", above="0~20", sort="address"
    )
    columns = visit.opened.store.neurons.columns()
    std, explained = flat(visit.bundle, "coef_std"), 100 * flat(visit.bundle, "explained")
    concepts, above = flat(visit.bundle, "concepts"), 100 * flat(visit.bundle, "share_above")
    expected = [
        name
        for row, name in enumerate(columns.address)
        if name.startswith("L1.") and label in columns.label[row] and 50 <= explained[row] <= 95
        and 1 <= concepts[row] <= 3 and std[row] >= np.quantile(std, 0.25) and above[row] <= 20
    ]  # fmt: skip
    assert 0 < len(expected) < len(columns.address) // 3
    assert app.dataframe[0].value["neuron"].tolist() == expected
    assert f"{len(expected)} neuron" in said(app) and f"of {len(columns.address):,}" in said(app)
    nothing = visit.open(label="no text says this")
    assert "No neuron passes these filters" in said(nothing) and not nothing.dataframe
    # the last step of concepts is open: more than it has are not lost
    rows = neurons_table.matching(columns, NeuronsView(concepts=Span(0.0, 20.0)))
    assert len(rows) == len(columns.address)


def test_a_filter_and_a_row_are_in_the_link(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    table = figures.table
    monkeypatch.setattr(
        figures, "table", lambda rows, name, **more: drawn.append(more.get("on_row")) or table(rows, name)
    )
    app = visit.open()
    app.text_input(key="unit-search").set_value("red").run()
    assert address(app, "label") == "red" and "neuron" not in app.query_params
    first = app.dataframe[0].value["neuron"][0]
    app.button(key="key-next").click().run()
    assert address(app, "neuron") == first and address(app, "label") == "red"
    assert [each.value for each in app.title] == [first]
    app.text_input(key="unit-search").set_value("l1.n20").run()
    assert address(app, "neuron") == "L1.N20"
    chosen: list[Any] = []
    monkeypatch.setattr("pages._ui.selection.Chosen.go", lambda self, **changes: chosen.append(changes))
    drawn[-1](0) if drawn[-1] else next(each for each in drawn if each)(0)
    assert isinstance(chosen[0]["neuron"], Neuron)


@pytest.mark.parametrize("bad", [
    {"neuron": "<b>"}, {"neuron": "L9.N0"}, {"neuron": "L0.H1"}, {"layer": "9"}, {"explained": "90~10"},
    {"concepts": "1~x"}, {"above": "3~5"}, {"std": "0"}, {"sort": "__class__"}, {"texts": "0"}, {"by": "+"},
    {"pool": "../x"}, {"tab": "?"}, {"map": "2"}, {"prompt": "x" * 5_000}, {"unknown": "1"},
])  # fmt: skip
def test_a_bad_link_gets_a_sentence(visit: Visit, bad: dict[str, str]) -> None:
    app = visit.open(calm=False, **bad)
    assert "cannot be shown" in said(app) or "means nothing" in said(app)
    assert not set(bad) & set(app.query_params) and [each.value for each in app.title] == ["Neurons"]


def test_a_bundle_made_without_neurons_says_so(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = call(world.run(tmp_path, "--neuron-layers", "none")).bundle
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(bundle.parent))
    without = Visit(resources.open_named(bundle.name))
    app = without.open()
    assert "--neuron-layers none" in said(app) and "precompute run" in app.code[0].value
    assert "Try these neurons" not in said(without.open("overview"))
    assert "Neurons that write" not in said(without.open("heads"))
    assert "made without neurons" in said(without.open("image", tab="neurons"))


# --- one neuron -------------------------------------------------------------------------------------------------------


def test_the_neurons_numbers(visit: Visit, told: list[Any]) -> None:
    app = visit.open(neuron="L1.N20")
    number = lambda name: float(visit.array(name)[NEURON])
    text = said(app)
    assert f"strength {number('coef_std'):.5f}" in text and f"in {number('share_above'):.1%} of images" in text
    assert f"explains {number('explained'):.0%} of its largest effects, {number('explained_all'):.0%} of all" in text
    assert f"{int(number('concepts'))} concept" in text and "of 58 images" in text
    coef = visit.array("coef")[NEURON].astype(float) * visit.array("scale")[NEURON]
    norm = visit.array("norm")[NEURON].astype(np.float32) * visit.array("scale")[NEURON]
    active = int((norm > visit.array("threshold")[NEURON]).sum())
    assert f"deviation {coef.std():.4f}" in text and f"{active} image" in text
    ids = visit.array("image_ids")
    drawn = told[-1]()
    best = [hit.image_id for hit in drawn["ends"].plus]
    assert best[0] == ids[np.argmax(coef)] and drawn["ends"].minus[0].image_id == ids[np.argmin(coef)]
    for key, hits in (("neurons-plus", drawn["ends"].plus), ("neurons-minus", drawn["ends"].minus)):
        rows = component(app, key)["rows"]
        assert [row["id"] for row in rows] == [hit.image_id for hit in hits]
        assert [row["caption"].split()[0] for row in rows] == [f"{hit.score:.4f}" for hit in hits]
    json.loads(figures.to_json(drawn))


def test_texts_carriers_and_similar_link_where_there_is_a_page(visit: Visit) -> None:
    app = visit.open(neuron="L1.N20", texts="2")
    shown = app.dataframe[0].value
    pool = visit.bundle.table("pool")["text"].to_pylist()
    index = visit.array("text_index")[NEURON][:2]
    assert shown["text"].tolist() == [pool[w] for w in index]
    np.testing.assert_allclose(shown["left"], visit.array("text_error")[NEURON][:2], rtol=1e-6)
    atoms = np.asarray(visit.bundle.array("text_embeddings"), float)
    atoms = atoms - atoms.mean(0)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    fit = np.linalg.lstsq(atoms[index].T, visit.array("direction")[NEURON].astype(float))[0]
    np.testing.assert_allclose(shown["coefficient"], fit, atol=1e-5)
    carriers = component(app, "carriers-table-L1-N20")["rows"]
    known = {head.address for head in visit.opened.store.heads()}
    shares = dict(zip(visit.bundle.axes["later_head"].labels, visit.array("later_share")[NEURON], strict=True))
    assert sum(row["values"][2] for row in carriers) == pytest.approx(1, abs=1e-4)
    for row in carriers:
        name, _, share = row["values"][:3]
        assert share == pytest.approx(float(shares[name])) and ("head=" in row["href"]) == (name in known)
    for row in component(app, "similar-L1-N20")["rows"]:
        assert f"neuron={row['values'][0]}" in row["href"]


@pytest.mark.parametrize("by", ["norm", "activation max", "activation mean", "first order"])
def test_other_measures(visit: Visit, told: list[Any], by: str) -> None:
    visit.open(neuron="L1.N20", tab="measures", by=by)
    at = visit.bundle.axes["neuron_list"].labels.index(by)
    hits = told[-1]()["images"]
    stored = dict(zip(visit.array("top_ids")[(*NEURON, at)], visit.array("top_scores")[(*NEURON, at)], strict=True))
    assert hits and all(hit.score == pytest.approx(float(stored[hit.image_id])) for hit in hits)


def test_intervals_and_concepts(visit: Visit) -> None:
    app = visit.open(neuron="L1.N20", tab="intervals")
    counts = [int(found[1]) for m in app.markdown if (found := re.search(r"; (\d+) image", m.value.replace("\\", "")))]
    assert sum(counts) == 58
    app = visit.open(neuron="L1.N20", tab="concepts")
    assert f"**{int(visit.array('concepts')[NEURON])} concept" in said(app)
    sizes = [int(n) for n in re.findall(r"\*\*: (\d+) images? of 12", said(app))]
    assert sum(sizes) == 12


def test_heatmaps_are_the_live_activations(visit: Visit, told: list[Any]) -> None:
    app = visit.open(neuron="L1.N20", map="on")
    drawn = told[-1]()
    live_neurons = resources.neuron_explainer(visit.opened)
    from pages._ui.overlays import read

    for image, found in list(drawn["heatmaps"].items())[:4]:
        trace, _, cosine = read(visit.opened, image)
        expected = live_neurons.activation_map(trace, "L1.N20")
        np.testing.assert_allclose(found.values_yx, expected.value_yx, atol=1e-5)
        assert found.cosine == pytest.approx(cosine, abs=1e-5)
    assert "share its scale" in said(app) and "from the bundle's thumbnails" in said(app)
    assert all(row["overlay"] for row in component(app, "neurons-plus")["rows"])


def test_effects_of_an_image_and_a_prompt(visit: Visit, told: list[Any]) -> None:
    app = visit.open(neuron="L1.N20", tab="effects", image="3", prompt="a red wall")
    found = told[-1]()["effects"]
    less = found.second_order - found.second_order_mean
    for name, value in (("Direct", found.direct), ("Second order", found.second_order),
                        ("Second order less its mean", less), ("Indirect", found.indirect)):  # fmt: skip
        assert f"**{name} {value:+.5f}**" in said(app)
    assert sum(value for _, value in found.by_head) == pytest.approx(less, abs=1e-6)
    assert "Image 3" in said(app) and found.prompt == "a red wall"


def test_relabelling_with_own_texts_for_one_and_for_all(visit: Visit, told: list[Any]) -> None:
    app = visit.open(neuron="L1.N20", tab="relabel")
    app.text_area(key="pool-pasted").set_value("<b>snow</b>\nsea\nsea\nstripes")
    next(button for button in app.button if button.label == "Use these texts").click().run()
    assert not app.exception and not app.error and "3 texts in use" in said(app)
    assert set(app.dataframe[-1].value["this pool's"]) <= {"<b>snow</b>", "sea", "stripes"}
    data = json.loads(figures.to_json(told[-1]()))
    assert data["pool"]["name"] == address(app, "pool")
    app.segmented_control(key="NeuronsView.scope").set_value("all").run()
    assert address(app, "scope") == "all"
    assert len(app.dataframe[-1].value) == visit.array("scale").size
    app.text_area(key="pool-pasted").set_value("sea")
    next(button for button in app.button if button.label == "Use these texts").click().run()
    assert not app.exception and not app.error and app.warning  # one text says nothing: a sentence


# --- on other pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["norm", "prompt"])
def test_neurons_of_an_image(visit: Visit, told: list[Any], by: str) -> None:
    app = visit.open("image", image="3", tab="neurons", by=by, prompts=["a red wall", "the blue sea"])
    answer = told[-1]()["answer"]
    rows = component(app, "image-neurons")["rows"]
    assert [row["caption"].split()[0] for row in rows] == [each.address for each in answer["neurons"]]
    assert all(f"neuron={each.address}" in row["href"] for row, each in zip(rows, answer["neurons"], strict=True))
    keys = [each.over_threshold if by == "norm" else abs(each.less_mean) for each in answer["neurons"]]
    assert keys == sorted(keys, reverse=True) and all(row["overlay"] for row in rows)
    if answer["concepts"]:
        shown = component(app, "image-concepts")["rows"]
        assert [row["values"][0] for row in shown] == [concept.text for concept in answer["concepts"]]
        links = [[text for text, _ in row["shown"][2]] for row in shown]
        assert links == [[name for name, _ in concept.neurons] for concept in answer["concepts"]]


def test_a_head_names_the_neurons_that_write_through_it(visit: Visit) -> None:
    app = visit.open("heads", head="L3.H1")
    m = visit.bundle.axes["later_head"].labels.index("L3.H1")
    carried = (visit.array("later_share")[..., m].astype(float) * visit.array("coef_std")).ravel()
    best = np.argsort(-np.abs(carried), kind="stable")[:12]
    layers, neurons = visit.bundle.axes["neuron_layer"].labels, visit.array("scale").shape[1]
    rows = component(app, "neurons-of-L3-H1")["rows"]
    assert [row["values"][0] for row in rows] == [f"L{layers[row // neurons]}.N{row % neurons}" for row in best]
    assert all(f"neuron={row['values'][0]}" in row["href"] for row in rows)


def test_overview_offers_three_neurons_by_its_rule(visit: Visit) -> None:
    app = visit.open("overview")
    columns = visit.opened.store.neurons.columns()
    clear = [
        row for row in range(len(columns.address)) if columns.explained[row] >= 0.8 and 1 <= columns.concepts[row] <= 2
    ]
    rest = [row for row in range(len(columns.address)) if row not in clear]
    ordered = sorted(clear, key=lambda row: -columns.std[row]) + sorted(rest, key=lambda row: -columns.std[row])
    expected = [columns.address[row] for row in ordered[: overview_neurons.CARDS]]
    assert all(f"**{name}** ·" in said(app) for name in expected)
    for name in expected:
        hits = visit.opened.store.neurons.ends(name, 12).plus[:3]
        assert [row["id"] for row in component(app, f"entry-{name}")["rows"]] == [hit.image_id for hit in hits]
