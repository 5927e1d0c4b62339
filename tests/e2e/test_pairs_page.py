"""What the Pairs page shows, read back from its elements, against the bundle's arrays; for a ViT and a ResNet."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.store.pairs import PairTable
from pages._ui import figures, live, pairs_table, resources
from pages._ui.pairs_view import PairsView
from tests.e2e.test_neurons_page import Visit, address, component, said
from tests.e2e.world import World, call


class PairVisit(Visit):
    """Pages over one bundle, and its pairs."""

    @property
    def table(self) -> PairTable:
        assert self.opened.store.pairs is not None
        return self.opened.store.pairs

    def pair(self, name: str) -> np.ndarray:
        return np.asarray(self.bundle.array(f"pair_{name}"))

    def best(self, rank: int = 0) -> str:
        return self.table.address(self.table.columns().row_p[rank])

    def open(self, page: str = "pairs", **query: Any) -> AppTest:
        return super().open(page, **query)


@pytest.fixture(scope="module", params=["vit", "resnet"])
def visit(request: pytest.FixtureRequest) -> Iterator[PairVisit]:
    bundle: Path = request.getfixturevalue(f"{request.param}_bundle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(resources.BUNDLES_VARIABLE, str(bundle.parent))
        patch.setattr(resources, "MODELS", live.LiveModels(resources._load, resources._weight, resources._memory))
        opened = resources.open_named(bundle.name)
        resources.explainer(opened)  # waits, so that pages are drawn whole at once
        yield PairVisit(opened)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_the_best_pairs_and_their_numbers(visit: PairVisit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_table, "SHOWN", 50)
    app = visit.open()
    shown = app.dataframe[0].value
    columns = visit.table.columns()
    assert shown["pair"].tolist() == [visit.table.address(row) for row in columns.row_p[:50]]
    at = tuple(each[:50] for each in (columns.layer_p, columns.neuron_p, columns.head_p))
    for column, name in (("score", "score"), ("share", "share"), ("strength", "std")):
        np.testing.assert_array_equal(shown[column], visit.pair(name)[at])
    assert f"**{len(columns.row_p):,} pairs** of {len(columns.row_p):,}, the first 50 shown" in said(app)


@pytest.mark.parametrize("sort", ["score", "share", "std", "tightness"])
def test_the_pairs_of_a_neuron_and_of_a_head(visit: PairVisit, sort: str) -> None:
    best = visit.table.pair(visit.table.columns().row_p[0])
    for field, unit in (("neuron", best.neuron), ("head", best.head)):
        app = visit.open(**{field: str(unit)}, sort=sort)
        shown = app.dataframe[0].value
        expected = [
            visit.table.address(row) for row in visit.table.columns().row_p
            if getattr(visit.table.pair(row), field) == unit
        ]  # fmt: skip
        assert sorted(shown["pair"]) == sorted(expected)[: len(shown)] or len(expected) > pairs_table.SHOWN
        values = shown["strength" if sort == "std" else sort]
        assert (np.diff(values) <= 0).all()
        assert str(unit) in said(app)


def test_words_and_a_text(visit: PairVisit) -> None:
    app = visit.open(label="red")
    labels = app.dataframe[0].value["label"]
    assert len(labels) and labels.str.contains("red").all()
    app = visit.open(near="a red wall")
    shown = app.dataframe[0].value
    text_o = resources.explainer(visit.opened).embed(["a red wall"])[0]
    expected = visit.table.for_text(text_o, 500)
    assert shown["pair"].tolist() == [row.address for row in expected]
    assert (np.diff(shown["cosine"].abs()) <= 0).all() and "nearest to “a red wall”" in said(app)
    narrow = visit.open(near="a red wall", head=expected[0].head)
    assert narrow.dataframe[0].value["pair"].tolist() == [r.address for r in expected if r.head == expected[0].head]
    nothing = visit.open(label="no text says this")
    assert "No pair passes" in said(nothing) and not nothing.dataframe


def test_the_search_field_goes_to_pairs_neurons_heads_and_words(visit: PairVisit) -> None:
    best = visit.table.pair(visit.table.columns().row_p[3])
    app = visit.open()
    app.text_input(key="unit-search").set_value(str(best.neuron).lower()).run()
    assert address(app, "neuron") == str(best.neuron) and address(app, "sort") == "share"
    app.text_input(key="unit-search").set_value(str(best.head)).run()
    assert address(app, "head") == str(best.head) and "neuron" not in app.query_params
    app.text_input(key="unit-search").set_value("red").run()
    assert address(app, "label") == "red"
    app.text_input(key="unit-search").set_value(f" {str(best).lower()} ").run()
    assert address(app, "pair") == str(best) and [each.value for each in app.title] == [str(best)]
    app.text_input(key="unit-search").set_value("N99999.H9999").run()  # none of this bundle: words, then
    assert address(app, "label") == "N99999.H9999" and "No pair passes" in said(app)


def test_keys_step_in_the_tables_order(visit: PairVisit) -> None:
    app = visit.open(pair=visit.best(1))
    app.button(key="key-next").click().run()
    assert address(app, "pair") == visit.best(2)
    app.button(key="key-previous").click().run()
    app.button(key="key-previous").click().run()
    assert address(app, "pair") == visit.best(0) and app.button(key="key-previous").disabled


@pytest.mark.parametrize("bad", [
    {"pair": "<b>"}, {"pair": "N0.H99"}, {"pair": "L0.N1"}, {"neuron": "L99.N0"}, {"neuron": "H1"}, {"head": "L0.N0"},
    {"head": "L0.H0.H1"}, {"sort": "__class__"}, {"texts": "0"}, {"tab": "?"}, {"map": "2"}, {"upload": "../x"},
    {"near": "x" * 5_000}, {"image": "-1"}, {"unknown": "1"},
])  # fmt: skip
def test_a_bad_link_gets_a_sentence(visit: PairVisit, bad: dict[str, str]) -> None:
    app = visit.open(calm=False, **bad)
    assert "cannot be shown" in said(app) or "means nothing" in said(app)
    assert not set(bad) & set(app.query_params) and [each.value for each in app.title] == ["Pairs"]


def test_a_bundle_without_pairs_says_so(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = call(world.run(tmp_path, "--neuron-layers", "none")).bundle
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(bundle.parent))
    app = Visit(resources.open_named(bundle.name)).open("pairs")
    assert "without neuron-head pairs" in said(app) and "precompute run" in app.code[0].value


# --- one pair ---------------------------------------------------------------------------------------------------------


def test_a_pairs_numbers_and_relatives(visit: PairVisit, told: list[Any]) -> None:
    name = visit.best()
    app = visit.open(pair=name)
    summary = visit.table.summary(name)
    text = said(app)
    assert f"{summary.share:.1%} of its neuron's effect" in text and f"score {summary.score:.4f}" in text
    assert f"{summary.inertia:.3f} for the pair, {summary.neuron_inertia:.3f} for its neuron" in text
    assert "number 1 of" in text and summary.label in text
    drawn = told[-1]()
    ends = visit.table.ends(name, 20)
    for key, hits in (("pairs-plus", ends.plus), ("pairs-minus", ends.minus)):
        rows = component(app, key)["rows"]
        assert [row["id"] for row in rows] == [hit.image_id for hit in hits]
        assert [row["caption"].split()[0] for row in rows] == [f"{hit.score:.4f}" for hit in hits]
    links = name.replace(".", "-").replace(">", "-")
    for kind, rows in (("own", drawn["of_neuron"]), ("others", drawn["of_head"]), ("similar", drawn["similar"])):
        shown = component(app, f"pairs-{kind}-{links}")["rows"]
        assert [row["values"][0] for row in shown] == [row.address for row in rows]
        assert all("pair=" in row["href"] for row in shown)
    assert sum(row.share for row in drawn["of_neuron"]) == pytest.approx(1, abs=1e-3)
    assert name not in [row.address for row in drawn["of_head"]]
    json.loads(figures.to_json(drawn))


def test_a_pair_that_is_not_described_gets_its_texts_now(visit: PairVisit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit.table._texts, "_at", {})
    monkeypatch.setattr(visit.table._texts, "_labels", {})
    monkeypatch.setattr(visit.table._texts, "_made", type(visit.table._texts._made)())
    stored = visit.pair("text_index")[0]
    row = int(visit.pair("text_rows")[0])
    app = visit.open(pair=visit.table.address(row), texts="2")
    pool = visit.bundle.table("pool")["text"].to_pylist()
    assert app.dataframe[0].value["text"].tolist() == [pool[w] for w in stored[:2]]
    assert "Made now" in said(app)


def test_intervals(visit: PairVisit, told: list[Any]) -> None:
    visit.open(pair=visit.best(), tab="intervals")
    rows = told[-1]()["intervals"].rows
    assert [(row.low_level, row.high_level) for row in rows] == [
        tuple(levels) for levels in visit.bundle.axes["pair_interval"].labels
    ]
    for row in rows:
        assert all(row.low - 1e-6 <= hit.score <= row.high + 1e-6 for hit in row.hits), row


def test_three_levels_side_by_side(visit: PairVisit, told: list[Any]) -> None:
    app = visit.open(pair=visit.best(), tab="levels", map="on")
    drawn = told[-1]()["beside"]
    assert set(drawn) == {"pair", "neuron", "head"}
    ends = visit.table.ends(visit.best(), 9)
    assert abs(drawn["pair"]["images"][0].score) == max(abs(hit.score) for hit in (*ends.plus, *ends.minus))
    for kind in drawn:
        rows = component(app, f"pairs-beside-{kind}")["rows"]
        assert [row["id"] for row in rows] == [hit.image_id for hit in drawn[kind]["images"]]
        assert all(row["overlay"] for row in rows)


def test_sub_concepts_with_their_score(visit: PairVisit, told: list[Any]) -> None:
    seen = 0
    for rank in range(0, 60, 6):
        name = visit.best(rank)
        app = visit.open(pair=name, tab="sub")
        drawn = told[-1]()["sub_concepts"]
        seen += len(drawn)
        for n, part in enumerate(drawn):
            assert [row["id"] for row in component(app, f"pairs-sub-{n}")["rows"]] == [i.image_id for i in part.images]
            assert f"score {part.score:.2f} = tightness {part.tightness:.2f}" in said(app)
        if not drawn:
            assert "its concept has no parts" in said(app)
    assert seen


def test_one_image_and_an_image_of_ones_own(visit: PairVisit, told: list[Any]) -> None:
    name = visit.best()
    image = visit.table.ends(name, 3).plus[0].image_id
    app = visit.open(pair=name, tab="image", image=str(image))
    found = told[-1]()["in_image"]
    from pages._ui.overlays import read

    trace, _, _ = read(visit.opened, image)
    expected = resources.pair_explainer(visit.opened).read(trace, name)
    assert found.coefficient == pytest.approx(expected.coefficient, abs=1e-6)
    assert f"x = {found.coefficient:+.4f}" in said(app)
    assert len(component(app, "pairs-image")["rows"]) == 3
    missing = visit.open(pair=name, tab="image", upload="0" * 32)
    assert "This upload is not here" in said(missing)


# --- on other pages ---------------------------------------------------------------------------------------------------


def test_links_from_heads_and_neurons(visit: PairVisit) -> None:
    pair = next(
        visit.table.pair(row) for row in visit.table.columns().row_p if visit.table.analysed(visit.table.pair(row).head)
    )
    app = visit.open("neurons", neuron=str(pair.neuron))
    rows = component(app, f"carriers-table-{str(pair.neuron).replace('.', '-')}")["rows"]
    shown = {row["values"][0]: row["shown"][-1] for row in rows}
    assert [text for text, _ in shown[str(pair.head)]] == ["pair"]
    assert f"pair={str(pair).replace('>', '%3E')}" in shown[str(pair.head)][0][1]
    app = visit.open("heads", head=str(pair.head))
    rows = component(app, f"neurons-of-{str(pair.head).replace('.', '-')}")["rows"]
    assert rows and all(href.count("pair=") == 1 for row in rows for _, href in row["shown"][3])


def test_places_in_the_table_are_those_of_the_view(visit: PairVisit) -> None:
    listed = pairs_table.matching(visit.opened, visit.table, PairsView())
    assert listed.passing == listed.every == len(visit.table.columns().row_p)
