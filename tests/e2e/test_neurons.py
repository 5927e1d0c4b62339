"""Every array of a bundle's neurons against φ formed in full on the same images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from core.bundle.read import Bundle, open_bundle
from core.bundle.verify import verify
from core.methods.clusters import chance_distance, concept_clusters
from core.models.openclip_vit import OpenClipViT
from core.models.tower import Trace
from tests.e2e.world import ATOMS, LARGEST, TOP, World, assert_same, call, refused
from tests.reference.plain_characterise import plain_totals
from tests.reference.plain_neurons import PlainNeurons
from tests.reference.plain_sparse_text import plain_atoms, plain_pursuit

HALF = 2.0**-11  # s is stored in fp16, and so are norms and coefficients
LOOSE = 8 * HALF  # a sum over later heads of both signs


@dataclass(frozen=True)
class Case:
    """A bundle and, for each analysed layer, what its neurons should be."""

    bundle: Bundle
    plain: list[PlainNeurons]
    ids: np.ndarray

    def array(self, name: str) -> np.ndarray:
        return np.asarray(self.bundle.array(f"neuron_{name}"))

    def neurons(self) -> list[tuple[int, int]]:
        """Some of them, as (layer position, neuron)."""
        return [(i, n) for i in range(len(self.plain)) for n in range(0, self.array("scale").shape[1], 5)]


@pytest.fixture(scope="module")
def case(vit_bundle: Path, vit_neurons: dict[int, PlainNeurons]) -> Case:
    bundle = open_bundle(vit_bundle)
    ids = [image["image_id"] for image in bundle.table("images").to_pylist() if image["status"] == "ok"]
    return Case(bundle, list(vit_neurons.values()), np.array(ids))


def test_all_usable_images_are_measured(case: Case) -> None:
    np.testing.assert_array_equal(case.array("image_ids"), case.ids)
    assert case.bundle.facts["neurons"]["images"] == len(case.ids)


def test_directions_and_what_they_explain(case: Case) -> None:
    for i, n in case.neurons():
        expected, explained = case.plain[i].direction(n, LARGEST)
        # a direction turns by the noise over the gap to the second component: compare where that is not tiny
        if explained > 0.6:
            cosine = float(case.array("direction")[i, n] @ expected)
            assert abs(cosine) > 1 - 1e-4
            along = case.plain[i].centred_ino[case.plain[i].largest(n, LARGEST), n] @ expected
            if abs(np.sign(along).sum()) > 2:
                assert cosine > 0
        assert case.array("explained")[i, n] == pytest.approx(explained, abs=LOOSE)


def test_norms_and_coefficients(case: Case) -> None:
    scale = case.array("scale")
    for i, plain in enumerate(case.plain):
        norm_ni = case.array("norm")[i].astype(float) * scale[i][:, None]
        atol = LOOSE * np.linalg.norm(plain.pair_inmo, axis=-1).sum(-1).max()
        np.testing.assert_allclose(norm_ni, plain.norm_in.T, atol=atol)
        x_in = np.einsum("ino,no->in", plain.centred_ino, case.array("direction")[i].astype(float))
        np.testing.assert_allclose(case.array("coef")[i] * scale[i][:, None], x_in.T, atol=atol)
        np.testing.assert_allclose(case.array("coef_std")[i], x_in.std(0), atol=atol)
        np.testing.assert_allclose(
            case.array("mean_norm")[i], np.linalg.norm(plain.phi_ino.mean(0), axis=-1), atol=atol
        )
        mean_x = (plain.phi_ino.mean(0) * case.array("direction")[i]).sum(-1)
        np.testing.assert_allclose(case.array("mean_coef")[i], mean_x, atol=atol)
        explained = (x_in**2).sum(0) / (plain.norm_in**2).sum(0)
        np.testing.assert_allclose(case.array("explained_all")[i], explained, atol=LOOSE)


def test_sums_over_neurons(case: Case) -> None:
    for i, plain in enumerate(case.plain):
        total_io, active_io = plain_totals(plain.phi_ino)
        # each neuron's s is rounded by itself, so what rounding adds to a sum grows with its summands
        atol = LOOSE * np.linalg.norm(plain.pair_inmo, axis=-1).sum(-1).max()
        np.testing.assert_allclose(case.array("total")[i], total_io, atol=atol)
        found_io = case.array("total_active")[i]
        same_i = [
            i
            for i in range(len(case.ids))
            if np.abs(found_io[i] - active_io[i]).max() <= atol  # rounding can exchange near ties
        ]
        assert len(same_i) >= len(case.ids) - 2
        assert np.abs(total_io).max() > 20 * atol and np.abs(active_io).max() > 5 * atol


def test_quantiles_thresholds_and_shares(case: Case) -> None:
    levels = case.bundle.axes["quantile"].labels
    for i in range(len(case.plain)):
        norm = case.array("norm")[i].astype(np.float64) * case.array("scale")[i][:, None]
        coef = case.array("coef")[i].astype(np.float64) * case.array("scale")[i][:, None]
        atol = 2 * HALF * case.array("scale")[i].max()
        np.testing.assert_allclose(case.array("norm_quantiles")[i], np.quantile(norm, levels, axis=1).T, atol=atol)
        np.testing.assert_allclose(case.array("coef_quantiles")[i], np.quantile(coef, levels, axis=1).T, atol=atol)
        np.testing.assert_allclose(case.array("threshold")[i], np.quantile(norm, 0.98, axis=1), atol=atol)
        above = (norm > np.quantile(norm, 0.98)).mean(1)
        np.testing.assert_allclose(case.array("share_above")[i], above, atol=2 / norm.shape[1])


def test_active_neurons_are_those_above_their_own_threshold(case: Case) -> None:
    offsets, units = case.array("active_offsets"), case.array("active_units")
    neurons = case.array("scale").shape[1]
    found = np.zeros((len(case.plain) * neurons, len(case.ids)), bool)
    for image in range(len(case.ids)):
        rows = units[offsets[image] : offsets[image + 1]]
        assert (np.diff(rows) > 0).all()
        found[rows, image] = True
    for i, plain in enumerate(case.plain):
        norm = plain.norm_in.T
        expected = norm > np.quantile(norm, 0.98, axis=1)[:, None]
        # of 57 images two lie above; rounding can only exchange near ties
        assert (found[i * neurons : (i + 1) * neurons] == expected).mean() > 0.999
        assert (found[i * neurons : (i + 1) * neurons].sum(1) == expected.sum(1)).all()


def test_top_images_of_every_list(case: Case) -> None:
    ids, scores = case.array("top_ids"), case.array("top_scores")
    row = {image_id: i for i, image_id in enumerate(case.ids)}
    for i, plain in enumerate(case.plain):
        direction = case.array("direction")[i].astype(float)
        x = np.einsum("ino,no->in", plain.centred_ino, direction)
        truth = [x, -x, plain.norm_in, plain.p_itn.max(1), plain.p_itn.mean(1)]
        for a, values_in in enumerate(truth):
            sign = -1 if a == 1 else 1
            best = -np.sort(-values_in, axis=0)[:TOP].T
            atol = LOOSE * np.abs(values_in).max()
            np.testing.assert_allclose(sign * scores[i, :, a], best, atol=atol)
            for n in range(0, x.shape[1], 5):  # the images named have the scores named
                named = [values_in[row[image_id], n] for image_id in ids[i, n, a]]
                np.testing.assert_allclose(sign * scores[i, n, a], named, atol=atol)


def test_shares_of_later_heads(case: Case) -> None:
    labels = case.bundle.axes["later_head"].labels
    for i, n in case.neurons():
        plain, direction = case.plain[i], case.array("direction")[i, n].astype(float)
        by_head = plain.pair_inmo[:, n] @ direction
        by_head = by_head - by_head.mean(0)
        x = by_head.sum(1)
        expected = (by_head * x[:, None]).mean(0) / (x**2).mean()
        share = case.array("later_share")[i, n]
        assert len(labels) == len(share) and not share[: -len(expected)].any()
        np.testing.assert_allclose(share[-len(expected) :], expected, atol=16 * LOOSE)


def test_texts_are_scikit_learns_on_the_same_pool(case: Case) -> None:
    texts = np.asarray(case.bundle.array("text_embeddings"), np.float64)
    for i, n in case.neurons():
        index, coef, left = (
            case.array("text_index")[i, n],
            case.array("text_coef")[i, n],
            case.array("text_error")[i, n],
        )
        direction = case.array("direction")[i, n].astype(np.float64)
        atoms = plain_atoms(texts, "unit")
        expected = plain_pursuit(direction, atoms, ATOMS)
        assert index.tolist() == expected.index
        np.testing.assert_allclose(coef, expected.coefficient, atol=1e-5)
        rest = direction - np.array(expected.coefficient) @ atoms[expected.index]
        assert left[-1] == pytest.approx((rest**2).sum(), abs=1e-5)


def test_concepts_are_counted_among_the_largest_images(case: Case) -> None:
    units = np.asarray(case.bundle.array("representations"), np.float32)
    chance = chance_distance(units[case.ids])
    for i, n in case.neurons():
        rows = case.plain[i].largest(n, LARGEST)
        expected = concept_clusters(units[case.ids[rows]], chance).max() + 1
        assert case.array("concepts")[i, n] == expected


def test_a_few_images_and_given_layers(world: World, tmp_path: Path) -> None:
    words = world.run(tmp_path, "--neuron-images", 9, "--neuron-layers", "0")
    bundle = open_bundle(call(words).bundle)
    assert bundle.axes["neuron_layer"].labels == [0] and verify(bundle.folder).ok
    ids = np.asarray(bundle.array("neuron_image_ids"))
    assert 7 <= len(ids) <= 9 and np.diff(ids).min() >= 6  # spread evenly over 63; some of them are broken
    top = np.asarray(bundle.array("neuron_top_ids"))
    assert np.isin(top, ids).all()
    parts = [
        call(world.run(tmp_path / "p", "--neuron-images", 9, "--neuron-layers", "0", "--shards", f"{i}/2"))
        for i in (1, 2)
    ]
    assert all(part.code == 0 for part in parts)
    folder = tmp_path / "p" / bundle.folder.name
    assert call(["merge", str(folder), "--quiet", "--torch-threads", "1"]).code == 0
    assert_same(folder, bundle.folder)


def test_passes_over_images_that_are_not_measured_tap_no_neurons(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, asked = OpenClipViT.trace, []

    def trace(self: OpenClipViT, images: torch.Tensor, layers: tuple[int, ...], neurons: tuple[int, ...] = ()) -> Trace:
        asked.append(neurons)
        return plain(self, images, layers, neurons)

    monkeypatch.setattr(OpenClipViT, "trace", trace)
    assert call(world.run(tmp_path, "--neuron-images", 3, "--neuron-layers", "0")).code == 0
    assert set(asked) == {(), (0,)} and asked.count((0,)) <= 3


def test_no_neurons_when_asked_so(world: World, tmp_path: Path) -> None:
    bundle = open_bundle(call(world.run(tmp_path, "--neuron-layers", "none")).bundle)
    assert not bundle.has("neuron_direction") and verify(bundle.folder).ok


def test_what_cannot_be_is_said_at_once(world: World, tmp_path: Path) -> None:
    refused(world.run(tmp_path, "--neuron-layers", "7"), "have later attention", "[7]")
    refused(world.run(tmp_path, "--neuron-layers", "1", kind="resnet"), "one layer of neurons")
    refused(world.run(tmp_path, "--neuron-layers", "0", "--layernorm", "equal"), "--layernorm own")
    one = tmp_path / "one.txt"
    one.write_text("a dog\n")
    refused(world.run(tmp_path, "--pool", one), "two different texts")
    assert not any(tmp_path.glob("*/*"))
