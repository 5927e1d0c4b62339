"""Label scores over a bundle that precompute made: what pages show, the command, and labels by hand in both."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.labels.database import URL_VARIABLE, Labels
from core.labels.events import Event, new_key
from core.leaderboard import UNITS, Board, kept, leaderboard
from core.methods import label_leaderboard as method
from pages._ui import figures, live, resources, scores, scores_jobs, scores_units
from pages._ui.jobs import Job, Jobs
from tests.e2e.world import LARGEST, World, call, facts, refused


def _page(name: str) -> None:
    import importlib

    from pages._ui import states

    with states.calm():
        importlib.import_module(f"pages.{name}").main()


@pytest.fixture
def opened(vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[resources.Opened]:
    """The bundle, open in pages, with a cache, a database and jobs of its own."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(vit_bundle.parent))
    monkeypatch.setenv("UNITSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{tmp_path / 'labels.sqlite'}")
    monkeypatch.setattr(scores_jobs, "_boards", Jobs("the leaderboard", 4))
    monkeypatch.setattr(scores_jobs, "_tables", Jobs("the scores", 4))
    monkeypatch.setattr(resources, "MODELS", live.LiveModels(resources._load, resources._weight, resources._memory))
    yield resources.open_named(vit_bundle.name)


def visit(opened: resources.Opened, page: str = "scores", **query: Any) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=60, kwargs={"name": page})
    app.query_params.update({"bundle": opened.name} | query)
    return calm(app.run())


def calm(app: AppTest) -> AppTest:
    assert not app.exception and not app.error and not app.warning, said(app)
    return app


def said(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.info)
    return "\n".join(str(each.value) for kind in kinds for each in kind).replace("\\", "")


def begun(opened: resources.Opened) -> Board:
    """The leaderboard that a visitor has just asked for."""
    job = scores_jobs.find(opened)
    assert job is not None
    return job.made.result(120)


def label(opened: resources.Opened, address: str, text: str, end: str = "+") -> None:
    labels = Labels(os.environ[URL_VARIABLE])
    bundle = opened.store.facts().bundle
    labels.add([Event(new_key(), "ann", bundle, address, end, "label", text)])  # type: ignore[arg-type] # an end
    labels.close()


def test_the_leaderboard_is_made_when_asked_for_and_kept(opened: resources.Opened) -> None:
    app = visit(opened, kind="neuron")
    assert "have not been compared" in said(app) and not app.get("plotly_chart")
    app.button(key="scores-begin").click().run()
    made = begun(opened)
    app = visit(opened, kind="neuron")
    board = kept(opened.store.facts().bundle, UNITS)
    assert board is not None and scores_jobs.board(opened) == made
    rows = [row for row in made.rows if row.kind == "neuron"]
    drawn = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]
    assert dict(zip(drawn["y"], drawn["x"], strict=True)) == {row.method: row.pearson.value for row in rows}
    low = {row.method: row.pearson.value - row.pearson.low for row in rows}
    assert dict(zip(drawn["y"], drawn["error_x"]["arrayminus"], strict=True)) == pytest.approx(low)
    assert f"Scored on {made.images['neuron']} images" in said(app)
    best = max((row for row in rows if row.method in ("nearest text", "OMP unit", "OMP paper scaling",
                "nearest class name", "class of largest mean")), key=lambda row: row.pearson.value)  # fmt: skip
    assert f"**{best.method}** does best (r {best.pearson})" in said(app)
    for row in rows:
        assert f"**{row.method}**: " in said(app)
    shown = app.dataframe[0].value.set_index("method")
    assert shown.loc[method.RANDOM, "AUROC"] == str(next(r for r in rows if r.method == method.RANDOM).auroc)
    app = visit(opened, kind="neuron", figure="auroc")
    drawn = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]
    assert dict(zip(drawn["y"], drawn["x"], strict=True)) == {row.method: row.auroc.value for row in rows}


def test_labels_by_hand_join_it_and_ask_for_it_anew(opened: resources.Opened) -> None:
    text = opened.store.bundle.table("pool")["text"][2].as_py()
    scores_jobs.begin(opened, ()).made.result(60)
    label(opened, "L1.N20", text)
    label(opened, "L1.N21", "nothing of the pool | " + text)
    app = visit(opened, kind="neuron")
    assert "Labels by hand have changed" in said(app) and "**by hand**" not in said(app)
    app.button(key="scores-begin").click().run()
    made = begun(opened)
    assert made.unread == 0
    app = visit(opened, kind="neuron")
    assert "have changed" not in said(app) and "**by hand**" in said(app)
    (row,) = [row for row in made.rows if row.method == method.HAND]
    assert (row.kind, row.units) == ("neuron", 2)


@pytest.mark.parametrize("kind", ["head", "neuron"])
def test_every_unit_has_its_score(opened: resources.Opened, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[pd.DataFrame] = []
    monkeypatch.setattr(scores_units.linked_table, "draw", lambda made, *a, **k: drawn.append(made))
    value_u, random_u = opened.store.label_scores.quick(kind)
    for sort, sign in (("score", -1), ("-score", 1)):
        visit(opened, kind=kind, sort=sort)
        shown = drawn[-1]
        known = np.sort(sign * value_u[~np.isnan(value_u)])[: scores_units.SHOWN]
        assert (sign * shown["score"].to_numpy() == known).all()
        row = opened.store.units.row(shown["unit"][3])
        assert shown["score"][3] == value_u[row] and shown["random"][3] == random_u[row]
        assert shown["label"][3] == opened.store.units.label(kind, row)
    visit(opened, kind=kind, sort="importance")
    assert (np.diff(drawn[-1]["importance"]) <= 0).all()


def test_pairs_whose_sign_came_from_nearly_every_image_have_no_score(opened: resources.Opened) -> None:
    """Of 58 images 50 are left out, and 8 are too few; tests/unit has pairs with scores."""
    scores_jobs.begin(opened, ()).made.result(60)
    words = said(visit(opened, kind="pair"))
    assert "None has a score" in words and "No pairs could be compared" in words


def test_nonsense_in_the_link_gets_the_default(opened: resources.Opened) -> None:
    app = visit(opened, kind="<b>", figure="r2", sort="up")
    assert "cannot be shown" in app.info[0].value and app.title[0].value == "Label scores"


# --- beside labels ----------------------------------------------------------------------------------------------------


def test_a_neurons_own_images_are_left_out(opened: resources.Opened) -> None:
    store = opened.store
    (text, weight), *_ = store.units.texts("L1.N20")
    norm = store.neurons.scores("L1.N20", "norm")  # type: ignore[union-attr] # it has neurons
    last = np.sort(norm.score_n)[-LARGEST]
    own = int((norm.score_n >= last).sum())
    made = store.label_scores.score("L1.N20", "+" if weight > 0 else "-", None, text, draws=20)
    assert made and made.images == len(norm.id_n) - own and f"the {own} of its largest effects" in made.population
    other = next(
        t for t in store.bundle.table("pool")["text"].to_pylist() if t not in dict(store.units.texts("L1.N20"))
    )
    assert store.label_scores.score("L1.N20", "+", None, other, draws=20).images == len(norm.id_n)  # type: ignore[union-attr]


def test_the_leaderboard_leaves_a_neurons_own_images_out(opened: resources.Opened) -> None:
    store, table = opened.store, opened.store.neurons
    assert table is not None
    texts, board = store.bundle.table("pool")["text"].to_pylist(), leaderboard(store.bundle, 6)
    ours = [one for one in board.labels if (one.kind, one.method) == ("neuron", method.NEAREST)]
    assert len(ours) == 6
    for one in ours:
        x, norm = table.scores(one.address), table.scores(one.address, "norm")
        kept_n = norm.score_n < np.sort(norm.score_n)[-LARGEST]
        kept_n[0::2] = False  # half A
        unit_no = np.asarray(store.bundle.array("representations"), np.float64)[x.id_n[kept_n]]
        cosine_n = unit_no @ store.bundle.array("text_embeddings")[texts.index(one.text)]
        expected = np.corrcoef(cosine_n, x.score_n[kept_n])[0, 1] if kept_n.sum() >= 10 else np.nan
        assert one.pearson == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert not all(np.isnan(one.pearson) for one in ours)


def test_pages_show_the_scores_of_their_labels(opened: resources.Opened) -> None:
    store = opened.store
    described = store.units.address("pair", int(store.bundle.array("pair_text_rows")[0]))
    for page, unit in (("neurons", {"neuron": "L1.N20"}), ("pairs", {"pair": described})):
        (address,) = unit.values()
        words = said(visit(opened, page, **unit))
        ends = 0
        for end, sign in (("+", 1), ("-", -1)):
            first = next((text for text, weight in store.units.texts(address) if sign * weight > 0), None)
            if first is not None:
                made = store.label_scores.score(address, end, None, first)
                assert f"“{first}”: {scores.badge(made)}" in words
                assert ("random" in scores.badge(made)) == (page == "neurons")  # of the pairs too few images are left
                ends += 1
        assert ends
    known = {head.address: dict(store.units.texts(head.address, 100)) for head in store.heads()}
    head = next(address for address, texts in known.items() if len({r > 0 for r in texts.values()}) == 2)
    followed, seen = known[head], set[str]()
    for pick, text in enumerate(store.head(head).texts):
        if ("+" if followed[text.text] >= 0 else "-") in seen:
            continue
        app = visit(opened, "heads", head=head, text=pick)
        end = "+" if followed[text.text] >= 0 else "-"
        made = store.label_scores.score(head, end, None, text.text)
        mark = "+" if end == "+" else "−"
        seen.add(end)
        assert f"{mark} end of the head's first component: {scores.badge(made)}" in said(app)
        tip = next(each.proto.help for each in app.caption if "first component" in each.value).replace("\\", "")
        assert "TextSpan chose this text with the covariance of all images" in tip and "AUROC" in tip
        table = next(each.value for each in app.dataframe if "cumulative" in each.value)
        sign = 1 if end == "+" else -1
        assert made and table["r"][pick] == pytest.approx(sign * made.pearson.value, abs=1e-5)
    assert seen == {"+", "-"}


def test_tables_have_a_column_of_scores(opened: resources.Opened) -> None:
    store = opened.store
    for page, kind in (("neurons", "neuron"), ("pairs", "pair")):
        shown = visit(opened, page).dataframe[0].value
        value_u = store.label_scores.quick(kind)[0]  # type: ignore[arg-type] # a kind
        rows = [store.units.row(address) for address in shown[kind]]
        np.testing.assert_array_equal(shown["label score"].to_numpy(float), value_u[rows])
        assert np.isnan(value_u).all() == (kind == "pair")


def test_a_table_does_not_wait_for_its_scores(opened: resources.Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "WAIT_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(scores_jobs, "table", lambda opened, kind: Job())
        app = visit(opened, "neurons")
        assert "label score" not in app.dataframe[0].value and "being scored" in said(app)
    scores_jobs.table(opened, "neuron").made.result(60)
    assert "label score" in visit(opened, "neurons").dataframe[0].value


def test_scores_that_cannot_be_computed_say_so(opened: resources.Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(opened.store.label_scores), "quick", fails)
    app = AppTest.from_function(_page, default_timeout=60, kwargs={"name": "neurons"})
    app.query_params["bundle"] = opened.name
    app.run()
    assert "could not be scored" in app.warning[0].value and "label score" not in app.dataframe[0].value
    assert not app.exception


def test_a_badge_reads_as_it_should(opened: resources.Opened) -> None:
    text = opened.store.bundle.table("pool")["text"][0].as_py()
    made, why = scores.of(opened, "L1.N20", "+", text)
    assert re.fullmatch(r"r -?\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\] · random -?\d\.\d\d", scores.badge(made)) and not why
    assert scores.badge(None) == "no score"
    name = opened.store.images.values("class", np.array([0]))[0].as_py()
    made = opened.store.label_scores.score("L1.N20", "+", None, f"a photo of {name.replace('_', ' ')}")
    assert made and made.by == "images named" and f"by the images it names (class is {name})" in scores.badge(made)
    text_o = np.asarray(opened.store.bundle.array("text_embeddings")[0])
    plain = opened.store.label_scores.score("L1.N20", "+", text_o, "by hand")
    assert plain and f"r {made.pearson}" in scores.told(plain, made).replace("\\", "")
    made, why = scores.of(opened, "member:layer1.N3", "", text)
    assert made is None and "No dictionary here has a concept" in why


def test_a_text_that_is_not_in_the_pool_waits_for_the_live_model(opened: resources.Opened) -> None:
    words = "<i>something</i> that nobody has embedded"
    made, why = scores.of(opened, "L1.N20", "+", words)  # the model is being loaded, or is not there yet
    assert (made is None and "needs the live model" in why) or resources.explainer_status(opened).state == "ready"
    embedding_o = resources.explainer(opened).embed([words])[0]
    made, why = scores.of(opened, "L1.N20", "+", words)
    expected = opened.store.label_scores.score("L1.N20", "+", embedding_o / np.linalg.norm(embedding_o), words)
    assert made and expected and made.pearson.value == pytest.approx(expected.pearson.value, abs=1e-5) and not why


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_and_keeps_the_same_table(opened: resources.Opened, tmp_path: Path) -> None:
    text = opened.store.bundle.table("pool")["text"][2].as_py()
    label(opened, "L1.N20", text)
    label(opened, "L1.N21", "words that only the model knows")
    done = call(["leaderboard", str(opened.folder), "--units", "9", "--quiet", "--csv", str(tmp_path / "table.csv")])
    assert done.code == 0, done.err
    board = kept(facts(opened.folder)["id"], 9)
    assert board is not None and board.unread == 0
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == len(board.rows)
    for row, (_, line) in zip(board.rows, table.iterrows(), strict=True):
        assert (line["kind"], line["method"], line["units"]) == (row.kind, row.method, row.units)
        assert line["pearson"] == pytest.approx(row.pearson.value) and line["f1_high"] == pytest.approx(row.f1.high)
        assert re.search(rf"{re.escape(row.method)} +{row.units} +{re.escape(str(row.pearson))}", done.out), row
    assert "by hand" in done.out and f"neurons: 9 of {board.counts['neuron'][1]}" in done.out


def test_the_command_refuses_with_a_sentence(world: World, tmp_path: Path) -> None:
    refused(["leaderboard", str(tmp_path)], "bundle")
    with pytest.raises(SystemExit):
        call(["leaderboard", str(tmp_path), "--seed", "-1"])


def test_the_pages_data_has_the_numbers(opened: resources.Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(figures, "page_data", lambda data, name: seen.append(data))
    scores_jobs.begin(opened, ()).made.result(60)
    visit(opened, kind="head")
    told = json.loads(figures.to_json(seen[-1]()))
    assert told["leaderboard"]["rows"][0]["pearson"]["low"] <= told["leaderboard"]["rows"][0]["pearson"]["high"]
