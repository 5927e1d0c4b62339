"""Live pairs against what the bundle stores of the same images, and against the sums that they must be."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.bundle.read import open_bundle
from core.errors import AddressError
from core.explain import Explainer
from core.explain.neurons import NeuronExplainer
from core.explain.pairs import PairExplainer
from core.images import DecodePolicy, decode
from core.models.load import load_model
from core.store import Store
from tests.e2e.world import World

HALF = 2.0**-11
LOOSE = 16 * HALF  # a bundle's coefficients are of s in half precision
FP32 = 2e-6  # sums over tokens of fp32 terms below 1


class Case:
    """One bundle, its live pairs, and some of its images: ids, pictures, and what the model read."""

    def __init__(self, bundle: Path, world: World, kind: str) -> None:
        self.store = Store(open_bundle(bundle))
        assert self.store.neurons is not None and self.store.pairs is not None
        self.table = self.store.pairs
        explainer = Explainer(load_model(str(world.model(kind)), device="cpu"))
        self.live = PairExplainer(NeuronExplainer(explainer, self.store.neurons), self.table)
        rows = [row for row in self.store.bundle.table("images").to_pylist() if row["status"] == "ok"]
        self.paths = {row["image_id"]: world.images / row["path"] for row in rows}
        best = self.table.columns().row_p
        self.pairs = [self.table.address(row) for row in best[:: max(1, len(best) // 12)]]

    def picture(self, image: int):
        return decode(self.paths[image].read_bytes(), DecodePolicy())

    def read(self, image: int):
        return self.live.neurons.explainer.read(self.picture(image))


@pytest.fixture(scope="module", params=["vit", "resnet"])
def case(request: pytest.FixtureRequest, world: World) -> Case:
    return Case(request.getfixturevalue(f"{request.param}_bundle"), world, request.param)


def test_coefficients_are_those_that_the_bundle_stores(case: Case) -> None:
    for address in case.pairs:
        ends = case.table.ends(address, 3, fold=False)
        scale = max(abs(hit.score) for hit in (*ends.plus, *ends.minus))
        for hit in (*ends.plus, *ends.minus):
            found = case.live.read(case.read(hit.image_id), address)
            assert found.coefficient == pytest.approx(hit.score, abs=LOOSE * scale)


def test_a_pairs_tokens_sum_to_what_it_adds_along_its_direction(case: Case) -> None:
    for address in case.pairs:
        i, n, m = case.table.at(address)
        image = case.read(next(iter(case.paths)))
        found = case.live.read(image, address)
        mean = float(case.table.neurons.array("mean_s")[i, n, m]) * float(case.table.array("length")[i, n, m])
        total = found.pair.value_yx.sum() + found.pair.class_token
        assert total == pytest.approx(found.coefficient + mean, abs=FP32)
        # by definition: the neuron's effect through this head alone, read along the direction
        lens, tower = case.live.neurons.lens(i), case.live.neurons.explainer.model.tower
        trace = tower.trace(torch.from_numpy(image.pixels)[None], (), neurons=(case.table.neurons.traced[i],))
        at = lens.pairs.index(case.table.heads[m])
        effect_o = lens.scalars(trace)[0, n, at] * lens.directions([n])[0, at]
        assert float(effect_o.numpy() @ case.table.direction(address)) == pytest.approx(total, abs=FP32)
        np.testing.assert_allclose(
            found.neuron.value_yx.ravel(), trace.neurons[case.table.neurons.traced[i]][0, 1:, n].numpy(), atol=FP32
        )


def test_the_heads_tokens_sum_to_what_it_adds_along_the_direction(case: Case) -> None:
    for address in case.pairs:
        m = case.table.at(address)[2]
        image = case.read(next(iter(case.paths)))
        found = case.live.read(image, address)
        expected = case.live.neurons.explainer.contribution(image, case.table.heads[m]) @ case.table.direction(address)
        assert found.head.value_yx.sum() + found.head.class_token == pytest.approx(float(expected), abs=FP32)


def test_several_pictures_at_once_are_read_as_each_by_itself(case: Case) -> None:
    images = list(case.paths)[:3]
    address = case.pairs[0]
    together = case.live.look([case.picture(image) for image in images], address)
    for image, found in zip(images, together, strict=True):
        alone = case.live.read(case.read(image), address)
        assert found.coefficient == pytest.approx(alone.coefficient, abs=FP32)
        for unit in ("pair", "neuron", "head"):
            np.testing.assert_allclose(getattr(found, unit).value_yx, getattr(alone, unit).value_yx, atol=FP32)
        stored = case.store.bundle.array("representations")[image].astype(np.float64)
        assert float(stored @ found.unit_o) > 1 - 1e-3  # stored in half precision


def test_a_pair_that_is_none(case: Case) -> None:
    with pytest.raises(AddressError):
        case.live.look([case.picture(next(iter(case.paths)))], "N0.H9999")
