"""Every number of Overview and About, as the pages show it, against plain recomputation from the bundle's arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from core.bundle.read import Bundle, open_bundle
from pages._ui import overview_grid, resources, thumbs
from tests.reference.plain_store import correlation_ratio

HALF = 2e-3  # r and the representations are stored in fp16: 5e-4 an entry, and sums of ~60 images of either sign
PERCENT = 5e-4  # shown with one decimal of a percent
HUNDREDTH = 5e-3  # shown with two decimals


@pytest.fixture(params=["vit", "resnet"])
def bundle(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    folder: Path = request.getfixturevalue(f"{request.param}_bundle")
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(folder.parent))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    return open_bundle(folder)


def _app(path: str) -> None:
    import runpy

    runpy.run_path(path)


def page(address: str = "", **query: str) -> AppTest:
    app = AppTest.from_function(_app, kwargs={"path": str(resources.ROOT / "app.py")}, default_timeout=60)
    if address:
        app._page_hash = calc_hash(address)  # Streamlit knows a page by its address; switch_page wants a page's file
    app.query_params.update(query)
    app.run()
    assert not app.exception and not app.error and not app.warning
    return app


def component(app: AppTest, name: str) -> dict[str, Any]:
    """What the page gave to one of our components."""
    return json.loads(next(e.proto.json for e in app.get("bidi_component") if e.proto.component_name == name))


def cells(app: AppTest) -> list[float]:
    """The numbers of the grid, in the order of heads; fractions where it shows percents."""
    shown = [cell["value"] for row in component(app, "unitscope_heads")["rows"] for cell in row["heads"]]
    return [float(text.rstrip("%")) / 100 if text.endswith("%") else float(text) for text in shown]


def heads(bundle: Bundle) -> list[tuple[int, int, np.ndarray]]:
    """Of each head its place, and what it writes into each usable image's representation (n, o), float64."""
    r_lhnc, basis = bundle.array("r"), bundle.array("basis")
    ok_n = np.flatnonzero(bundle.array("ok"))
    places = list(np.ndindex(*r_lhnc.shape[:2]))
    return [(i, h, np.float64(r_lhnc[i, h][ok_n]) @ np.float64(basis[i, h]).T) for i, h in places]


def shares(bundle: Bundle) -> list[float]:
    unit_no = np.float64(bundle.array("representations"))[bundle.array("ok")]
    off_no = unit_no - unit_no.mean(0)
    return [sum((c - c_no.mean(0)) @ u for c, u in zip(c_no, off_no, strict=True)) / (off_no**2).sum()
            for _, _, c_no in heads(bundle)]  # fmt: skip


def explained(bundle: Bundle, most: int) -> list[float]:
    """Of each head: the part of its variance that lies in the span of its first texts, these as the head sees them."""
    texts, index = np.float64(bundle.array("text_embeddings")), bundle.array("text_index")
    found = []
    for i, h, c_no in heads(bundle):
        q = np.float64(bundle.array("basis")[i, h])
        seen = q @ q.T @ texts[[w for w in index[i, h][:most] if w >= 0]].T
        span, size, _ = np.linalg.svd(seen, full_matrices=False)
        inside = (c_no - c_no.mean(0)) @ span[:, size > 1e-6 * size[0]]
        found.append((inside**2).sum() / ((c_no - c_no.mean(0)) ** 2).sum())
    return found


def test_shares_and_fractions_explained(bundle: Bundle) -> None:
    app = page()
    rows = [row["values"] for row in component(app, "unitscope_table")["rows"]]
    expected = [shares(bundle), explained(bundle, overview_grid.FIRST), explained(bundle, 10**6)]
    for column, values in enumerate(expected, start=2):
        np.testing.assert_allclose([row[column] for row in rows], values, atol=HALF)
    np.testing.assert_allclose(cells(app), expected[0], atol=HALF + PERCENT)
    np.testing.assert_allclose(cells(page(measure="first")), expected[1], atol=HALF + PERCENT)
    np.testing.assert_allclose(cells(page(measure="explained")), expected[2], atol=HALF + PERCENT)


def test_variances_and_norms(bundle: Bundle) -> None:
    variances = [((c_no - c_no.mean(0)) ** 2).sum(1).mean() for _, _, c_no in heads(bundle)]
    np.testing.assert_allclose(cells(page(measure="variance")), variances, rtol=0.05, atol=1e-12)  # two digits shown
    norms = [np.median(np.linalg.norm(c_no, axis=1)) for _, _, c_no in heads(bundle)]
    # the middle is a sketch's, within 1 % of an image's value beside the median of an even number
    np.testing.assert_allclose(cells(page(measure="norm")), norms, rtol=0.05, atol=HUNDREDTH)


def test_correlations_with_a_column(bundle: Bundle) -> None:
    images = bundle.table("images").to_pylist()
    names = [image["class"] for image in images if image["status"] == "ok"]
    expected = [correlation_ratio(c_no, names) for _, _, c_no in heads(bundle)]
    np.testing.assert_allclose(cells(page(measure="column:class")), expected, atol=HUNDREDTH + 1e-6)


def test_zero_shot_and_ablation(bundle: Bundle) -> None:
    app = page()
    names = bundle.table("classes")["class"].to_pylist()
    hits, fives, of = 0, 0, 0
    for image in bundle.table("images").to_pylist():
        if image["status"] != "ok":
            continue
        scores = np.float64(bundle.array("class_embeddings")) @ np.float64(
            bundle.array("representations")[image["image_id"]]
        )
        rank = int((scores > scores[names.index(image["class"])]).sum())
        hits, fives, of = hits + (rank < 1), fives + (rank < 5), of + 1
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Zero-shot top-1"] == f"{hits / of:.1%}" and shown["Zero-shot top-5"] == f"{fives / of:.1%}"
    assert shown["Classes"] == str(len(names))
    assert any(f"Of {of} images with a class" in caption.value for caption in app.caption)
    if "ablation" not in bundle.facts["tables"]:
        assert not app.dataframe  # a pool has nothing to ablate
        return
    table = app.dataframe[0].value
    stored = bundle.table("ablation").to_pydict()
    assert table["top-1"].tolist() == stored["top1"] and set(table["images"]) == {of}
    assert table["top-1"][0] == hits / of and table["replaced"][0] == "nothing"
    last = bundle.facts["model"]["layers"] - 1
    assert table["replaced"].tolist()[1:3] == ["all MLPs", "attention of L0"]
    assert table["replaced"].tolist()[-1] == f"attention of L0 to L{last}"


def test_facts_of_about(bundle: Bundle) -> None:
    app = page("about", tab="bundle")
    shown = {metric.label: metric.value for metric in app.metric}
    usable = sum(image["status"] == "ok" for image in bundle.table("images").to_pylist())
    layers, in_layer = bundle.array("r").shape[:2]
    assert shown["Images"] == str(usable) and shown["Heads"] == str(layers * in_layer)
    # parts of the mean image sum to the mean representation: the residual that is shown bounds this one too
    gap = np.abs(
        np.float64(bundle.array("parts_mean")).sum(0)
        - np.float64(bundle.array("representations"))[bundle.array("ok")].mean(0)
    ).max()
    assert float(shown["Worst residual"]) == pytest.approx(bundle.facts["worst_residual"], rel=0.05)
    assert gap < float(shown["Worst residual"]) + HALF
    rows = dict(app.dataframe[0].value.itertuples(index=False))
    everything = len(bundle.table("images"))
    assert f"{everything} images, {everything - usable} of them unusable" in rows["data set"]
    assert rows["text pool"].endswith(f"{len(bundle.table('pool'))} texts")
