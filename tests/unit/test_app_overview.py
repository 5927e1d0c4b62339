"""The Overview page without a browser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.bundle.read import open_bundle
from core.store import Ablation, Store
from pages._ui import overview_accuracy, overview_entry, overview_grid, resources, thumbs
from pages._ui.resources import Opened
from tests import bundle_maker

NAME = "tiny-0123abcd"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A folder with one bundle, which the app shows."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    bundle_maker.make(tmp_path / NAME)
    return Opened(NAME, tmp_path / NAME, (0, 0, 0), Store(open_bundle(tmp_path / NAME)))


def _app(path: str) -> None:
    import runpy

    runpy.run_path(path)


def run(**query: str) -> AppTest:
    # from_file would find pages/ beside app.py and run a page by itself, as no server of ours does
    app = AppTest.from_function(_app, kwargs={"path": str(resources.ROOT / "app.py")}, default_timeout=60)
    app.query_params.update(query)
    return app.run()


def component(app: AppTest, name: str) -> dict[str, Any]:
    """What the page gave to one of our components."""
    found = [each.proto for each in app.get("bidi_component") if each.proto.component_name == name]
    return json.loads(found[0].json)


def test_it_is_the_first_page_and_shows_every_head(opened: Opened) -> None:
    app = run()
    assert not app.exception and not app.error[1:]  # the one error is the badge of random weights
    assert [title.value for title in app.title] == ["Overview"]
    rows = component(app, "unitscope_table")["rows"]
    assert [row["values"][0] for row in rows] == [head.address for head in opened.store.heads()]
    assert [row["href"] for row in rows] == [f"/heads?bundle={NAME}&head={row['values'][0]}" for row in rows]
    cells = [cell for row in component(app, "unitscope_heads")["rows"] for cell in row["heads"]]
    assert [(cell["name"], cell["href"]) for cell in cells] == [(row["values"][0], row["href"]) for row in rows]


def test_the_link_says_the_measure_and_the_sample(opened: Opened) -> None:
    app = run(measure="variance", sample="3")
    assert app.selectbox(key="OverviewView.measure").value == "variance"
    app.button(key="other-pictures").click().run()
    links = [row["href"] for row in component(app, "unitscope_table")["rows"]]  # another run kept the bundle
    assert str(app.query_params["sample"]) in ("4", "['4']") and "variance" in str(app.query_params["measure"])
    assert all(NAME in link for link in links)


def test_nonsense_in_the_link_gets_the_default(opened: Opened) -> None:
    app = run(measure="../../etc", sample="-1")
    assert not app.exception
    assert app.selectbox(key="OverviewView.measure").value == "share"
    assert "cannot be shown" in app.info[0].value


def test_the_first_texts_explain_what_the_store_says(opened: Opened) -> None:
    bundle = opened.store.bundle
    explained_lhm, there_lhm = bundle.array("text_explained"), bundle.array("text_index") >= 0
    for head, found in zip(opened.store.heads(), overview_grid.first_explained(opened), strict=True):
        own = explained_lhm[head.row, head.head][there_lhm[head.row, head.head]]
        assert found == pytest.approx(float(own[: overview_grid.FIRST].sum()), abs=1e-12)


def test_a_cell_shows_its_own_head(opened: Opened) -> None:
    heads = opened.store.heads()
    for cell in overview_grid.cells(opened.store.grid("share"), heads):
        assert cell.value == cell.head.share and (cell.row, cell.column) == (cell.head.row, cell.head.head)


def test_every_measure_is_written_in_every_cell(opened: Opened) -> None:
    heads = opened.store.heads()
    for measure in overview_grid.measures(opened):
        found = overview_grid.grid(opened, measure)
        drawn = [cell for row in overview_grid.table(found, heads)["rows"] for cell in row["heads"]]
        assert [cell["value"] for cell in drawn] == [
            overview_grid.written(found, found.value_lh[head.row, head.head]) for head in heads
        ]
        for cell in drawn:  # what a screen reader says
            assert (
                all(cell[part] in cell["says"] for part in ("name", "label", "value")) and found.title in cell["says"]
            )


@pytest.mark.parametrize("lowest", [0.0, -1.0])
def test_words_are_readable_on_every_colour(opened: Opened, lowest: float) -> None:
    values = np.linspace(lowest, 1.0, 201)[None]
    share = opened.store.grid("share")
    found = type(share)("x", "x", "x", "", values, None, share.population)
    for value in values[0]:
        assert overview_grid.contrast(*overview_grid.fill(found, value)) >= 4.5  # WCAG 2.2, 1.4.3
    assert overview_grid.contrast("#ffffff", "#000000") == pytest.approx(21)
    assert overview_grid.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WebAIM's checker


def test_entry_points_keep_their_rule(opened: Opened) -> None:
    found = overview_entry.entries(opened)
    addresses = [entry.head.address for entry in found]
    assert len(set(addresses)) == len(addresses) == min(overview_entry.CARDS, len(opened.store.heads()))
    assert found[0].head.share == max(head.share for head in opened.store.heads())


def test_the_chart_has_the_layers_in_order() -> None:
    made = [Ablation("none", None, 0.9, 50), Ablation("attention", 1, 0.2, 50), Ablation("attention", 0, 0.6, 50)]
    chart = overview_accuracy.chart(made, 0.1)
    line = next(trace for trace in chart.data if trace.name == "attention up to here")
    assert list(line.x) == ["L0", "L1"] and list(line.y) == [0.6, 0.2]
    assert list(overview_accuracy.rows(made)["images"]) == [50] * 3
