"""What the Image page shows, read back from its elements, against the same numbers written out plainly."""

import base64
import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages._ui import live, resources, uploads
from tests.e2e.plain_case import SHOWN, Case
from tests.e2e.test_explain import FP32, _Pretend
from tests.hostile import animation, bomb_png, encode, noise
from tests.reference.plain_heatmap import PlainHeatmap, plain_heatmap

WALL, SEA, ARABIC = PROMPTS = ("a red wall", "the blue sea", "\u200fكلب على الشاطئ")
IMAGE = SHOWN
OPACITY = 0.8
LEVEL = 1.5 / 255  # of an overlay: its own rounding, and that of fp32 numbers close to a half


def _page() -> None:
    from pages import image
    from pages._ui import states

    with states.calm():
        image.main()


class Visit:
    """The page over one bundle, and what is true of its image `IMAGE`, whose thumbnail the model is shown."""

    def __init__(self, case: Case, opened: resources.Opened) -> None:
        self.case, self.opened, self.bundle = case, opened, opened.store.bundle
        self.tokens_ltho = case.tokens_ltho(0)
        self.unit_o = case.plain.unit_no[0]
        self.texts = {prompt: case.text(" ".join(prompt.split())) for prompt in PROMPTS}

    def open(self, tab: str, **query: str) -> AppTest:
        app = AppTest.from_function(_page, default_timeout=60)
        told = {"bundle": self.opened.name, "image": str(IMAGE), "tab": tab, "prompts": list(PROMPTS)} | query
        app.query_params.update(told)
        app.run()
        assert not app.exception and not app.error and not app.warning
        return app

    def map(self, text: str = WALL, **how: Any) -> PlainHeatmap:
        return plain_heatmap(self.tokens_ltho, self.texts[text], **how)


@pytest.fixture(scope="module")
def visit(page_case: tuple[Case, resources.Opened]) -> Visit:
    return Visit(*page_case)


def said(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.warning)
    return "\n".join(str(each.value) for kind in kinds for each in kind).replace("\\", "")


def grid(app: AppTest, key: str) -> list[dict[str, Any]]:
    """The rows that the page gave to a grid."""
    found = [each.proto for each in app.get("bidi_component") if each.proto.id.endswith(f"-{key}")]
    return json.loads(found[0].json)["rows"]


def figure(app: AppTest) -> dict[str, Any]:
    """The data of the page's one figure, arrays as lists."""
    plain = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]
    return {name: _decoded(value) for name, value in plain.items()}


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict) or "bdata" not in value:
        return value
    array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    return array.reshape([int(n) for n in value["shape"].split(",")]) if "shape" in value else array


def laid_over(row: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """The signed strength, in [-1, 1], of each patch of an overlay."""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["overlay"].partition(",")[2])))).astype(float)
    y, x = ((np.arange(n) + 0.5) * side / n for n, side in zip(shape, pixels.shape, strict=False))
    patches = pixels[np.ix_(y.astype(int), x.astype(int))]
    return np.where(patches[..., 2] > patches[..., 0], 1, -1) * patches[..., 3] / 255


def test_scores(visit: Visit) -> None:
    cosine_w = np.array([visit.texts[prompt] @ visit.unit_o for prompt in PROMPTS])
    odds_w = np.exp(cosine_w * float(visit.case.model.clip.logit_scale.exp()))
    for scale, values_w in (("cosine", cosine_w), ("softmax", odds_w / odds_w.sum())):
        app = visit.open("scores", scale=scale)
        shown = app.dataframe[0].value
        assert shown["prompt"].tolist() == list(PROMPTS)
        np.testing.assert_allclose(shown["cosine"], cosine_w, rtol=0, atol=FP32)
        np.testing.assert_allclose(shown["probability"], odds_w / odds_w.sum(), rtol=1e-4)
        np.testing.assert_allclose(figure(app)["x"], np.sort(values_w), rtol=1e-4, atol=FP32)
        assert f": cosine {cosine_w.max():+.4f}, {odds_w.max() / odds_w.sum():.2%} by the softmax" in said(app)
    stored = visit.bundle.array("representations")[IMAGE].astype(float)
    assert f"cosine of {stored @ visit.unit_o:.4f}" in said(app)


@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("kind", ["text", "contrast", "averaged"])
def test_where(visit: Visit, kind: str, per_layer: bool) -> None:
    classes_co = visit.bundle.array("class_embeddings").astype(float)
    query = {"contrast": {"against": SEA}, "averaged": {"averaged": "True"}}.get(kind, {})
    how = {"contrast": {"against_o": visit.texts[SEA]}, "averaged": {"classes_co": classes_co}}.get(kind, {})
    app = visit.open("where", text=WALL, normalise="per-layer" if per_layer else "raw", **query)
    plain = visit.map(per_layer=per_layer, **how)
    grid_yx = tuple(visit.case.model.tower.grid)
    total_yx = plain.total_n.reshape(grid_yx)
    shown = laid_over(grid(app, "image-where")[0], grid_yx)
    np.testing.assert_allclose(shown, OPACITY * total_yx / np.abs(total_yx).max(), rtol=0, atol=LEVEL)
    if len(plain.layer_ln) > 1:
        largest = np.abs(plain.layer_ln).max()
        for row, layer_n in zip(grid(app, "image-layers"), plain.layer_ln, strict=True):
            expected = OPACITY * layer_n.reshape(grid_yx) / largest
            np.testing.assert_allclose(laid_over(row, grid_yx), expected, rtol=0, atol=LEVEL)
    what = {"contrast": "difference of the two cosines", "averaged": "cosine less the classes' average"}
    own, patches = np.abs(plain.class_token_lh).sum(), np.abs(plain.head_lhn).sum()
    assert f"add **{plain.score:+.4f}** to the {what.get(kind, 'cosine')}" in said(app)
    assert f"**{own / (own + patches):.1%}** of their absolute sum stays with the class token" in said(app)
    assert f"+{np.abs(total_yx).max():.2g}<" in app.get("html")[0].proto.body


def test_budget(visit: Visit) -> None:
    app, plain, text_o = visit.open("budget", text=WALL), visit.case.plain, visit.texts[WALL]
    shown = dict(app.dataframe[0].value[["name", "value"]].itertuples(index=False))
    numbers = visit.opened.store.facts().layers
    expected = {name: float(part[0] @ text_o) for name, part in plain.parts.items() if not name.startswith("att")}
    for layer, head in np.ndindex(*plain.heads_nlho.shape[1:3]):
        address = f"H{head}" if numbers == (None,) else f"L{layer}.H{head}"
        expected[address] = float(plain.heads_nlho[0, layer, head] @ text_o)
    for layer in range(plain.heads_nlho.shape[1]):
        rest = plain.parts[f"attention L{layer}"][0] - plain.heads_nlho[0, layer].sum(0)
        expected["bias" if numbers == (None,) else f"bias L{layer}"] = float(rest @ text_o)
    assert shown.keys() == expected.keys()
    for name, value in expected.items():
        assert shown[name] == pytest.approx(value, abs=FP32), name
    total, cosine, residual = (metric.value for metric in app.metric)
    assert float(total) == pytest.approx(sum(expected.values()), abs=1e-5)
    assert float(cosine) == pytest.approx(text_o @ visit.unit_o, abs=1e-5)
    assert abs(float(residual)) < 5e-6 and float(residual) == pytest.approx(
        sum(shown.values()) - text_o @ visit.unit_o, abs=FP32
    )
    drawn = figure(app)
    assert drawn["x"][-1] == "sum" and drawn["y"][-1] == pytest.approx(float(total), abs=1e-5)
    assert sum(drawn["y"][:-1]) == pytest.approx(drawn["y"][-1], abs=1e-9)


@pytest.mark.parametrize("own", [False, True])
def test_heads(visit: Visit, own: bool) -> None:
    app, plain = visit.open("heads", text=WALL, own=str(own)), visit.map()
    numbers = visit.opened.store.facts().layers
    value_lh = plain.head_lhn.sum(-1) + plain.class_token_lh
    flat = sorted(((value_lh[at], at) for at in np.ndindex(value_lh.shape)), reverse=True)
    rows, grid_yx = grid(app, "image-heads"), tuple(visit.case.model.tower.grid)
    labels = {head.address: head.label for head in visit.opened.store.heads()}
    assert len(rows) == len(flat) == len(labels)
    for row, (value, (layer, head)) in zip(rows, flat, strict=True):
        address = f"H{head}" if numbers == (None,) else f"L{numbers[layer]}.H{head}"
        assert row["caption"] == f"{address} {value:+.3f}\n{labels[address]}"
        map_n = plain.head_lhn[layer, head]
        expected = OPACITY * map_n.reshape(grid_yx) / np.abs(map_n if own else plain.head_lhn).max()
        np.testing.assert_allclose(laid_over(row, grid_yx), expected, rtol=0, atol=LEVEL)
    assert f"and adds **{flat[0][0]:+.4f}** to the cosine" in said(app)
    assert ("Each map has its own scale" if own else f"One scale for all {len(rows)} maps") in said(app)
    link = app.get("page_link")[0].proto
    assert (
        link.page == "heads" and f"image={IMAGE}" in link.query_string and rows[0]["caption"].split()[0] in link.label
    )


def test_tokens(visit: Visit) -> None:
    app, plain = visit.open("tokens", text=SEA), visit.map(SEA)
    score_lht = np.concatenate([plain.class_token_lh[..., None], plain.head_lhn], axis=-1)
    drawn = figure(app)
    np.testing.assert_allclose(drawn["z"], score_lht.reshape(-1, score_lht.shape[-1]), rtol=0, atol=FP32)
    assert drawn["y"] == [head.address for head in visit.opened.store.heads()]
    assert drawn["zmax"] == -drawn["zmin"] == pytest.approx(np.abs(plain.head_lhn).max(), abs=FP32)
    assert f"carries {np.abs(score_lht[..., 0]).sum() / np.abs(score_lht).sum():.1%} of" in said(app)


def test_similar(visit: Visit) -> None:
    app = visit.open("similar")
    units_no = visit.bundle.array("representations").astype(float)
    usable = [n for n in range(len(units_no)) if visit.opened.store.image(n).ok and n != IMAGE]
    cosines = {n: float(units_no[n] @ units_no[IMAGE]) for n in usable}
    nearest = sorted(usable, key=lambda n: -cosines[n])[:24]
    rows = grid(app, "image-similar")
    assert len(rows) == 24 and f"of {len(usable) + 1} images" in said(app)
    # the index is in half precision: ties within it may come in another order
    np.testing.assert_allclose([cosines[row["id"]] for row in rows], [cosines[n] for n in nearest], atol=2e-3)
    for row in rows:
        cosine, _, label = row["caption"].partition(" ")
        assert float(cosine) == pytest.approx(cosines[row["id"]], abs=2e-3)
        assert label == visit.opened.store.image(row["id"]).label.replace("_", " ")


def take(app: AppTest, name: str, data: bytes) -> AppTest:
    app.file_uploader[0].upload(name, data, "image/png").run()
    assert not app.exception and not app.error
    return app


def test_an_upload_is_read_like_any_image(visit: Visit) -> None:
    picture = noise(40, 40, seed=5)
    app = take(visit.open("similar"), "mine.png", encode(picture, "PNG"))
    assert "Your upload, 40 × 40 px" in said(app)
    unit_o = visit.case.explainer.read(picture).unit_o.astype(float)
    units_no = visit.bundle.array("representations").astype(float)
    best = max(units_no @ unit_o)
    assert float(grid(app, "image-similar")[0]["caption"].split()[0]) == pytest.approx(best, abs=2e-3)


def test_of_an_animation_the_first_frame_is_taken(visit: Visit) -> None:
    app = take(visit.open("scores"), "moves.gif", animation("GIF"))
    assert "Your upload, 20 × 10 px" in said(app) and not app.warning
    shown = Image.open(io.BytesIO(base64.b64decode(grid(app, "image-itself")[0]["src"].partition(",")[2])))
    red, green, blue = np.asarray(shown.convert("RGB")).reshape(-1, 3).mean(0)
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("bomb.png", bomb_png, "24,000,000"),
        ("huge.bmp", lambda: bytes(uploads.POLICY.max_bytes + 1), "MB|MiB|bytes"),
        ("words.png", lambda: b"<script>alert(1)</script>" * 9, "image"),
        ("empty.png", lambda: b"", "no bytes"),
    ],
)
def test_a_hostile_upload_gets_a_sentence_and_the_page_stays(
    visit: Visit, name: str, make: Callable[[], bytes], told: str
) -> None:
    app = take(visit.open("scores"), name, make())
    assert "This file cannot be used" in app.warning[0].value and re.search(told, app.warning[0].value)
    assert "upload" not in app.query_params and len(app.dataframe) == 1


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 10_000, "a\0b"])
def test_prompts_that_cannot_be_asked_leave_those_before(visit: Visit, text: str) -> None:
    app = visit.open("scores")
    app.text_area[0].set_value(text).run()
    assert not app.exception and not app.error and "are still shown" in app.warning[0].value
    assert app.dataframe[0].value["prompt"].tolist() == list(PROMPTS)


@pytest.mark.parametrize("tab", ["scores", "where", "budget", "heads", "tokens", "similar"])
def test_a_right_to_left_prompt_goes_through_every_section(visit: Visit, tab: str) -> None:
    app = visit.open(tab, prompts=ARABIC)
    assert app.text_area[0].value == ARABIC


def paste(app: AppTest, text: str) -> AppTest:
    app.text_input[0].set_value(text).run()
    assert not app.exception and not app.error
    return app


def test_a_pasted_address_picks_its_image(visit: Visit) -> None:
    for text in (f"/image?bundle={visit.opened.name}&image=20", f"/b/{visit.opened.name}/t/20", "heads?image=20"):
        app = paste(visit.open("scores"), text)
        assert "".join(app.query_params["image"]) == "20" and "Image 20 of the bundle" in said(app) and not app.warning
    bad = next(n for n in range(54) if not visit.opened.store.image(n).ok)
    for text, told in (
        ("https://elsewhere.example/cat.jpg", "Nothing is fetched"),
        ("/image?image=99999", "no image 99999"),
        (f"/image?image={bad}", "could not be used"),
        ("/image?bundle=another&image=1", "not in the folder"),
        (f"/image?upload={'a' * 32}", "upload is not here"),
    ):
        app = paste(visit.open("scores"), text)
        assert told in app.warning[0].value.replace("\\", "") and "".join(app.query_params["image"]) == str(IMAGE)


def test_while_the_model_loads_everything_else_is_there(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    for status in (live.Status("loading", seconds=2.0), live.Status("failed", "It has other weights.")):
        monkeypatch.setattr(resources, "explainer_status", lambda _opened, status=status: status)
        app = AppTest.from_function(_page, default_timeout=60)
        app.query_params.update({"bundle": visit.opened.name, "image": str(IMAGE), "tab": "budget"})
        app.run()
        assert not app.exception and not app.error and not app.metric
        assert grid(app, "image-itself")[0]["src"] and app.file_uploader and app.text_area[0].value
        if status.state == "loading":
            assert "Loading the model" in app.get("status")[0].label and not app.warning
        else:
            assert "It has other weights." in app.warning[0].value.replace("\\", "")
        assert len(grid(visit.open("similar"), "image-similar")) == 24


def test_when_the_gpu_is_full_the_page_goes_on_on_the_cpu_and_says_so(visit: Visit) -> None:
    explainer = resources.explainer(visit.opened)
    before = visit.open("budget", text=WALL).dataframe[0].value
    on_cpu = explainer.model
    explainer._traces.clear()
    explainer.model = _Pretend(on_cpu)
    try:
        app = AppTest.from_function(_page, default_timeout=60)
        told = {"bundle": visit.opened.name, "image": str(IMAGE), "tab": "budget", "text": WALL}
        app.query_params.update(told | {"prompts": list(PROMPTS)})
        app.run()
        assert not app.exception and not app.error
        assert "ran out of memory" in app.warning[0].value and explainer.model.device.type == "cpu"
        assert app.dataframe[0].value.equals(before)
    finally:
        explainer.model, explainer.notice = on_cpu, None
