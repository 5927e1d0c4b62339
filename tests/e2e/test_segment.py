"""`precompute segment` and the Image page's section Segment, against maps made plainly."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.bundle.read import open_bundle
from core.ids import parse
from core.methods.segmentation_scores import IGNORE, SegmentationCounts, rate
from core.text.classes import load_templates
from pages._ui import resources
from precompute.segment_maps import METHODS
from tests.e2e.plain_case import Case
from tests.e2e.test_image_page import LEVEL, OPACITY, PROMPTS, SEA, WALL, Visit, grid, laid_over, said
from tests.e2e.world import CLASSES, World, call, refused
from tests.reference.plain_heatmap import plain_heatmap
from tests.reference.plain_maps import plain_attentions, plain_grad_cam, plain_stretch
from tests.reference.plain_neurons import plain_neurons
from tests.reference.plain_pool import plain_pool
from tests.reference.plain_run import load_plain
from tests.reference.plain_segmentation import plain_neuron_map, plain_resize, plain_rollout

FILES = ("blue_sea/00.jpg", "blue_sea/01.png", "red_brick/00.jpg", "stripes/02.webp")
TOP = 7
# of pixels at a cut that float32 may put on the other side; a tiny model's maps are smooth
SCORE = 2e-3
RANKED = 1.5e-2  # where a ReLU left zeros, float32 alone ranks the pixels between them
STRETCHED = 2e-4  # maps of [0, 1]: float32 of a difference of small numbers


@dataclass(frozen=True)
class Masked:
    """Some of the world's images, each with a mask of its own size: a block, with a strip that is ignored."""

    folder: Path
    world: World

    def words(self, bundle: Path, *more: object, masks: Path | None = None, images: Path | None = None) -> list[str]:
        words = ["segment", bundle, "--images", images or self.world.images, "--masks", masks or self.folder]
        return [str(word) for word in [*words, "--neurons", TOP, "--quiet", "--torch-threads", 1, *more]]

    def value(self, name: str) -> np.ndarray:
        """What the mask's file holds: 0, 7 on the object, 200 where nobody knows."""
        width, height = Image.open(self.world.images / name).size
        value_yx = np.zeros((height, width), np.uint8)
        value_yx[height // 3 :, : width // 2] = 7
        value_yx[:, -width // 5 :] = 200
        return value_yx


@pytest.fixture(scope="module")
def masked(world: World, tmp_path_factory: pytest.TempPathFactory) -> Masked:
    made = Masked(tmp_path_factory.mktemp("masks"), world)
    for i, name in enumerate(FILES):  # with and without the image's own suffix
        file = made.folder / (f"{name}.png" if i % 2 else f"{name.rsplit('.', 1)[0]}.png")
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(made.value(name)).save(file)
    return made


def truth(value_yx: np.ndarray, side: int, ignore: int | None) -> np.ndarray:
    """The mask as the model sees the picture: the shorter side to `side` by nearest neighbours, then the middle."""
    label_yx = np.where(value_yx == ignore, IGNORE, (value_yx > 0).astype(int))
    height, width = value_yx.shape
    rows, columns = int(side * height / min(height, width)), int(side * width / min(height, width))
    large = np.array([[label_yx[int((y + 0.5) * height / rows), int((x + 0.5) * width / columns)]
                       for x in range(columns)] for y in range(rows)])  # fmt: skip
    top, left = round((rows - side) / 2), round((columns - side) / 2)
    return large[top : top + side, left : left + side]


@dataclass(frozen=True)
class Plain:
    """The maps of every method for the images of `FILES`, by definition."""

    maps: dict[str, list[np.ndarray]]
    side: int

    def counts(self, method: str, truths: list[np.ndarray]) -> SegmentationCounts:
        total = SegmentationCounts()
        for map_yx, truth_yx in zip(self.maps[method], truths, strict=True):
            cut = 0.5 if method.startswith("neurons") else map_yx.mean()
            total += rate(map_yx, truth_yx, map_yx > cut)
        return total


def class_texts(case: Case) -> np.ndarray:
    """(c, o): the mean over templates of unit embeddings, scaled to one."""
    out = []
    for name in CLASSES:
        prompts = [template.replace("{}", name.replace("_", " ")) for template in load_templates("simple")]
        mean_o = np.mean([case.text(prompt) for prompt in prompts], axis=0)
        out.append(mean_o / np.linalg.norm(mean_o))
    return np.array(out)


def plain_activations(visual: torch.nn.Module, pixels: torch.Tensor) -> np.ndarray:
    """(b, t, n) of a ResNet's last map, the mean first."""
    return (plain_pool(visual, pixels).z_btd - visual.attnpool.positional_embedding).double().numpy()


def plainly(world: World, kind: str, bundle_folder: Path) -> Plain:
    files = [world.images / name for name in FILES]
    bundle, case = open_bundle(bundle_folder), Case(world.model(kind), kind, files)
    texts_co, grid_yx = class_texts(case), tuple(case.model.tower.grid)
    analysed = [layer or 0 for layer in bundle.axes["layer"].labels]
    clip, preprocess, _ = load_plain(world.model(kind))
    maps: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    pixels = [preprocess(image)[None] for image in case.images]
    side = pixels[0].shape[-1]
    vit = kind == "vit"
    if vit:
        layers = bundle.axes["neuron_layer"].labels
        active = np.concatenate([plain_neurons(world.model(kind), files, layer).p_itn for layer in layers], axis=2)
    else:
        active = np.concatenate([plain_activations(clip.visual, each) for each in pixels])
    directions_no = np.concatenate(list(np.asarray(bundle.array("neuron_direction"), float)))
    for i, name in enumerate(FILES):
        text_o, made = texts_co[CLASSES.index(name.split("/")[0])], {}
        tokens_ltho = case.tokens_ltho(i)[analysed]
        made["heads"] = plain_heatmap(tokens_ltho, text_o).total_n.reshape(grid_yx)
        made["heads-average"] = plain_heatmap(tokens_ltho, text_o, classes_co=texts_co).total_n.reshape(grid_yx)
        made["grad-cam"] = plain_grad_cam(clip.visual, pixels[i], text_o, vit)
        if vit:
            attn_lhts = plain_attentions(clip.visual, pixels[i])
            made["attention"] = attn_lhts[-1, :, 0, 1:].mean(0).reshape(grid_yx)
            made["rollout"] = plain_rollout(attn_lhts, grid_yx)
        less_o = text_o - texts_co.mean(0)
        made["neurons"] = plain_neuron_map(active[i], directions_no, text_o, TOP, grid_yx)
        made["neurons-average"] = plain_neuron_map(active[i], directions_no, less_o, TOP, grid_yx)
        signs_n = np.sign(directions_no @ text_o)
        made["neurons-signed"] = plain_neuron_map(active[i] * signs_n, directions_no, text_o, TOP, grid_yx)
        for method, map_yx in made.items():
            maps[method].append(plain_stretch(plain_resize(map_yx, (side, side))))
    return Plain(maps, side)


def table(path: Path) -> dict[str, Any]:
    return {row["method"]: row for row in pd.read_csv(path).to_dict("records")}


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_the_table_is_that_of_plain_maps(
    kind: str, masked: Masked, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(f"{kind}_bundle")
    plain = plainly(masked.world, kind, folder)
    for ignore in (200, None):
        more = ["--ignore", ignore] if ignore else []
        done = call(masked.words(folder, "--csv", tmp_path / "it.csv", *more))
        assert done.code == 0, done.err
        truths = [truth(masked.value(name), plain.side, ignore) for name in FILES]
        found = table(tmp_path / "it.csv")
        assert list(found) == [m for m in METHODS if plain.maps[m] or m == "attention"]
        for method, row in found.items():
            assert row["images"] == len(FILES) and row["threshold"] == ("0.5" if "neurons" in method else "mean")
            if not plain.maps[method]:
                continue  # a ResNet's attention is held against plain numbers elsewhere (tests/towers)
            expected = plain.counts(method, truths)
            assert row["pixel_accuracy"] == pytest.approx(expected.pixel_accuracy, abs=SCORE), method
            assert row["mean_iou"] == pytest.approx(expected.mean_iou, abs=SCORE), method
            assert row["mean_precision"] == pytest.approx(
                expected.mean_precision, abs=RANKED if kind == "resnet" and "neurons" in method else SCORE
            ), method
            assert f"{method:<16}{row['pixel_accuracy']:>16.2%}" in done.out
    if kind == "resnet":
        assert "rollout is left out: a ResNet attends once" in done.err


def test_fewer_images_in_larger_batches_and_from_a_table(masked: Masked, vit_bundle: Path, tmp_path: Path) -> None:
    rows = [(name, io.BytesIO()) for name in FILES]
    for name, out in rows:
        Image.fromarray(masked.value(name)).save(out, "PNG")
    stored = pa.table({"path": [name for name, _ in rows], "mask": [out.getvalue() for _, out in rows]})
    pq.write_table(stored, tmp_path / "masks.parquet")
    methods = ["--methods", "heads", "grad-cam", "neurons"]
    told = []
    for i, more in enumerate(([], ["--batch", 1], ["--batch", 2])):
        masks = tmp_path / "masks.parquet" if i else None
        words = masked.words(vit_bundle, *methods, *more, "--csv", tmp_path / f"{i}.csv", masks=masks)
        assert call(words).code == 0
        told.append(pd.read_csv(tmp_path / f"{i}.csv"))
    for other in told[1:]:
        pd.testing.assert_frame_equal(other, told[0], rtol=0, atol=SCORE)
    assert told[0]["method"].tolist() == methods[1:]
    call(masked.words(vit_bundle, *methods, "--limit", 2, "--csv", tmp_path / "few.csv"))
    assert pd.read_csv(tmp_path / "few.csv")["images"].tolist() == [2, 2, 2]
    call(masked.words(vit_bundle, *methods, "--where", "class=BLUE_sea", "--csv", tmp_path / "sea.csv"))
    assert pd.read_csv(tmp_path / "sea.csv")["images"].tolist() == [2, 2, 2]


def test_without_neurons_the_rest_is_scored(masked: Masked, world: World, tmp_path: Path) -> None:
    bundle = call(world.run(tmp_path, "--neuron-layers", "none")).bundle
    done = call(masked.words(bundle, "--methods", "heads", "neurons"))
    assert done.code == 0 and "neurons is left out: this bundle has no neurons." in done.err
    assert "heads  " in done.out and "neurons" not in done.out
    refused(masked.words(bundle, "--methods", "neurons"), "Nothing can be scored", "this bundle has no neurons")


def test_masks_that_do_not_fit_are_named(masked: Masked, vit_bundle: Path, tmp_path: Path) -> None:
    def one(mask: Image.Image | bytes) -> list[str]:
        file = tmp_path / "blue_sea" / "00.png"
        file.parent.mkdir(exist_ok=True)
        if isinstance(mask, bytes):
            file.write_bytes(mask)
        else:
            mask.save(file)
        return masked.words(vit_bundle, "--methods", "heads", masks=tmp_path)

    width, height = Image.open(masked.world.images / FILES[0]).size
    refused(one(Image.new("L", (5, 9))), "00.png", "blue_sea/00.jpg", "5 × 9", f"{width} × {height}")
    refused(one(Image.new("RGB", (width, height))), "00.png", "mode RGB")
    refused(one(b"no picture"), "00.png", "blue_sea/00.jpg", "no PNG")
    refused([*one(Image.fromarray(masked.value(FILES[0]))), "--where", "place=sea"], "no column 'place'")
    refused(masked.words(vit_bundle, masks=tmp_path / "nowhere"), "no masks at")
    (tmp_path / "other").mkdir()
    refused(masked.words(vit_bundle, masks=tmp_path / "other"), "None of the 63 images", "blue_sea/00.png")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    refused(masked.words(vit_bundle, masks=tmp_path / "bad.parquet"), "bad.parquet", "path", "mask")
    pq.write_table(pa.table({"file": ["a"]}), tmp_path / "columns.parquet")
    refused(masked.words(vit_bundle, masks=tmp_path / "columns.parquet"), "columns.parquet", "path", "mask")
    flat = masked.world.images / "stripes"
    refused(masked.words(vit_bundle, images=flat), "no classes")
    nothing = np.full((height, width), 200, np.uint8)
    refused([*one(Image.fromarray(nothing)), "--ignore", "200"], "ignores every pixel")


# --- the page -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def visit(page_case: tuple[Case, resources.Opened]) -> Visit:
    return Visit(*page_case)


def alpha(row: dict[str, Any], of: str) -> np.ndarray:
    picture = Image.open(io.BytesIO(base64.b64decode(row[of].partition(",")[2])))
    return np.asarray(picture)[..., 3]


def check_mask(app: AppTest, unit_yx: np.ndarray, cut: float, downloaded: list[bytes]) -> None:
    """Drawn mask, cut-out, download and what is said, against a stretched map; at the cut either side will do."""
    mask_yx, sure_yx = unit_yx > cut, np.abs(unit_yx - cut) > STRETCHED
    _, drawn, cut_out = grid(app, "image-segment")
    pixels = np.asarray(Image.open(io.BytesIO(downloaded[-1])))
    assert pixels.shape == mask_yx.shape and set(np.unique(pixels)) <= {0, 255}
    assert ((pixels == 255) == mask_yx)[sure_yx].all() and sure_yx.mean() > 0.98
    assert ((alpha(cut_out, "src") == 255) == (pixels == 255)).all()
    tint = alpha(drawn, "overlay")
    times = tint.shape[0] // pixels.shape[0]
    np.testing.assert_array_equal(tint[::times, ::times], np.where(pixels == 255, round(255 * OPACITY), 0))
    assert f"mask, {(pixels == 255).mean():.1%} of the picture" == drawn["caption"]


def test_the_section_by_heads(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    downloaded = captured(monkeypatch)
    grid_yx, side = (
        tuple(visit.case.model.tower.grid),
        visit.case.explainer.read(visit.case.images[0]).view_yx3.shape[0],
    )
    classes_co = visit.bundle.array("class_embeddings").astype(float)
    for averaged in (False, True):
        app = visit.open("segment", text=SEA, cut="mean", averaged=str(averaged))
        analysed = [layer or 0 for layer in visit.bundle.axes["layer"].labels]
        how: dict[str, Any] = {"classes_co": classes_co} if averaged else {}
        total_yx = plain_heatmap(visit.tokens_ltho[analysed], visit.texts[SEA], **how).total_n.reshape(grid_yx)
        heatmap = laid_over(grid(app, "image-segment")[0], grid_yx)
        np.testing.assert_allclose(heatmap, OPACITY * total_yx / np.abs(total_yx).max(), rtol=0, atol=LEVEL)
        unit_yx = plain_stretch(plain_resize(total_yx, (side, side)))
        check_mask(app, unit_yx, unit_yx.mean(), downloaded)
        assert f"cut at its mean, {unit_yx.mean():.2f}" in said(app)
        assert ("classes' average" in said(app)) == averaged


def test_the_section_by_neurons(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    downloaded = captured(monkeypatch)
    layers, grid_yx = visit.bundle.axes["neuron_layer"].labels, tuple(visit.case.model.tower.grid)
    if visit.case.kind == "vit":
        runs = [plain_neurons(visit.case.folder, visit.case.files, layer) for layer in layers]
        active = np.concatenate([run.p_itn[0] for run in runs], axis=1)
    else:
        clip, preprocess, _ = load_plain(visit.case.folder)
        active = plain_activations(clip.visual, preprocess(visit.case.images[0])[None])[0]
    directions_no = np.concatenate(list(np.asarray(visit.bundle.array("neuron_direction"), float)))
    side = visit.case.explainer.read(visit.case.images[0]).view_yx3.shape[0]
    average_o = visit.bundle.array("class_embeddings").astype(float).mean(0)
    for averaged in (False, True):
        told = {"text": WALL, "segment": "neurons", "top": "10", "cut": "0.35", "averaged": str(averaged)}
        app = visit.open("segment", **told)
        text_o = visit.texts[WALL] - (average_o if averaged else 0)
        map_yx = plain_neuron_map(active, directions_no, text_o, 10, grid_yx)
        heatmap = laid_over(grid(app, "image-segment")[0], grid_yx)
        np.testing.assert_allclose(heatmap, OPACITY * map_yx / np.abs(map_yx).max(), rtol=0, atol=LEVEL)
        check_mask(app, plain_stretch(plain_resize(map_yx, (side, side))), 0.35, downloaded)
        assert "of the 10 neurons whose direction" in said(app) and "cut at 0.35" in said(app)
        named = [each.proto for each in app.get("bidi_component") if each.proto.id.endswith("-image-segment-neurons")]
        rows = json.loads(named[0].json)["rows"]
        values = sorted(map(abs, directions_no @ text_o), reverse=True)[:10]
        np.testing.assert_allclose([abs(row["values"][2]) for row in rows], values, rtol=0, atol=1e-5)
        unit = parse(rows[0]["values"][0])
        row = layers.index(unit.layer) * visit.opened.store.neurons.neurons + unit.neuron
        assert directions_no[row] @ text_o == pytest.approx(rows[0]["values"][2], abs=1e-5)
        assert f"neuron={rows[0]['values'][0]}" in rows[0]["href"]
        for name, value in told.items():  # the address stays the permalink of what is shown
            assert "".join(app.query_params[name]) == value


def test_a_link_that_asks_for_what_cannot_be(visit: Visit) -> None:
    app = AppTest.from_function(_page, default_timeout=60)
    told = {"bundle": visit.opened.name, "image": "3", "tab": "segment", "cut": "2", "top": "7", "segment": "magic"}
    app.query_params.update(told | {"prompts": list(PROMPTS)})
    app.run()
    assert not app.exception and "segment, cut and top cannot be shown" in app.info[0].value
    assert len(grid(app, "image-segment")) == 3


def _page() -> None:
    from pages import image
    from pages._ui import states

    with states.calm():
        image.main()


def captured(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the button for the mask would give, run by run."""
    out: list[bytes] = []
    button = st.download_button

    def press(label: str, data: Any, **more: Any) -> Any:
        if label == "Mask (PNG)":
            out.append(data())
        return button(label, data=data, **more)

    monkeypatch.setattr(st, "download_button", press)
    return out
