"""The Heads page without a browser; the live model stands in where relabelling and heatmaps need one."""

import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.bundle.read import Bundle, open_bundle
from core.store import Store
from pages._ui import figures, overlays, pools, resources, thumbs
from tests import bundle_maker
from tests.reference.plain_textspan import plain_explained

NAME = "tiny-0123abcd"
OK = np.delete(np.arange(40), bundle_maker.QUARANTINED)
HEAD = (1, 1)  # of L3.H1, in the arrays
MINE = "<b>snow</b>\nsea\nsea\nstripes"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The one bundle of the folder, which the page shows; what visitors keep goes elsewhere."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path / "bundles"))
    monkeypatch.setenv("UNITSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    monkeypatch.setattr(pools, "_vectors", type(pools._vectors)())
    return open_bundle(bundle_maker.make(tmp_path / "bundles" / NAME))


@pytest.fixture
def store(bundle: Bundle) -> Store:
    return Store(bundle)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What gives the page's data, as the download button gets it."""
    seen: list[Callable[[], Any]] = []
    monkeypatch.setattr(figures, "page_data", lambda data, name: seen.append(data))
    return seen


class Model:
    """Stands in for the live model: a text's embedding depends on its letters alone, a heatmap on the picture's hue."""

    digest = "0"

    def encode_texts(self, given: tuple[str, ...]) -> np.ndarray:
        seeds = [[ord(letter) for letter in text] for text in given]
        rows = np.stack([np.random.default_rng(seed).standard_normal(16) for seed in seeds]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def read(self, picture: Image.Image) -> SimpleNamespace:
        return SimpleNamespace(unit_o=np.eye(16)[0], level=np.asarray(picture).mean() / 255)

    def heatmap(self, read: SimpleNamespace, text: str, layers: list[int] | None = None) -> SimpleNamespace:
        map_lhyx = np.stack([np.full((1, 2, 2), h + 1.0) for h in range(2)], axis=1) * read.level
        map_lhyx[..., 0, 0] *= -1
        return SimpleNamespace(head_lhyx=map_lhyx, total_yx=map_lhyx.sum((0, 1)), class_token_lh=np.ones((1, 2)))


def _page() -> None:
    from pages import heads
    from pages._ui import states

    with states.calm():
        heads.main()


def run(**query: str) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=60)
    app.query_params.update(query)
    return app.run()


def texts(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.error, app.info)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "")


def said(app: AppTest, name: str) -> str:
    """A parameter of the link: AppTest has a list before a callback writes it, and text after."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[-1]


# --- the numbers, recomputed from the bundle's arrays ---------------------------------------------------------------


def scores(bundle: Bundle, pick: int) -> np.ndarray:
    """⟨c, t⟩ of L3.H1 with one of its texts over the usable images, in joint space: r back through the basis."""
    contribution_no = bundle.array("r")[HEAD][OK].astype(np.float64) @ bundle.array("basis")[HEAD].T
    return contribution_no @ bundle.array("text_embeddings")[bundle.array("text_index")[(*HEAD, pick)]]


def test_explained_variance_and_its_baseline_are_those_of_the_arrays(bundle: Bundle) -> None:
    app = run(head="L3.H1")
    index_m = bundle.array("text_index")[HEAD]
    explained_m = bundle.array("text_explained")[HEAD][index_m >= 0].astype(np.float64)
    shown = next(each.value for each in app.dataframe if "adds" in each.value or "explained" in each.value)
    np.testing.assert_allclose(shown["explained"], explained_m, rtol=1e-6)
    np.testing.assert_allclose(shown["cumulative"], [explained_m[: n + 1].sum() for n in range(len(shown))], rtol=1e-6)
    assert shown["text"].tolist() == [f"text {w}" for w in index_m if w >= 0]
    r_nc = bundle.array("r")[HEAD][OK].astype(np.float64)
    pool_wc = bundle.array("text_embeddings") @ bundle.array("basis")[HEAD]
    drawn = [np.random.default_rng(d).choice(12, len(shown), replace=False) for d in range(20)]
    random = np.mean([plain_explained(r_nc, pool_wc[rows]) for rows in drawn], axis=0)
    np.testing.assert_allclose(shown["random"], random, rtol=0, atol=1e-5)  # texts enter the head in float32
    n = len(shown)
    sentence = f"explain {explained_m.sum():.0%} of its own variance, {n} random ones {random[-1]:.0%}"
    assert sentence in texts(app) and "mean of 20 draws" in texts(app) and "pool's 12 texts" in texts(app)


def test_intervals_are_those_of_the_scores(bundle: Bundle, told: list) -> None:
    app = run(head="L3.H1", text="1", tab="intervals")
    score_n = scores(bundle, 1)
    lines = [m.value.replace("\\", "") for m in app.markdown if "scores" in m.value]
    assert len(lines) == 8
    total = 0
    for line in lines:
        low_level, high_level = (int(level) / 100 for level in re.search(r"(\d+)% to (\d+)%", line).groups())
        low, high = np.quantile(score_n, [low_level, high_level])
        count = int(re.search(r"; (\d+) image", line)[1])
        inside = (score_n >= low) & ((score_n < high) | (high_level == 1))
        assert f"scores {low:.4f} to {high:.4f}" in line and count == inside.sum()
        assert f"of 38 images, {count / 38:.1%}" in line
        total += count
    assert total == 38
    for interval in told[-1]()["intervals"].rows:
        for hit in interval.hits:
            assert hit.score == pytest.approx(score_n[OK.tolist().index(hit.image_id)], abs=1e-5)  # scanned in float32


def test_neighbours_are_those_of_a_plain_search(bundle: Bundle, told: list) -> None:
    app = run(head="L3.H1", tab="alike", image="4")
    assert not app.exception and not app.warning
    drawn, others = told[-1](), OK[OK != 4]
    r_nc = bundle.array("r")[HEAD].astype(np.float64)
    distance = np.linalg.norm(r_nc[others] - r_nc[4], axis=1)
    unit_no = bundle.array("representations").astype(np.float64)
    cosine = unit_no[others] @ unit_no[4]
    assert [hit.image_id for hit in drawn["in_head"].hits] == others[np.argsort(distance)[:20]].tolist()
    np.testing.assert_allclose([hit.score for hit in drawn["in_head"].hits], np.sort(distance)[:20], atol=2e-3)
    # the index over representations is of fp16, so near-ties may swap: compare what the ids found are worth
    found = [hit.image_id for hit in drawn["by_representation"].hits]
    np.testing.assert_allclose(unit_no[found] @ unit_no[4], -np.sort(-cosine)[:20], rtol=0, atol=2e-3)
    both = {hit.image_id for hit in drawn["in_head"].hits} & set(found)
    assert f"{len(both)} of the 20 images of one side" in texts(app)


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", ["ends", "intervals", "alike", "relabel"])
def test_every_tab_shows_the_head_and_its_population(store: Store, tab: str) -> None:
    app = run(head="L3.H1", text="1", tab=tab, image="4")
    assert not app.exception and not app.error and not app.warning, texts(app)
    answer = store.head("L3.H1")
    assert [each.value for each in app.title] == ["L3.H1"]
    assert f"“{answer.texts[1].text}”" in texts(app)
    assert f"{answer.summary.share:.1%} of the output" in texts(app) and "of 38 images" in texts(app)


def test_steps_go_through_heads_and_layers_and_forget_the_text(store: Store) -> None:
    app = run(head="L2.H1", text="1", image="4", tab="alike")
    app.button(key="key-next").click().run()
    assert said(app, "head") == "L3.H0" and "text" not in app.query_params
    assert said(app, "image") == "4" and said(app, "tab") == "alike"
    app.button(key="key-lower").click().run()
    assert said(app, "head") == "L2.H0"
    assert app.button(key="key-lower").disabled and app.button(key="key-previous").disabled


@pytest.mark.parametrize(
    ("query", "says"),
    [({"text": "999"}, "fewer than"), ({"head": "<b>"}, "cannot be shown"), ({"pool": "../x"}, "cannot be shown")],
)
def test_a_bad_link_gets_a_sentence(store: Store, query: dict[str, str], says: str) -> None:
    app = run(**query)
    assert not app.exception and not app.error
    assert says in texts(app) and [each.value for each in app.title] == ["L2.H0"]


def test_an_image_in_quarantine_costs_only_its_part(store: Store) -> None:
    app = run(tab="alike", image=str(bundle_maker.QUARANTINED[0]))
    assert not app.exception and "could not be used" in texts(app)
    assert len(app.get("download_button")) == 3  # the texts, the neurons and the page's data


# --- relabelling ------------------------------------------------------------------------------------------------------


def give(app: AppTest, pool: str) -> AppTest:
    if pool:
        app.text_area(key="pool-pasted").set_value(pool)
    return next(button for button in app.button if button.label == "Use these texts").click().run()


def test_relabelling_shows_what_changed(store: Store, told: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "explainer", lambda opened: Model())
    app = run(tab="relabel", head="L2.H1")
    assert "No pool yet" in texts(app)
    assert "There are no texts yet" in texts(give(app, ""))
    give(app, MINE)
    assert not app.exception and not app.error
    assert "3 texts in use" in texts(app) and "1 duplicate" in texts(app)
    shown = app.dataframe[-1].value
    assert set(shown["this pool's"]) == {"<b>snow</b>", "sea", "stripes"}
    before = [text.text for text in store.head("L2.H1").texts]
    assert [text for text in shown["the bundle's"] if text] == before[:3]
    data = json.loads(figures.to_json(told[-1]()))
    assert data["view"]["pool"] == data["pool"]["name"] == said(app, "pool") and data["pool"]["texts"] == 3
    assert [text["text"] for text in data["relabelled"][0]["texts"]] == [t for t in shown["this pool's"] if t]
    app.segmented_control(key="HeadsView.scope").set_value("all").run()
    assert said(app, "scope") == "all" and len(told[-1]()["relabelled"]) == 4


def test_a_link_to_relabelled_heads_needs_the_texts_to_be_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "explainer", lambda opened: Model())
    app = give(run(tab="relabel"), MINE)
    link = {"tab": "relabel", "pool": said(app, "pool")}
    assert "These texts are not here" in texts(run(**link))
    app.checkbox(key="pool-keep").check().run()
    friend = run(**link)
    assert friend.dataframe[-1].value.equals(app.dataframe[-1].value)
    assert not friend.checkbox  # only its owner may remove it
    assert [path.name for path in pools.SHELF.where().iterdir()] == [link["pool"]]
    app.checkbox(key="pool-keep").uncheck().run()
    assert "These texts are not here" in texts(run(**link))
    assert "3 texts in use" in texts(give(run(**link), MINE))  # the same texts, the same link


def test_a_pool_that_comes_with_the_product_is_named_in_the_link(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "explainer", lambda opened: Model())
    app = run(tab="relabel")
    app.selectbox(key="pool-name").set_value("demo").run()
    assert said(app, "pool") == "demo" and "texts in use" in texts(app) and not app.checkbox
    again = run(tab="relabel", pool="demo")
    assert again.dataframe[-1].value.equals(app.dataframe[-1].value)


def test_too_many_texts_get_a_sentence(store: Store) -> None:
    app = give(run(tab="relabel"), "\n".join(map(str, range(pools.MOST_TEXTS + 1))))
    assert "20,001 texts" in texts(app) and "pool" not in app.query_params


def test_texts_too_large_to_keep_stay_in_the_session(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "explainer", lambda opened: Model())
    monkeypatch.setattr("pages._ui.pools.SHELF", dataclasses.replace(pools.SHELF, max_file_bytes=2**20))
    app = give(run(tab="relabel"), "\n".join(f"{n} " + "x" * 950 for n in range(1_150)))
    assert not app.exception and "1,150 texts in use" in texts(app)
    app.checkbox(key="pool-keep").check().run()
    assert "too large to be kept: at most 1 MB" in texts(app) and not app.checkbox(key="pool-keep").value
    assert "1,150 texts in use" in texts(app)


# --- heatmaps ---------------------------------------------------------------------------------------------------------


def jpeg(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (level, level, level)).save(out, "JPEG")
    return out.getvalue()


def test_heatmaps_of_a_row_share_a_scale_unless_each_has_its_own(
    store: Store, told: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "explainer", lambda opened: Model())
    monkeypatch.setattr(Store, "thumbnail", lambda self, image: jpeg(20 + 5 * image))
    drawn: list[tuple[float | None, float]] = []
    png = overlays.png
    monkeypatch.setattr(overlays, "png", lambda v, w, h, scale, mode: drawn.append((scale, v.max())) or png(v, w, h))
    app = run(head="L3.H1", map="head")
    assert not app.exception and not app.warning, texts(app)
    maps, ends = told[-1]()["heatmaps"], told[-1]()["ends"]
    for hits in (ends.plus, ends.minus):
        row, drawn[:] = drawn[: len(hits)], drawn[len(hits) :]
        levels = [2 * (20 + 5 * hit.image_id) / 255 for hit in hits]  # the second head's map has twice the first's
        assert [scale for scale, _ in row] == pytest.approx([max(levels)] * len(hits), abs=0.02)  # a JPEG's rounding
        assert [largest for _, largest in row] == pytest.approx(levels, abs=0.02)
        assert [maps[hit.image_id].values_yx[0, 0] for hit in hits] == pytest.approx([-x for x in levels], abs=0.02)
    assert "under one bar share its scale" in texts(app) and "from the bundle's thumbnails (at most 8 px)" in texts(app)
    stored = store.bundle.array("representations")[list(maps), 0].min()
    assert f"a cosine of at least {stored:.3f}" in texts(app)
    app.toggle(key="HeadsView.own").set_value(True).run()
    assert said(app, "own") == "True" and {scale for scale, _ in drawn} == {None}
    assert "its own scale" in texts(app)


def test_a_heatmap_lies_over_the_middle_square_that_the_grid_shows() -> None:
    values = np.array([[1.0, 0.0], [0.0, -0.5]])
    picture = np.asarray(Image.open(io.BytesIO(overlays.png(values, 60, 40))))
    assert picture.shape == (128, 128, 4)
    plus, minus = picture[0, 0], picture[-1, -1]
    assert plus[2] > plus[0] and minus[0] > minus[2] and plus[3] == 2 * minus[3] > 0
    assert not picture[:64, 64:, 3].any() and (picture[:64, :64] == plus).all()  # patches stay patches
    weak = np.asarray(Image.open(io.BytesIO(overlays.png(values, 60, 40, scale=4.0))))
    assert weak[0, 0, 3] == plus[3] // 4
    # a model that squashes saw the left of the image, too, of which the middle square has only a part
    wide = np.asarray(Image.open(io.BytesIO(overlays.png(np.eye(4)[:1], 80, 40, mode="squash"))))
    assert not wide[..., 3].any()
    # and one that pads saw the square in the middle rows of its own
    tall = np.asarray(Image.open(io.BytesIO(overlays.png(np.array([[1.0], [0], [0], [1]]), 80, 40, mode="longest"))))
    assert not tall[..., 3].any()
