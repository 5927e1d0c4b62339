"""The Characterise page without a browser: its numbers against the table, its empty states, tables of other pools."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from core.bundle.read import open_bundle
from core.errors import InputError
from core.store import Characterised, Store
from pages._ui import characterise_figures, characterise_pools, resources, thumbs
from tests import bundle_maker

NAME = "tiny-0123abcd"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One bundle, which the app shows."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    return bundle_maker.make(tmp_path / NAME)


def _app(path: str) -> None:
    import runpy

    runpy.run_path(path)


def run(**query: str) -> AppTest:
    app = AppTest.from_function(_app, kwargs={"path": str(resources.ROOT / "app.py")}, default_timeout=60)
    app._page_hash = calc_hash("characterise")
    app.query_params.update(query)
    app.run()
    assert not app.exception and [title.value for title in app.title] == ["Characterise"]
    return app


def spec(app: AppTest, at: int) -> dict[str, Any]:
    return json.loads(app.get("plotly_chart")[at].proto.spec)


def chart(app: AppTest, at: int) -> list[dict[str, Any]]:
    return spec(app, at)["data"]


def without(folder: Path, *names: str, fields: tuple[str, ...] = ()) -> None:
    """Take arrays and tables out of a bundle as if they had never been written."""
    path = folder / "bundle.json"
    document = json.loads(path.read_text())
    for group in ("arrays", "tables"):
        for name in [name for name in document[group] if any(map(name.startswith, names))]:
            del document["files"][document[group].pop(name)["path"]]
    for field in fields:
        document.pop(field, None)
    path.write_text(json.dumps(document))


def test_every_number_is_the_tables(folder: Path) -> None:
    rows = Store(open_bundle(folder)).characterisation()
    by_key = {(row.kind, row.layer, row.texts): row for row in rows}
    app = run()
    names = {title: kind for kind, title in characterise_figures.NAMES.items()}
    for at, kinds in ((0, ["all", "large norm", "small norm"]), (1, ["first component", "all"])):
        traces = chart(app, at)
        assert [names[trace["name"]] for trace in traces] == kinds
        for trace in traces:
            kind = names[trace["name"]]
            assert trace["x"] == ["L1", "all together"]
            assert trace["y"] == [by_key[kind, layer, None].top1 for layer in (1, None)]
            assert trace["error_y"]["array"] == [by_key[kind, layer, None].error for layer in (1, None)]
            assert trace["text"] == [f"{y:.1%}" for y in trace["y"]]
        (line,) = spec(app, at)["layout"]["shapes"]
        assert line["y0"] == line["y1"] == by_key["none", None, None].top1 and "75.0%" in line["name"]
    shown = app.dataframe[-1].value
    assert shown["top-1"].tolist() == [row.top1 for row in rows]
    assert shown["standard error"].tolist() == pytest.approx([(r.top1 * (1 - r.top1) / 28) ** 0.5 for r in rows])
    assert any("28 images with a class" in each.value and "75.0% ± 8.2%" in each.value for each in app.caption)


@pytest.mark.parametrize(("layer", "expected"), [("all", [0.45, 0.75, 0.72, 0.4]), ("1", [0.55, 0.75, 0.7, 0.5])])
def test_the_link_says_whose_directions_are_rebuilt(folder: Path, layer: str, expected: list[float]) -> None:
    app = run(layer=layer)
    assert app.selectbox(key="CharacteriseView.layer").value == layer
    traces = chart(app, 2)
    assert [trace["y"] for trace in traces] == [[value] for value in expected] and traces[0]["x"] == ["2"]
    assert traces[0]["name"] == "&lt;b&gt;words&lt;/b&gt;"  # a pool's name is text


def test_nonsense_in_the_link_gets_the_default(folder: Path) -> None:
    app = run(layer="<b>7")
    assert app.selectbox(key="CharacteriseView.layer").value == "all" and "cannot be shown" in app.info[0].value


@pytest.mark.parametrize(
    ("taken", "fields", "says"),
    [
        (("characterisation",), (), "made before this was computed"),
        (("characterisation", "class", "ablation"), ("zero_shot",), "have no classes"),
        (("characterisation", "neuron_"), ("neurons",), "has no neurons"),
    ],
)
def test_what_is_missing_is_said_with_a_command(
    folder: Path, taken: tuple[str, ...], fields: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(document | {"zero_shot": {"top1": 0.75, "images": 28}}))
    without(folder, *taken, fields=fields)
    monkeypatch.setattr(resources, "stamp", lambda folder: (1, 1, hash(says)))
    app = run()
    assert not app.get("plotly_chart") and any(says in each.value for each in app.markdown)
    assert "python -m precompute run" in app.code[0].value


HEAD = ",".join(characterise_pools.HEADER)
BASE = Characterised("none", None, None, None, 0.75, 0.08, 28)


def test_a_table_of_other_pools_is_read_back() -> None:
    lines = [HEAD, "none,,,,0.75,0.08,28", "all,1,,,0.5,0.09,28", "texts,1,16,english,0.625,0.07,28"]
    lines += ['texts,,64,"a ""pool"", quoted",0.5,0.07,28']
    rows = characterise_pools.read("\r\n".join(lines).encode(), BASE)
    assert rows == (
        Characterised("texts", 1, 16, "english", 0.625, 0.07, 28),
        Characterised("texts", None, 64, 'a "pool", quoted', 0.5, 0.07, 28),
    )
    drawn = characterise_figures.texts_chart([BASE, *rows, replace(rows[0], texts=2, top1=0.5)], "1")
    assert drawn.data[0].x == ("2", "16") and drawn.data[0].y == (0.5, 0.625)


@pytest.mark.parametrize(
    "line",
    ["texts,1,16,english,nan,0.1,28", "texts,1,16,english,1.5,0.1,28", "texts,1,-2,english,0.5,0.1,28",
     "texts,1,16,,0.5,0.1,28", "texts,1,,english,0.5,0.1,28", "texts,x,1,english,0.5,0.1,28", "texts,1",
     "texts,1,99999999999999,english,0.5,0.1,28", "texts,1,16,english,0.5,nan,28", '"'],
)  # fmt: skip
def test_a_table_that_is_none_gets_a_sentence(line: str) -> None:
    with pytest.raises(InputError, match="not a table that"):
        characterise_pools.read(f"{HEAD}\nnone,,,,0.75,0.08,28\n{line}".encode(), BASE)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a,b\n", b"x" * (2**20 + 1)])
def test_a_file_that_is_none_gets_a_sentence(content: bytes) -> None:
    with pytest.raises(InputError, match="not a table that"):
        characterise_pools.read(content, BASE)


def test_a_table_of_another_bundle_is_refused() -> None:
    for base in ("none,,,,0.74,0.08,28", "none,,,,0.75,0.08,27", "texts,1,2,a,0.75,0.08,28"):
        with pytest.raises(InputError, match="another bundle"):
            characterise_pools.read(f"{HEAD}\n{base}".encode(), BASE)
