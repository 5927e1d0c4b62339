"""Live neurons against what the bundle stores of the same images, and against φ formed in full (float64)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.bundle.read import open_bundle
from core.explain import Explainer
from core.explain.neurons import NeuronExplainer
from core.images import DecodePolicy, decode
from core.models.load import load_model
from core.store import Store
from tests.e2e.world import World
from tests.reference.plain_run import PlainTexts
from tests.reference.plain_second_order import PlainEffects, plain_second_order

HALF = 2.0**-11
LOOSE = 16 * HALF  # what the bundle stores is of s in fp16, and a sum over later heads of both signs
FP32 = 5e-6  # sums of ~100 fp32 terms below 1
PROMPT = "a red wall"


class Case:
    """One bundle, its live neurons, and some of its images: their ids, pictures and plain effects by layer."""

    def __init__(self, bundle: Path, world: World) -> None:
        self.store = Store(open_bundle(bundle))
        assert self.store.neurons is not None
        self.table = self.store.neurons
        self.live = NeuronExplainer(Explainer(load_model(str(world.model()), device="cpu")), self.table)
        rows = [row for row in self.store.bundle.table("images").to_pylist() if row["status"] == "ok"][::16]
        self.ids = [row["image_id"] for row in rows]
        self.pictures = [decode((world.images / row["path"]).read_bytes(), DecodePolicy()) for row in rows]
        self.traces = [self.live.explainer.read(picture) for picture in self.pictures]
        visual = self.live.explainer.model.tower.visual
        self.plain: list[list[PlainEffects]] = [
            [
                plain_second_order(visual, torch.from_numpy(trace.pixels)[None], layer, "own")
                for layer in self.table.layers
            ]
            for trace in self.traces
        ]
        self.text_o = PlainTexts(world.model()).encode_texts([PROMPT])[0].astype(np.float64)

    def array(self, name: str) -> np.ndarray:
        return np.asarray(self.table.array(name), np.float64)

    def centred_no(self, at: int, i: int) -> np.ndarray:
        """φ - b of a layer's neurons in one image, b from the bundle's mean effects along what it stores."""
        return self.plain[at][i].phi_bno[0].numpy() - self.mean_lno[i]

    @property
    def mean_lno(self) -> np.ndarray:
        """b = Σ mean_s D, with D from the plain effects: pair = s D, and s of one image is its length over D's."""
        lens = self.live._lens
        return np.stack([
            np.einsum("nm,nmo->no", self.array("mean_s")[i][:, -len(lens[i].pairs) :], lens[i].directions().numpy())
            for i in range(len(lens))
        ])  # fmt: skip


@pytest.fixture(scope="module")
def case(vit_bundle: Path, world: World) -> Case:
    return Case(vit_bundle, world)


def test_norms_and_coefficients_are_those_that_the_bundle_stores(case: Case) -> None:
    ids = case.array("image_ids").astype(int)
    for at, trace in enumerate(case.traces):
        column = int(np.searchsorted(ids, case.ids[at]))
        for i, layer in enumerate(case.table.layers):
            for n in range(0, case.table.neurons, 5):
                norm, coef = case.live.scores(trace, f"L{layer}.N{n}")
                scale = case.array("scale")[i, n]
                assert norm == pytest.approx(case.array("norm")[i, n, column] * scale, abs=LOOSE * scale)
                assert coef == pytest.approx(case.array("coef")[i, n, column] * scale, abs=LOOSE * scale)


def test_ranks_by_threshold_and_by_prompt_are_the_plain_ones(case: Case) -> None:
    count = len(case.table.columns().address)
    for at, trace in enumerate(case.traces):
        centred = np.stack([case.centred_no(at, i) for i in range(len(case.table.layers))])
        norm_ln = np.linalg.norm(centred, axis=-1)
        over_ln = norm_ln / np.maximum(case.array("threshold"), np.finfo(np.float32).tiny)
        ranked = case.live.ranked(trace, count)
        np.testing.assert_allclose([r.over_threshold for r in ranked], -np.sort(-over_ln.ravel()), rtol=1e-3, atol=1e-3)
        assert case.live.active(trace) == sum(r.over_threshold > 1 for r in ranked)
        less_ln = centred @ case.text_o
        by_prompt = case.live.ranked(trace, count, PROMPT)
        sizes = [abs(r.less_mean) for r in by_prompt]
        assert sizes == sorted(sizes, reverse=True)
        for r in by_prompt[:40]:
            i, n = case.table.at(r.address)
            assert r.less_mean == pytest.approx(less_ln[i, n], abs=FP32)
            assert r.effect == pytest.approx(case.plain[at][i].phi_bno[0, n].numpy() @ case.text_o, abs=FP32)
            assert r.norm == pytest.approx(norm_ln[i, n], abs=FP32)
            assert r.activation == pytest.approx(float(case.plain[at][i].p_btn[0, :, n].max()), abs=1e-4)


def test_where_a_neuron_is_active(case: Case) -> None:
    for address in ("L0.N3", "L1.N20", "L2.N7"):
        i, n = case.table.at(address)
        looked = case.live.look(case.pictures, address)
        for at, (trace, (found, unit_o)) in enumerate(zip(case.traces, looked, strict=True)):
            p_t = case.plain[at][i].p_btn[0, :, n].numpy()
            for one in (found, case.live.activation_map(trace, address)):
                np.testing.assert_allclose(one.value_yx.ravel(), p_t[1:], atol=1e-4)
                assert (one.class_token, one.mean) == (
                    pytest.approx(p_t[0], abs=1e-4),
                    pytest.approx(p_t.mean(), abs=1e-4),
                )
            np.testing.assert_allclose(unit_o, trace.unit_o, atol=FP32)


def test_the_second_order_effect_is_the_sum_over_later_heads(case: Case) -> None:
    trace = case.traces[1]
    for address in ("L0.N3", "L1.N20"):
        i, n = case.table.at(address)
        found = case.live.effects(trace, address, PROMPT)
        plain = case.plain[1][i]
        assert found.second_order == pytest.approx(float(plain.phi_bno[0, n].numpy() @ case.text_o), abs=FP32)
        assert found.second_order_mean == pytest.approx(float(case.mean_lno[i, n] @ case.text_o), abs=FP32)
        less = found.second_order - found.second_order_mean
        assert sum(value for _, value in found.by_head) == pytest.approx(less, abs=FP32)
        assert len(found.by_head) == plain.pair_bnmo.shape[2]


def test_concepts_add_up_over_active_neurons(case: Case) -> None:
    for at, trace in enumerate(case.traces):
        weights: dict[int, float] = {}
        toward: dict[int, float] = {}  # by the neurons that pull to the text alone, which are those shown
        for i in range(len(case.table.layers)):
            centred_no = case.centred_no(at, i)
            for n in np.flatnonzero(np.linalg.norm(centred_no, axis=-1) > case.array("threshold")[i]):
                x = centred_no[n] @ case.array("direction")[i, n]
                strength = np.linalg.norm(centred_no[n]) * np.sign(x)
                for w, c in zip(case.array("text_index")[i, n].astype(int), case.array("text_coef")[i, n], strict=True):
                    if w >= 0:
                        weights[w] = weights.get(w, 0.0) + c * strength
                        toward[w] = toward.get(w, 0.0) + max(0.0, c * strength)
        best = sorted((w for w in weights if weights[w] > 0), key=lambda w: -weights[w])
        found = case.live.concepts(trace, 5, neurons=1000)
        np.testing.assert_allclose([c.weight for c in found], [weights[w] for w in best[:5]], rtol=1e-3, atol=FP32)
        for concept, w in zip(found, best, strict=False):
            assert sum(value for _, value in concept.neurons) == pytest.approx(toward[w], abs=FP32)
