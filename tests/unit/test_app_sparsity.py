"""Sparsity and rank on the Characterise page, without a browser: its numbers against the table, and its absence."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.bundle.read import open_bundle
from core.store import Sparse, Store
from tests.unit.test_app_characterise import chart, folder, run, spec, without

__all__ = ["folder"]  # the fixture
FIRST = 3  # after the page's other charts


def _rows(folder: Path, layer: int | None) -> dict[tuple[str, str | None, float | None], Sparse]:
    rows = Store(open_bundle(folder)).sparsity()
    return {(row.kind, row.unit, row.amount): row for row in rows if row.layer == layer or row.kind == "none"}


def _levels(app: AppTest, at: int) -> dict[str, float]:
    return {line["name"]: line["y0"] for line in spec(app, at)["layout"]["shapes"]}


@pytest.mark.parametrize(("query", "layer"), [({}, None), ({"layer": "1"}, 1)])
def test_every_number_is_the_tables(folder: Path, query: dict[str, str], layer: int | None) -> None:
    by, app = _rows(folder, layer), run(**query)
    lines = chart(app, FIRST)
    assert [line["name"] for line in lines] == ["pairs", "neurons", "heads"]
    for line in lines:
        amounts = [10.0, 41.7, 50.0] if line["name"] == "pairs" else [10.0, 50.0]
        found = [by["kept", line["name"], amount] for amount in amounts]
        assert line["x"] == amounts and line["y"] == [row.top1 for row in found]
        assert line["error_y"]["array"] == [row.error for row in found]
        assert line["customdata"] == [f"{row.units} {line['name']}" for row in found]
    base, all_of_it = by["none", None, None], by["all", None, None]
    assert _levels(app, FIRST) == {"nothing changed": base.top1, "everything mean-ablated": all_of_it.top1}
    pairs, neurons = chart(app, FIRST + 1)
    assert (pairs["name"], pairs["x"], pairs["y"]) == ("pairs", ["1"], [by["components", "pairs", 1].top1])
    assert neurons["x"] == ["1", "2"] and neurons["y"] == [by["components", "neurons", n].top1 for n in (1, 2)]
    (texts,) = chart(app, FIRST + 2)
    assert texts["x"] == ["1", "2"] and texts["y"] == [by["texts", "pairs", n].top1 for n in (1, 2)]
    same = by["kept", "pairs", 41.7].top1
    assert _levels(app, FIRST + 2) == {f"these 10 pairs as they are ({same:.1%})": same}
    shown = app.dataframe[0].value
    assert shown["top-1"].tolist() == [row.top1 for row in Store(open_bundle(folder)).sparsity()]


def test_population_layer_and_pool_are_said_as_text(folder: Path) -> None:
    said = [each.value for each in run(layer="1").caption]
    assert any("28 images with a class" in each and "of layer 1" in each for each in said)
    (texts,) = (each for each in said if "10 best pairs" in each)
    assert "<b>" not in texts and "words" in texts


def test_a_bundle_without_it_shows_the_rest(folder: Path) -> None:
    without(folder, "sparsity")
    app = run()
    assert len(app.get("plotly_chart")) == FIRST
    assert not any(each.value == "Sparsity and rank" for each in app.subheader)


def test_a_table_without_texts_has_two_charts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Store.sparsity
    monkeypatch.setattr(Store, "sparsity", lambda self: tuple(row for row in real(self) if row.kind != "texts"))
    assert len(run().get("plotly_chart")) == FIRST + 2
