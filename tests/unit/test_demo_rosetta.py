"""The ground-truth check of a dictionary: masks on a grid, streamed correlations, and what counts as confirmed."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from core.bundle.dictionary import open_dictionary
from core.errors import InputError
from core.store.dictionary import Dictionary
from core.store.dictionary_answers import Label, UnitText
from demo import concept_labels, map_truth, rosetta
from demo.images import IMAGES, mask_png
from demo.map_truth import GRID, NAMES, Sums, on_grid, place_shares, read_masks
from demo.rosetta import Confirmed, Following
from demo.stream import held_out_scene
from demo.world import render
from tests.dictionary_maker import make


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_shares_of_cells_by_hand() -> None:
    mask = np.zeros((16, 16), np.uint8)  # cells of 2 × 2 pixels
    mask[0, 0], mask[0:2, 2:4], mask[4:6, 4:6] = 1, 2, 3
    shares = place_shares(mask, ["dog", "key", "dog"], "beach")
    of = lambda *name: shares[NAMES.index(name)]
    assert of("object", "dog")[0, 0] == 0.25 and of("object", "dog")[2, 2] == 1 and of("object", "dog").sum() == 1.25
    assert of("object", "key")[0, 1] == 1 == of("object", "key").sum()
    assert of("any", "object").sum() == 2.25
    assert of("place", "beach").sum() == GRID**2 - 2.25
    assert shares.sum() == pytest.approx(GRID**2 + 2 * 2.25)  # object, category and any count each object thrice


def test_shares_of_real_scenes_fill_every_cell_once() -> None:
    for index in range(5):
        scene = held_out_scene(0, index)
        shares = place_shares(render(scene, 144)[1], [each.name for each in scene.objects], scene.place)
        place = shares[[i for i, (kind, _) in enumerate(NAMES) if kind == "place"]].sum(0)
        for kind in ("object", "category", "any"):
            there = shares[[i for i, (of, _) in enumerate(NAMES) if of == kind]].sum(0)
            np.testing.assert_allclose(there + place, 1, atol=1e-6)


def test_masks_are_read_in_the_order_of_the_images(tmp_path) -> None:
    masks = [np.full((16, 16), fill, np.uint8) for fill in (0, 1)]
    table = {"path": ["b.webp", "a.webp"], "mask": [mask_png(mask) for mask in masks]}
    pa.parquet.write_table(pa.table(table), tmp_path / "masks.parquet")
    images = {"path": ["a.webp", "b.webp"], "objects": ['[{"name": "dog"}]'] * 2, "place": ["snow"] * 2}
    found = read_masks(images, tmp_path)[:, NAMES.index(("object", "dog"))]
    assert found.mean((1, 2)).tolist() == [1, 0]
    with pytest.raises(InputError, match="manifest"):
        read_masks({"path": ["a.webp"]}, tmp_path)


def test_every_grid_is_brought_to_the_same_and_keeps_its_sides() -> None:
    for side in (4, 8, 16, 32):
        ramp = torch.linspace(0, 1, side).expand(1, 2, side, side)
        given = on_grid(ramp)
        assert given.shape == (1, 2, GRID, GRID)
        assert (given.diff(dim=-1) >= 0).all() and given[0, 0, 0, -1] > 0.9 and given[0, 0, 0, 0] < 0.1
    assert torch.equal(on_grid(torch.eye(16)[None, None])[0, 0], torch.eye(8) / 2)


def test_streamed_correlations_are_pearsons() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(5, 90)).astype(np.float32), rng.uniform(size=(4, 90)).astype(np.float32)
    t[0] += x[1]
    x[3], t[2] = 2.5, 0
    sums = Sums(5, 4)
    for start in (0, 40, 50):
        stop = {0: 40, 40: 50, 50: 90}[start]
        sums.update(torch.from_numpy(x[:, start:stop]), torch.from_numpy(t[:, start:stop]))
    given = sums.correlation()
    for u in range(5):
        for v in range(4):
            expected = 0 if u == 3 or v == 2 else np.corrcoef(x[u].astype(float), t[v].astype(float))[0, 1]
            assert given[u, v] == pytest.approx(expected, abs=1e-6)  # float32 products of 40 terms


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> Dictionary:
    return Dictionary(open_dictionary(make(tmp_path_factory.mktemp("dictionary") / "rosetta-0123abcd")))


def test_a_concept_has_one_unit_a_model_the_best(dictionary: Dictionary) -> None:
    for concept in dictionary.concepts("demo-vit"):
        rows = rosetta.best_units(concept)
        by_row = {unit.row: unit for unit in concept.members}
        assert sorted(by_row[row].member for row in rows) == sorted({unit.member for unit in concept.members})
        for row in rows:
            if by_row[row].member == concept.hub:
                assert by_row[row].address == concept.address
                continue
            rivals = [unit.r - unit.null for unit in concept.members if unit.member == by_row[row].member]
            assert by_row[row].r - by_row[row].null == max(rivals)


def test_confirmed_says_the_closest_value_and_its_controls(dictionary: Dictionary) -> None:
    units = len(dictionary.bundle.array("unit_std"))
    concepts = dictionary.concepts("demo-vit")[:2]
    activation, map_ = np.zeros((units + 2, 2)), np.zeros((units + 2, 3))
    activation[units], map_[units] = [0.3, -0.6], [0.1, 0.2, 0.5]  # the first follows b, falling
    activation[units + 1], map_[units + 1] = [0.1, 0.2], [0.9, 0.2, 0.5]
    own = concepts[0].members[0].row
    activation[own, 1], activation[5, 1], activation[[1, 2], 1] = 0.4, 0.7, [0.1, -0.2]
    followed = (
        Following("activation", [("place", "a"), ("place", "b")], activation),
        Following("map", [("object", "c"), ("object", "d"), ("any", "e")], map_),
    )
    second, first = rosetta.confirm(dictionary, concepts, followed, np.array([1, 2]))
    assert (second.by, second.factor, second.value, second.correlation) == ("map", "object", "c", 0.9)
    assert (first.by, first.value, first.correlation) == ("activation", "b", -0.6)
    assert (first.own, first.single, first.single_unit) == (0.4, 0.7, dictionary.address(5))
    assert (first.random, first.best_random) == (0.15, 0.2)
    assert first.label == concepts[0].label.text and first.concept == concepts[0].address
    lines = rosetta.medians(followed, units, np.array([1, 2]))
    assert "median of 2 concepts 0.40, of 2 random units 0.15" in lines[0]


def test_each_value_is_listed_once() -> None:
    rest = (None, 2, 0.5)
    rows = [
        Confirmed("a", *rest, by, "object", value, 0.9, 0.1, 0.1, "u", 0.1, 0.1)
        for by, value in (("map", "dog"), ("map", "dog"), ("activation", "dog"), ("map", "key"))
    ]
    assert rosetta.distinct(rows) == [rows[0], rows[2], rows[3]]


def test_random_units_are_alive_and_repeatable() -> None:
    alive = np.arange(100, 1000, 2)
    drawn = rosetta.chance(alive)
    assert len(set(drawn.tolist())) == rosetta.RANDOM_UNITS and set(drawn) <= set(alive)
    assert np.array_equal(drawn, rosetta.chance(alive))
    assert len(rosetta.chance(alive[:7])) == 7


def test_a_unit_that_is_a_mask_is_found_to_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole pass over real images, with a member whose units are the masks themselves."""
    manifest = pa.parquet.read_table(IMAGES / "manifest.parquet").slice(0, 40)
    masks = read_masks(manifest.to_pydict(), IMAGES)
    any_object = NAMES.index(("any", "object"))

    class Layer:
        name = "L0"

    class Told:
        """Its first unit is the mask of any object at 16 × 16, its second noise, its third dead."""

        layers = (Layer(),)

        def __init__(self) -> None:
            self.seen = 0

        def prepare(self, picture: Image.Image) -> torch.Tensor:
            return torch.zeros(3, 2, 2)

        def maps(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            part = torch.from_numpy(masks[self.seen : self.seen + len(inputs), any_object])
            self.seen += len(inputs)
            unit = part.repeat_interleave(2, 1).repeat_interleave(2, 2)
            return {"L0": torch.stack([unit, torch.randn(unit.shape), torch.zeros_like(unit)], 1)}

    class Bundle:
        def table(self, name: str) -> pa.Table:
            return manifest

        def array(self, name: str) -> np.ndarray:
            return np.array({"unit_mean": [0.3, 0, 0], "unit_std": [0.4, 1, 0]}[name], np.float32)

    class Opened:
        bundle = Bundle()

    monkeypatch.setattr(rosetta, "best_units", lambda concept: concept)
    torch.manual_seed(0)
    activation, followed = rosetta.follow(Opened(), [Told()], [[0], [0, 1]], IMAGES)
    assert followed.r_uv.shape == (5, len(NAMES)) and activation.r_uv.shape == (5, len(activation.names))
    assert followed.r_uv[0, any_object] == pytest.approx(1, abs=1e-5)
    assert followed.r_uv[3, any_object] == pytest.approx(1, abs=1e-5)
    assert abs(followed.r_uv[1, any_object]) < 0.1
    assert 0.5 < followed.r_uv[4, any_object] < 1
    assert not followed.r_uv[2].any() and not activation.r_uv[2].any()
    assert tuple(followed.names) == map_truth.NAMES


def test_shares_of_labels_that_are_right() -> None:
    """Three concepts follow a place each: one is called by it, one by another; the third has no label."""
    images = pa.parquet.read_table(IMAGES / "manifest.parquet").slice(0, 400)
    places = ("forest", "beach", "snow")
    is_pi = np.array([[place == given for given in images["place"].to_pylist()] for place in places], float)
    pool = ["a photo taken in a forest", "snow"]

    @dataclass
    class Unit:
        address: str
        member: str
        r: float

    @dataclass
    class Named:
        row: int
        label: Label | None
        best: dict[str, Unit]

    class Told:
        activation = is_pi + np.random.default_rng(0).normal(0, 0.1, is_pi.shape)
        members = (SimpleNamespace(name="clip", clip=True), SimpleNamespace(name="cnn", clip=False))
        bundle = SimpleNamespace(table=lambda name: images, array=lambda name: is_pi[[0, 2]].astype(np.float16))

        def __init__(self) -> None:
            self.pool = pool

        def texts(self, address: str) -> list[UnitText]:
            return {"clip:L0.N0": [UnitText("snow", "map", 0.5)], "clip:L0.N1": []}[address]

    concepts = [
        Named(0, Label(pool[0], 0.9), {"clip": Unit("clip:L0.N0", "clip", 0.5)}),
        Named(1, Label(pool[1], 0.1), {"clip": Unit("clip:L0.N1", "clip", 0.5), "cnn": Unit("cnn:a.N0", "cnn", 0.9)}),
        Named(2, None, {"cnn": Unit("cnn:a.N1", "cnn", 0.9)}),
    ]
    lines = concept_labels.told(Told(), concepts)  # type: ignore[arg-type] # what it asks for
    assert "label: " in lines[0] and "in 50.0% of 2 concepts (50.0% of the 2 " in lines[0]
    assert "text of a CLIP unit: " in lines[1] and "in 0.0% of 1 concepts" in lines[1]
    assert "random text: " in lines[2] and "of 3 concepts" in lines[2]
