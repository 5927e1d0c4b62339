"""`precompute semantic` and the Image page's section Semantic, against every pixel's class worked out plainly."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.bundle.read import Bundle, open_bundle
from core.text.classes import load_templates
from pages._ui import image_semantic, resources
from tests.e2e.plain_case import Case
from tests.e2e.test_image_page import PROMPTS, SEA, WALL, Visit, said
from tests.e2e.world import World, call, refused
from tests.reference import plain_pair_segmentation as plain
from tests.reference.plain_attention import pool_contributions
from tests.reference.plain_run import PlainTexts, load_plain
from tests.reference.plain_segmentation import plain_resize

FILES = ("blue_sea/00.jpg", "red_brick/01.png", "stripes/02.webp")
NAMES = {3: "blue sea", 7: "red brick", 200: "stripes"}
IGNORE = 9
PAIRS, NEURONS = 40, 11
SIDE, STRIDE = 64, 32  # of the tiny ResNet's windows
SURE = 1e-4  # of the largest logit: closer classes may change places in float32


@dataclass(frozen=True)
class Labelled:
    """Some of the world's images, each with a label map of its own size: blocks of ids, a strip that is ignored."""

    folder: Path
    world: World

    def words(self, bundle: Path, *more: object) -> list[str]:
        words = ["semantic", bundle, "--images", self.folder, "--ignore", IGNORE, "--pairs", PAIRS]
        return [str(word) for word in [*words, "--neurons", NEURONS, "--quiet", "--torch-threads", 1, *more]]

    def ids(self, name: str) -> np.ndarray:
        width, height = Image.open(self.world.images / name).size
        id_yx = np.full((height, width), 3, np.uint8)
        id_yx[height // 3 :] = 7
        id_yx[:, width // 2 :] = 200
        id_yx[-height // 5 :] = IGNORE
        return id_yx

    def truth(self, name: str) -> np.ndarray:
        id_yx = self.ids(name)
        return np.select([id_yx == key for key in NAMES], range(len(NAMES)), -1)


@pytest.fixture(scope="module")
def labelled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    made = Labelled(tmp_path_factory.mktemp("scenes"), world)
    for i, name in enumerate(FILES):  # grey and palette, with and without the image's own suffix
        image, labels = made.folder / "images" / name, made.folder / "labels" / name
        for file in (image, labels):
            file.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes((world.images / name).read_bytes())
        picture = Image.fromarray(made.ids(name), "P" if i == 1 else "L")
        if i == 1:
            picture.putpalette(range(256))
        picture.save(f"{labels}.png" if i else labels.with_suffix(".png"))
    (made.folder / "images" / "without.png").write_bytes((world.images / FILES[1]).read_bytes())
    lines = ["3\tblue sea", f"{IGNORE}: nobody knows", "7: red  brick", "", "200,stripes"]
    (made.folder / "classes.txt").write_text("\n".join(lines) + "\n")
    return made


class Plain:
    """Logits of windows by every method, from the attention pool written out."""

    def __init__(
        self, world: World, bundle_folder: Path, texts_wo: np.ndarray, pairs: int, neurons: int,
        zeroed: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        self.zeroed = zeroed
        clip, _, _ = load_plain(world.model("resnet"))
        self.visual, self.texts_wo = clip.visual.double(), texts_wo
        self.query_wo = plain.plain_query(texts_wo)
        bundle = open_bundle(bundle_folder)
        basis_mok, coords_nmk = (np.asarray(bundle.array(f"pair_{name}"), float) for name in ("basis", "coords"))
        direction_nmo = np.einsum("mok,nmk->nmo", basis_mok, coords_nmk[0])
        self.pairs = [plain.plain_choice(direction_nmo, query_o, pairs) for query_o in self.query_wo]
        along_wn = self.query_wo @ np.asarray(bundle.array("neuron_direction"), float)[0].T
        self.neurons = [np.argsort(-along_n)[:neurons].tolist() for along_n in along_wn]

    @torch.no_grad()
    def logits(self, window_cyx: np.ndarray) -> dict[str, np.ndarray]:
        seen: list[torch.Tensor] = []
        pool = self.visual.attnpool
        handle = pool.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
        self.visual(torch.from_numpy(window_cyx)[None])
        handle.remove()
        map_bchw = seen[0]
        map_bchw[:, list(self.zeroed)] = 0
        grid, tokens = map_bchw.shape[-2:], map_bchw.flatten(2).transpose(1, 2)
        z_btd = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + pool.positional_embedding
        # the cosine of what a head writes at a token does not depend on its attention
        written = pool_contributions(pool, map_bchw)
        seen_by = written.norm(dim=-1, keepdim=True)
        c_yxmo = plain.plain_repair((written / seen_by)[0, 1:].reshape(*grid, *written.shape[2:]).numpy())
        # the repaired place is a mean of vectors at their own lengths, attention aside
        value = pool.v_proj(z_btd).unflatten(-1, (pool.num_heads, -1))
        even = torch.einsum("bthk,ohk->btho", value, pool.c_proj.weight.unflatten(-1, (pool.num_heads, -1)))
        c_yxmo[-1, -1] = plain.plain_repair(even[0, 1:].reshape(*grid, *even.shape[2:]).numpy())[-1, -1]
        a_yxn = plain.plain_repair(map_bchw[0].permute(1, 2, 0).numpy())
        v_yxo = pool.c_proj(pool.v_proj(z_btd))[0, 1:].reshape(*grid, -1).numpy()
        texts = list(enumerate(self.query_wo))
        return {
            "pairs": np.array([plain.plain_pair_logits(c_yxmo, a_yxn, q, self.pairs[w]) for w, q in texts]),
            "heads": np.array([plain.plain_head_logits(c_yxmo, q) for _, q in texts]),
            "neurons": np.array([plain.plain_neuron_logits(a_yxn, self.neurons[w]) for w, _ in texts]),
            "maskclip": np.array([[[plain.plain_cosine(v, t) for v in row] for row in v_yxo] for t in self.texts_wo]),
        }

    def slide(self, picture: Image.Image, short_side: int) -> dict[str, np.ndarray]:
        """Logits (w, y, x) at the size that windows slide over."""
        size = [int(short_side * side / min(picture.size)) for side in picture.size]
        resized = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.25, 0.2, 0.3])  # as saved with the model
        image_cyx = ((np.asarray(resized) / 255 - mean) / std).transpose(2, 0, 1)
        names = ("pairs", "heads", "neurons", "maskclip")
        stacked = lambda window: np.concatenate([self.logits(window)[name] for name in names])
        parts = np.split(plain.plain_slide(image_cyx, SIDE, STRIDE, stacked), len(names))
        return dict(zip(names, parts, strict=True))


def test_the_table_is_that_of_plain_maps(labelled: Labelled, resnet_bundle: Path, tmp_path: Path) -> None:
    texts = PlainTexts(labelled.world.model("resnet"))
    prompts = lambda name: [template.replace("{}", name) for template in load_templates("simple")]
    means = np.array([texts.encode_texts(prompts(name)).astype(float).mean(0) for name in NAMES.values()])
    texts_wo = means / np.linalg.norm(means, axis=1, keepdims=True)
    plainly = Plain(labelled.world, resnet_bundle, texts_wo, PAIRS, NEURONS)
    done = call(labelled.words(resnet_bundle, "--short-side", "code", "--csv", tmp_path / "scores.csv"))
    assert done.code == 0 and "1 images have no label map, such as without.png" in done.err
    told = pd.read_csv(tmp_path / "scores.csv")
    truths = [labelled.truth(name) for name in FILES]
    drawn: dict[str, list[np.ndarray]] = {}
    for name, truth_yx in zip(FILES, truths, strict=True):
        for method, logits_wyx in plainly.slide(Image.open(labelled.world.images / name).convert("RGB"), SIDE).items():
            drawn.setdefault(method, []).append(np.array([plain_resize(one, truth_yx.shape) for one in logits_wyx]))
    for method, logits in drawn.items():
        given = [logits_wyx.argmax(0) for logits_wyx in logits]
        unsure = np.concatenate(
            [np.diff(np.sort(x, axis=0)[-2:], axis=0).ravel() < SURE * np.abs(x).max() for x in logits]
        )
        miou, accuracy = plain.plain_miou(truths, given, len(NAMES))
        total = told[(told["method"] == method) & told["class"].isna()].iloc[0]
        # each doubtful pixel may be counted otherwise, in the union of two classes; and JPEG is decoded alike
        slack = unsure.sum() / sum((truth_yx == truth_yx[0, 0]).sum() for truth_yx in truths) + 1e-9
        assert total["iou"] == pytest.approx(miou, abs=2 * slack), method
        assert total["pixel_accuracy"] == pytest.approx(accuracy, abs=slack), method
        assert unsure.mean() < 0.01 and total["images"] == 3
    assert told["class"].dropna().tolist() == [*NAMES.values()] * 4
    assert re.search(r"short side 64, windows of 64, every 32", done.out)


def test_what_is_asked_for_changes_the_answer(labelled: Labelled, resnet_bundle: Path, tmp_path: Path) -> None:
    def scores(*more: object) -> list[float]:
        done = call(labelled.words(resnet_bundle, "--methods", "pairs", "--csv", tmp_path / "s.csv", *more))
        assert done.code == 0, done.err
        return pd.read_csv(tmp_path / "s.csv")["iou"].tolist()

    start = scores()
    others = {
        words: scores(*words)
        for words in (
            ("--sink", "none"),
            ("--layernorm", "equal"),
            ("--short-side", "96"),
            ("--stride", "11"),
            ("--crop", "48"),
            ("--pairs", "3"),
        )
    }
    assert start == scores("--sink", "last", "--stride", "32", "--crop", "64", "--short-side", "85")
    assert [words for words, found in others.items() if found == start] == []
    present = call(labelled.words(resnet_bundle, "--methods", "heads", "--present", "--limit", 2))
    assert present.code == 0 and re.search(r"heads .* 2\n", present.out)


def test_registers_from_the_command_line(labelled: Labelled, resnet_bundle: Path, ranked: None, tmp_path: Path) -> None:
    told = []
    for zeroed in (0, 50):
        words = labelled.words(resnet_bundle, "--zero-registers", zeroed, "--csv", tmp_path / "s.csv")
        assert call(words).code == 0
        told.append(pd.read_csv(tmp_path / "s.csv").groupby("method")["iou"].first())
    assert (told[0] != told[1]).all()


def test_a_vit_goes_through_as_well(labelled: Labelled, vit_bundle: Path, tmp_path: Path) -> None:
    done = call(labelled.words(vit_bundle, "--csv", tmp_path / "s.csv"))
    assert done.code == 0, done.err
    told = pd.read_csv(tmp_path / "s.csv")
    assert told["method"].nunique() == 4 and np.isfinite(told["iou"]).all()
    refused(labelled.words(vit_bundle, "--zero-registers", 3), "no list of register neurons")
    refused(labelled.words(vit_bundle, "--sink", "measured"), "was not measured")


def test_folders_that_do_not_fit_are_named(labelled: Labelled, resnet_bundle: Path, tmp_path: Path) -> None:
    def run(*more: object) -> list[str]:
        return labelled.words(resnet_bundle, "--methods", "heads", *more)

    def label(picture: Image.Image | bytes) -> list[str]:
        file = tmp_path / "labels" / "blue_sea" / "00.png"
        file.parent.mkdir(exist_ok=True, parents=True)
        if isinstance(picture, bytes):
            file.write_bytes(picture)
        else:
            picture.save(file)
        return run("--labels", tmp_path / "labels")

    def classes(text: str | bytes) -> list[str]:
        (tmp_path / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        return run("--classes", tmp_path / "list.txt")

    width, height = Image.open(labelled.world.images / FILES[0]).size
    refused(label(Image.new("L", (5, 9))), "00.png", "blue_sea/00.jpg", "5 × 9", f"{width} × {height}")
    refused(label(Image.new("RGB", (width, height))), "00.png", "mode RGB")
    refused(label(Image.new("L", (width, height), 77)), "00.png", "77", "--ignore 77")
    refused(label(b"no picture"), "00.png", "no PNG")
    refused(run("--labels", tmp_path / "nowhere"), "no folder of label maps")
    (tmp_path / "empty").mkdir()
    refused(run("--labels", tmp_path / "empty"), "None of the", "blue_sea/00.png")
    refused(run("--classes", tmp_path / "nowhere"), "no list of classes")
    refused(classes("3\tblue sea\n"), "lists 1 class", "blue sea")
    refused(classes(""), "lists 0 classes")
    refused(classes("3\tblue sea\nred brick\n"), "Line 2")
    refused(classes("3\tblue sea\n4\tblue  sea\n"), "Line 2", "repeats 4")
    refused(classes(b"3\t\xff\xfe"), "cannot be read")
    refused(run("--csv", tmp_path), "cannot be written")
    refused(labelled.words(resnet_bundle, "--pairs", 10**8), "pairs a class were asked for")


def test_without_neurons_the_rest_is_scored(labelled: Labelled, world: World, tmp_path: Path) -> None:
    bundle = call(world.run(tmp_path, "--neuron-layers", "none")).bundle
    done = call(labelled.words(bundle))
    assert done.code == 0 and "pairs and neurons cannot be had" in done.err
    assert "heads  " in done.out and "maskclip" in done.out and "neurons" not in done.out
    refused(labelled.words(bundle, "--methods", "pairs"), "Nothing can be scored", "no neurons")


# --- the page -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def visit(page_case: tuple[Case, resources.Opened]) -> Visit:
    return Visit(*page_case)


def downloads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the button for the label map would give, run by run."""
    out: list[bytes] = []
    button = st.download_button

    def press(label: str, data: Any, **more: Any) -> Any:
        if label.startswith("Label map"):
            out.append(data())
        return button(label, data=data, **more)

    monkeypatch.setattr(st, "download_button", press)
    return out


def pictures(app: AppTest) -> list[np.ndarray]:
    """The pictures drawn, decoded."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', "".join(each.proto.body for each in app.get("html")))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(float) for data in found]


def test_the_section_gives_each_pixel_its_class(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    downloaded = downloads(monkeypatch)
    app = visit.open("semantic", size="code")
    labels = np.asarray(Image.open(io.BytesIO(downloaded[-1]))).astype(int) - 1
    legend = next(each.proto.body for each in app.get("html") if "border-radius: 3px" in each.proto.body)
    for c, prompt in enumerate(PROMPTS):
        assert f"<bdi>{prompt}</bdi>" in legend and image_semantic.PALETTE[c] in legend
        assert f"{(labels == c).mean():.1%}" in legend
    over, plain_picture = pictures(app)
    times = over.shape[0] // labels.shape[0]
    assert over.shape == plain_picture.shape == (labels.shape[0] * times, labels.shape[1] * times, 3)
    if visit.case.kind != "resnet":
        return
    texts_wo = np.array([visit.texts[prompt] for prompt in PROMPTS])
    bundle = visit.opened.store.bundle
    pairs = round(20_000 / 262_144 * bundle.array("pair_length").size)
    neurons = round(20_000 / 262_144 * bundle.array("neuron_direction").shape[1])
    world = World(visit.case.folder.parent)
    made = Plain(world, visit.opened.folder, texts_wo, pairs, neurons).slide(visit.case.images[0], SIDE)
    for method, logits_wyx in made.items():
        visit.open("semantic", size="code", method=method)
        labels = np.asarray(Image.open(io.BytesIO(downloaded[-1]))).astype(int) - 1
        sure = np.diff(np.sort(logits_wyx, axis=0)[-2:], axis=0)[0] > SURE * np.abs(logits_wyx).max()
        assert (labels == logits_wyx.argmax(0))[sure].all() and sure.mean() > 0.98, method
    assert f"The {pairs:,} neuron–head pairs" in said(app)


REGISTERS = np.arange(255, -1, -3, dtype=np.int32)


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles that rank register neurons, whatever these are."""
    has, array = Bundle.has, Bundle.array
    own = lambda name: name == "sink_register_order"
    monkeypatch.setattr(Bundle, "has", lambda self, name: own(name) or has(self, name))
    monkeypatch.setattr(Bundle, "array", lambda self, name: REGISTERS if own(name) else array(self, name))


def test_register_neurons_are_set_to_zero(visit: Visit, ranked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    downloaded = downloads(monkeypatch)
    app = visit.open("semantic", size="code", zeroed="50")
    if visit.case.kind != "resnet":
        assert "register" not in said(app) and not any("Register" in each.label for each in app.select_slider)
        return
    assert "50 register neurons are set to zero" in said(app)
    sliders = [each for each in app.select_slider if each.label == "Register neurons off"]
    assert sliders[0].value == 50 and sliders[0].options == ["0", "1", "2", "5", "10", "20", "50"]
    texts_wo = np.array([visit.texts[prompt] for prompt in PROMPTS])
    pairs = round(20_000 / 262_144 * visit.opened.store.bundle.array("pair_length").size)
    zeroed = tuple(REGISTERS[:50].tolist())
    made = Plain(World(visit.case.folder.parent), visit.opened.folder, texts_wo, pairs, 1, zeroed)
    logits_wyx = made.slide(visit.case.images[0], SIDE)["pairs"]
    labels = np.asarray(Image.open(io.BytesIO(downloaded[-1]))).astype(int) - 1
    sure = np.diff(np.sort(logits_wyx, axis=0)[-2:], axis=0)[0] > SURE * np.abs(logits_wyx).max()
    assert (labels == logits_wyx.argmax(0))[sure].all() and sure.mean() > 0.98


def test_a_bundle_without_pairs_is_read_by_heads(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    has, gone = Bundle.has, ("pair_coords", "neuron_direction")
    monkeypatch.setattr(Bundle, "has", lambda self, name: name not in gone and has(self, name))
    app = visit.open("semantic", method="pairs")
    by = next(each for each in app.get("button_group") if each.label == "By")
    assert by.options == ["Heads", "MaskCLIP"] and by.value == "heads" and "mean over all heads" in said(app)
    assert "no neuron–head pairs or neurons" in said(app)


def test_classes_of_ones_own_are_in_the_address(visit: Visit) -> None:
    app = visit.open("semantic")
    area = next(each for each in app.text_area if each.label.startswith("Classes"))
    assert area.value.splitlines() == list(PROMPTS) and "classes" not in app.query_params
    area.set_value(f"{SEA}\n<b>sky</b>\n").run()
    assert not app.exception and app.query_params["classes"] == [SEA, "<b>sky</b>"]
    bodies = "".join(each.proto.body for each in app.get("html"))
    assert "&lt;b&gt;sky&lt;/b&gt;" in bodies and "<b>" not in bodies
    next(each for each in app.text_area if each.label.startswith("Classes")).set_value("x" * 3_000).run()
    assert not app.exception and "The classes from before are still shown." in app.warning[0].value.replace("\\", "")
    next(each for each in app.text_area if each.label.startswith("Classes")).set_value("\n".join(PROMPTS)).run()
    assert "classes" not in app.query_params


def test_one_class_gets_a_sentence(visit: Visit) -> None:
    app = AppTest.from_function(_page, default_timeout=60)
    told = {"bundle": visit.opened.name, "image": "3", "tab": "semantic", "classes": [WALL]}
    app.query_params.update(told)
    app.run()
    assert not app.exception and not app.error and "at least two classes" in app.warning[0].value


def _page() -> None:
    from pages import image
    from pages._ui import states

    with states.calm():
        image.main()
