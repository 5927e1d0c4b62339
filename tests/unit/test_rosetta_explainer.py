"""Concepts of a dictionary in any picture, against the definition; members that cannot be loaded; many askers."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.bundle.dictionary import open_dictionary
from core.errors import AddressError, InputError, ModelError, WeightsError
from core.explain import rosetta
from core.explain.rosetta import MOST, RosettaExplainer, load_rosetta
from core.models.zoo import MapLayer
from core.store.dictionary import Dictionary
from tests import dictionary_maker


@dataclass
class MadeUp:
    """A member whose maps are a fixed function of the picture's mean."""

    name: str
    asked: int = 0
    clip: None = None
    bytes: int = 100

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def layers(self) -> tuple[MapLayer, ...]:
        return tuple(MapLayer(n, u, (s, s), d) for n, u, s, d in dictionary_maker.MEMBERS[self.name][3])

    def prepare(self, picture: Image.Image) -> Tensor:
        return torch.tensor(np.asarray(picture).mean((0, 1)), dtype=torch.float32)

    def maps(self, inputs: Tensor, layers: Collection[str] | None = None) -> dict[str, Tensor]:
        self.asked += 1
        made = {}
        for at, layer in enumerate(self.layers):
            shape = (layer.units, *layer.grid)
            noise = np.random.default_rng([at, int(inputs.sum()), len(self.name)]).normal(size=shape)
            if layers is None or layer.name in layers:
                made[layer.name] = torch.from_numpy(noise).float()[None]
        return made

    def facts(self) -> dict:
        return {}


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> Dictionary:
    return Dictionary(open_dictionary(dictionary_maker.make(tmp_path_factory.mktemp("out") / "rosetta-0123abcd")))


@pytest.fixture
def explainer(dictionary: Dictionary) -> RosettaExplainer:
    return RosettaExplainer(dictionary, [MadeUp(name) for name in dictionary_maker.MEMBERS])


def picture(shade: int = 70) -> Image.Image:
    return Image.new("RGB", (40, 30), (shade, 20, 30))


def plain_z(dictionary: Dictionary, names: Collection[str], concept, shade: int) -> dict[str, float]:
    """Of each named member with a unit in the concept: its best unit's z, one map at a time."""
    bundle, found = dictionary.bundle, {}
    rows = np.asarray(bundle.array("described")).tolist()
    for name in names:
        units = sorted((unit for unit in concept.members if unit.member == name), key=lambda unit: -unit.r)
        if units:
            member = MadeUp(name)
            at = rows.index(units[0].row)
            peak = float(member.maps(member.prepare(picture(shade)))[units[0].layer][0, units[0].unit].max())
            std = float(bundle.array("peak_std")[at])
            found[name] = (peak - float(bundle.array("peak_mean")[at])) / std if std else 0.0
    return found


@pytest.mark.parametrize("hub", list(dictionary_maker.MEMBERS))
def test_every_concept_by_definition(dictionary: Dictionary, explainer: RosettaExplainer, hub: str) -> None:
    concepts = dictionary.concepts(hub)
    found = explainer.look(picture(), hub)
    assert len(found) == min(MOST, len(concepts)) > 3
    for each in found:
        expected = plain_z(dictionary, list(dictionary_maker.MEMBERS), each.concept, 70)
        assert each.by_member == pytest.approx(expected, abs=1e-5)  # fp32 statistics of peaks of some units
        assert each.z == pytest.approx(np.mean(list(expected.values())), abs=1e-5)
        assert set(each.maps) == {unit.address for unit in each.concept.best.values()}
        for unit in each.concept.best.values():
            member = MadeUp(unit.member)
            whole = member.maps(member.prepare(picture()))[unit.layer][0, unit.unit]
            np.testing.assert_array_equal(each.maps[unit.address], whole)
    values = [each.z for each in found]
    assert values == sorted(values, reverse=True)
    every = [np.mean(list(plain_z(dictionary, list(dictionary_maker.MEMBERS), c, 70).values())) for c in concepts]
    assert values[0] == pytest.approx(max(every), abs=1e-5)


def test_named_concepts_in_their_order(dictionary: Dictionary, explainer: RosettaExplainer) -> None:
    wanted = [concept.address for concept in dictionary.concepts("demo-cnn")][4:1:-1]
    assert [each.concept.address for each in explainer.look(picture(), "demo-cnn", wanted)] == wanted
    with pytest.raises(AddressError, match="has no concept demo-vit"):
        explainer.look(picture(), "demo-cnn", ["demo-vit:L0.N1"])
    with pytest.raises(AddressError):
        explainer.look(picture(), "no such model")
    with pytest.raises(InputError, match="mode L"):
        explainer.look(picture().convert("L"), "demo-cnn")


def test_every_concept_and_as_many_as_are_asked_for(dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = RosettaExplainer(dictionary, [MadeUp(name) for name in ("demo-vit", "demo-mae")])
    concepts = [c for c in dictionary.concepts("demo-cnn") if {"demo-vit", "demo-mae"} & set(c.best)]
    every = explainer.every(picture(), "demo-cnn", 3)
    assert {each.concept.address for each in every} == {c.address for c in concepts} and len(every) > 3
    for each in every:
        assert each.by_member == pytest.approx(
            plain_z(dictionary, ["demo-vit", "demo-mae"], each.concept, 70), abs=1e-5
        )
        assert each.z == pytest.approx(np.mean(list(each.by_member.values()))) and not each.maps
    assert [each.z for each in every] == sorted((each.z for each in every), reverse=True)
    for most in (3, 10**6):
        looked = explainer.look(picture(), "demo-cnn", most=most)
        assert [(each.concept, each.z) for each in looked] == [(each.concept, each.z) for each in every[:most]]
        assert all(each.maps for each in looked)
    monkeypatch.setattr(rosetta, "_KEPT", 2)
    monkeypatch.setattr(rosetta, "MOST", 4)
    for shade in range(5):
        explainer.look(picture(100 + shade), "demo-cnn", most=6)
        assert sum(len(answer.active) for answer in explainer._answers.values()) <= 2 * 4


def test_without_a_member_the_others_are_averaged(dictionary: Dictionary) -> None:
    there = ["demo-vit", "demo-mae"]
    explainer = RosettaExplainer(dictionary, [MadeUp(name) for name in there], {"demo-cnn": "It is not here."})
    found = explainer.look(picture(), "demo-cnn")
    assert found and all("demo-cnn" not in each.by_member for each in found)
    for each in found:
        expected = plain_z(dictionary, there, each.concept, 70)
        assert each.z == pytest.approx(np.mean(list(expected.values())), abs=1e-5)
    alone = RosettaExplainer(dictionary, [MadeUp("demo-mae")])
    for hub in dictionary_maker.MEMBERS:
        known = [c for c in dictionary.concepts(hub) if "demo-mae" in c.best]
        assert len(alone.look(picture(), hub)) == min(MOST, len(known))


def test_a_question_is_answered_once_however_many_ask(dictionary: Dictionary, explainer: RosettaExplainer) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda shade: explainer.look(picture(shade), "demo-vit"), [50, 60, 70, 80] * 8))
    assert [member.asked for member in explainer.members.values()] == [4] * len(explainer.members)
    for shade, answer in zip([50, 60, 70, 80], found[:4], strict=True):
        expected = plain_z(dictionary, list(dictionary_maker.MEMBERS), answer[0].concept, shade)
        assert answer[0].by_member == pytest.approx(expected, abs=1e-5)
    for n in range(rosetta._KEPT + 5):
        explainer.look(picture(100 + n), "demo-vit")
    assert len(explainer._answers) == rosetta._KEPT


def test_members_that_cannot_be_loaded_are_left_out(dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(facts, *, device):
        if facts["name"] == "demo-cnn":
            raise WeightsError("demo-cnn has other weights now.")
        if facts["name"] == "demo-mae":
            raise KeyError("weights")
        return MadeUp(facts["name"])

    monkeypatch.setattr(rosetta, "load_recorded_member", load)
    found = load_rosetta(dictionary, "cpu")
    assert list(found.members) == ["demo-vit"] and found.device.type == "cpu"
    assert found.left_out["demo-cnn"] == "demo-cnn has other weights now." and "weights" in found.left_out["demo-mae"]
    monkeypatch.setattr(
        rosetta, "load_recorded_member", lambda facts, device: (_ for _ in ()).throw(WeightsError("no"))
    )
    with pytest.raises(ModelError, match=r"None of this dictionary's models can be loaded\. no"):
        load_rosetta(dictionary, "cpu")


def test_a_peak_that_never_varies_says_nothing(tmp_path: Path) -> None:
    folder = dictionary_maker.make(tmp_path / "rosetta-0123abcd")
    unit = Dictionary(open_dictionary(folder)).concepts("demo-vit")[0].best["demo-vit"]
    std = np.load(folder / "described" / "peak_std.npy")
    std[np.load(folder / "described" / "rows.npy").tolist().index(unit.row)] = 0
    np.save(folder / "described" / "peak_std.npy", std)
    dictionary = Dictionary(open_dictionary(folder))
    explainer = RosettaExplainer(dictionary, [MadeUp(name) for name in dictionary_maker.MEMBERS])
    found = explainer.look(picture(), "demo-vit", [dictionary.concepts("demo-vit")[0].address])
    assert found[0].by_member["demo-vit"] == 0 and np.isfinite(found[0].z)


@dataclass
class Remembered(MadeUp):
    """A member that gives the maps that the dictionary was made from; a picture's red is the image's number."""

    def maps(self, inputs: Tensor, layers: Collection[str] | None = None) -> dict[str, Tensor]:
        image, made, start = int(inputs[0, 0]), {}, 0
        owner = list(dictionary_maker.MEMBERS).index(self.name)
        ours = [m for m, u in zip(dictionary_maker.maps(0, True), dictionary_maker.units(), strict=True)
                if u.member == owner]  # fmt: skip
        for layer in self.layers:
            made[layer.name] = torch.from_numpy(np.stack([m[image] for m in ours[start : start + layer.units]])[None])
            start += layer.units
        return {name: made[name] for name in layers or made}


def test_live_and_stored_agree_on_an_image_of_the_dictionary(dictionary: Dictionary) -> None:
    explainer = RosettaExplainer(dictionary, [Remembered(name) for name in dictionary_maker.MEMBERS])
    for hub in dictionary_maker.MEMBERS:
        for image in (0, 17):
            stored = {concept.address: z for concept, z in dictionary.in_image(hub, image)}
            live = explainer.look(Image.new("RGB", (8, 8), (image, 0, 0)), hub)
            # peaks are stored in half precision: 2^-11 of about 8, over deviations of about 1
            expected = [stored[each.concept.address] for each in live]
            assert [each.z for each in live] == pytest.approx(expected, abs=1e-2)
