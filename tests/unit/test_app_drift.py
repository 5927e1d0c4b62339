"""The Drift page without a browser, over a bundle whose manifest has columns; the live model stands in."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from core.bundle.read import Bundle, open_bundle
from core.store import Store
from core.store import drift as drift_module
from pages._ui import figures, live, resources, thumbs
from tests import bundle_maker

HOSTILE = "<b>bold</b> [link](http://x.y)"
IMAGES = bundle_maker.SIZES["image"]


def columns() -> dict[str, list]:
    """Of the manifest: `year` drifts from text 3 to text 5; every seventh image has none."""
    year = [None if i % 7 == 3 else 2000 + i // 8 for i in range(IMAGES)]
    style = ["text 3" if i < 20 else "text 5" for i in range(IMAGES)]
    return {"year": year, "style": style, "odd": [HOSTILE if i % 2 else "plain" for i in range(IMAGES)]}


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: dict[str, list]) -> Bundle:
    made = bundle_maker.tables()
    for name, values in extra.items():
        made["images"] = made["images"].append_column(name, pa.array(values))
    monkeypatch.setattr(bundle_maker, "tables", lambda: made)
    monkeypatch.setattr(drift_module, "_LEAST_IMAGES", 5)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    return open_bundle(bundle_maker.make(tmp_path / "tiny-0123abcd"))


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    return make(tmp_path, monkeypatch, columns())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    seen: list[Callable[[], Any]] = []
    monkeypatch.setattr(figures, "page_data", lambda data, name: seen.append(data))
    return seen


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = live.Status("failed", "The model is not here.")
    monkeypatch.setattr(resources, "explainer_status", lambda opened: failed)


class Model:
    """Stands in for the live model."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.stack([np.random.default_rng([ord(c) for c in text]).standard_normal(16) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def unseen_words(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(word for text in texts for word in text.split() if not word.isascii())


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "explainer_status", lambda opened: live.Status("ready"))
    monkeypatch.setattr(resources, "explainer", lambda opened: Model())


def _page() -> None:
    from pages import drift
    from pages._ui import states

    with states.calm():
        drift.main()


def run(**query: Any) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=60)
    app.query_params.update(query)
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.error, app.info, app.code)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "").replace("\u2060", "")


def table(app: AppTest, column: str) -> Any:
    return next(each.value for each in app.dataframe if column in each.value)


def test_the_first_view_shows_the_drift_without_a_model(bundle: Bundle, absent: None, told: list) -> None:
    app = run()
    shown, store = table(app, "point-biserial"), Store(bundle)
    assert store.drift is not None
    assert shown["concept"].tolist() == list(store.drift.proposed("year")) == ["text 3", "text 5"]
    measured = np.asarray(bundle.array("neuron_image_ids"))
    given = columns()
    known = [i for i in measured if given["year"][i] is not None]
    assert shown["images"].tolist() == [len(known)] * 2 and shown["left out"].tolist() == [30 - len(known)] * 2
    assert f"{30 - len(known)} images have no year or" not in texts(app)  # every image has a style
    assert f"{30 - len(known)} images have no year in the manifest and are left out." in texts(app)
    scores = store.drift.scores(store.drift.known_text("text 3"))
    truth = np.array([given["style"][i] == "text 3" for i in known], float)
    share = scores.share_i[np.isin(measured, known)]
    assert shown["point-biserial"][0] == pytest.approx(np.corrcoef(share, truth)[0, 1])
    by_group = table(app, "share")
    years = sorted({given["year"][i] for i in known})
    assert by_group["year"].tolist() == [str(year) for year in years] * 2
    first = share[[given["year"][i] == years[0] for i in known]]
    assert by_group["share"][0] == pytest.approx(first.mean())
    assert by_group["share error"][0] == pytest.approx(first.std(ddof=1) / np.sqrt(len(first)))
    data = told[-1]()
    assert data["view"].by == "year" and list(data["followed"]) == ["text 3", "text 5"]
    assert len(app.get("plotly_chart")) == 2


def test_own_concepts_need_the_model_and_say_so(bundle: Bundle, absent: None) -> None:
    app = run(concept=["text 3", "a snowy day"], by="year")
    assert table(app, "point-biserial")["concept"].tolist() == ["text 3"]
    assert "1 concept is no text of the bundle's pool (a snowy day)" in texts(app)
    assert "The model is not here." in texts(app)


def test_own_concepts_columns_and_truths(bundle: Bundle, ready: None) -> None:
    app = run(
        concept=["a snowy day", "Ωmega"], by="odd", truth=["caption=image", "none"], pairs="2", centred="True",
        shown="Ωmega",
    )  # fmt: skip
    shown = table(app, "point-biserial")
    assert shown["compared with"].tolist() == ["caption contains image", ""]
    assert "where all or none of the images show it, there is no correlation" in texts(app)
    assert "Not compared with the manifest" in texts(app) and "the model never met Ωmega" in texts(app)
    assert all(len(pairs.split("; ")) == 2 for pairs in shown["pairs"])
    assert set(table(app, "share")["odd"]) == {HOSTILE, "plain"}, "in a table it is text"
    assert HOSTILE not in "\n".join(each.value for each in app.markdown), "and nowhere is it markup"


def test_changes_go_to_the_link(bundle: Bundle, ready: None) -> None:
    app = run()
    app.text_area[0].set_value(" text 5 \n\nsomething  else\ntext 5").run()
    assert app.query_params["concept"] == ["text 5", "something else"]
    next(each for each in app.selectbox if each.label == "Groups of images").set_value("style").run()
    assert app.query_params["by"] == "style"
    app.selectbox(key="drift-truth-1").set_value("style").run()
    assert app.query_params["truth"] == ["auto", "style=text 3"]
    app.selectbox(key="drift-value-1").set_value("text 5").run()
    assert app.query_params["truth"] == ["auto", "style=text 5"]
    app.selectbox(key="drift-truth-1").set_value("none").run()
    assert app.query_params["truth"] == ["auto", "none"] and not app.exception


def test_a_truth_that_cannot_be_used_is_told_and_the_share_still_shown(bundle: Bundle, absent: None) -> None:
    app = run(concept=["text 3", "text 5"], truth=["style=desert", "place=sea"])
    assert "No measured image has 'desert' in the column 'style'" in texts(app)
    assert "The link's truth for “text 5” names no column" in texts(app)
    assert table(app, "point-biserial")["compared with"].tolist() == ["", ""]


def test_values_of_a_link_that_mean_nothing_become_the_default(bundle: Bundle, absent: None) -> None:
    app = run(by="<script>", pairs="7", group="nowhere", shown="nothing")
    assert "by, pairs cannot be shown" in texts(app).replace(" and ", ", ") and not app.error
    assert table(app, "point-biserial")["concept"].tolist() == ["text 3", "text 5"]


def test_one_group_of_images(bundle: Bundle, absent: None) -> None:
    app = run(by="year", group="2001", shown="text 5")
    assert "2001 · " in texts(app).replace("**", "")
    assert "2000 · " not in texts(app).replace("**", "")


def test_without_concepts_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: None) -> None:
    make(tmp_path, monkeypatch, {"year": columns()["year"]})
    assert "No concept yet" in texts(run())


def test_a_manifest_that_groups_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: None) -> None:
    made = bundle_maker.tables()
    one = pa.array(["class0"] * IMAGES)
    made["images"] = made["images"].set_column(2, "class", one)
    monkeypatch.setattr(bundle_maker, "tables", lambda: made)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    bundle_maker.make(tmp_path / "tiny-0123abcd")
    assert "no column that groups them" in texts(run())


def test_one_group_is_nothing_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: None) -> None:
    given = columns() | {"year": [2001 if i < 35 else 2002 for i in range(IMAGES)]}
    bundle = make(tmp_path, monkeypatch, given)
    assert np.asarray(bundle.array("neuron_image_ids")).max() < 35, "the second year is not among the measured images"
    app = run(concept="text 3", by="style")
    assert "are too few for a correlation of their means" in texts(app)
    table_of = Store(bundle).drift
    assert table_of is not None and "year" not in table_of.columns


def test_a_bundle_without_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bundle, "has", lambda self, name: name != "pair_text_scores" and name in self.facts["arrays"])
    make(tmp_path, monkeypatch, columns())
    assert "made before drift was followed" in texts(run())
    monkeypatch.setattr(Bundle, "has", lambda self, name: not name.startswith("pair_") and name in self.facts["arrays"])
    assert "no neuron–head pairs" in texts(run())
