"""Every array of a bundle's pairs against each pair's contribution formed in full on the same images, both families."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from core.bundle.faiss_store import search
from core.bundle.read import Bundle, open_bundle
from core.bundle.verify import verify
from core.images import DecodePolicy, decode
from core.models.load import load_model
from tests.e2e.world import ATOMS, TOP, World, call
from tests.reference.plain_neurons import PlainNeurons
from tests.reference.plain_pool import plain_pairs
from tests.reference.plain_sparse_text import plain_atoms, plain_pursuit

HALF = 2.0**-11  # s is stored in fp16
LARGEST, INERTIA = 50, 10


@dataclass(frozen=True)
class Case:
    """A bundle and what each pair adds to each image, (i, n, m, o) a layer, float64."""

    bundle: Bundle
    pairs: list[np.ndarray]
    ids: np.ndarray

    def array(self, name: str, layer: int, n: int) -> np.ndarray:
        """Of one neuron, the heads that are later than it: (m, ...)."""
        return np.asarray(self.bundle.array(f"pair_{name}"))[layer, n][-self.pairs[layer].shape[2] :]

    def neurons(self) -> list[tuple[int, int]]:
        return [(i, n) for i, pairs in enumerate(self.pairs) for n in range(0, pairs.shape[1], 9)]

    def direction(self, i: int, n: int) -> np.ndarray:
        """(m, o)."""
        basis = np.asarray(self.bundle.array("pair_basis"), np.float64)[-self.pairs[i].shape[2] :]
        return np.einsum("mok,mk->mo", basis, self.array("coords", i, n).astype(np.float64))

    def x(self, i: int, n: int) -> np.ndarray:
        """Coefficients (i, m) along the stored directions."""
        centred = self.pairs[i][:, n] - self.pairs[i][:, n].mean(0)
        return np.einsum("imo,mo->im", centred, self.direction(i, n))

    def atol(self, i: int, n: int) -> np.ndarray:
        """(m,) what rounding s to half precision can change."""
        return 2 * HALF * np.linalg.norm(self.pairs[i][:, n], axis=-1).max(0) + 1e-7


def usable(world: World, bundle: Bundle) -> tuple[list[Path], np.ndarray]:
    rows = [row for row in bundle.table("images").to_pylist() if row["status"] == "ok"]
    return [world.images / row["path"] for row in rows], np.array([row["image_id"] for row in rows])


@pytest.fixture(scope="module", params=["vit", "resnet"])
def case(request: pytest.FixtureRequest, world: World) -> Case:
    bundle = open_bundle(request.getfixturevalue(f"{request.param}_bundle"))
    files, ids = usable(world, bundle)
    if request.param == "vit":
        neurons: dict[int, PlainNeurons] = request.getfixturevalue("vit_neurons")
        return Case(bundle, [plain.pair_inmo for plain in neurons.values()], ids)
    model = load_model(str(world.model("resnet")), device="cpu")
    pixels = torch.stack([model.transform(decode(file.read_bytes(), DecodePolicy())) for file in files])
    norm = model.tower.visual(pixels).norm(dim=-1)
    return Case(bundle, [(plain_pairs(model.tower.visual, pixels) / norm[:, None, None, None]).double().numpy()], ids)


def test_a_bundle_with_pairs_is_whole(case: Case) -> None:
    assert verify(case.bundle.folder).ok
    assert case.bundle.facts["pairs"]["largest"] == LARGEST and case.bundle.facts["pairs"]["inertia_images"] == INERTIA


def test_pairs_lie_along_their_directions(case: Case) -> None:
    for i, n in case.neurons():
        pair_imo, d_mo, length_m = case.pairs[i][:, n], case.direction(i, n), case.array("length", i, n)
        along_im = np.einsum("imo,mo->im", pair_imo, d_mo)
        # rank one: nothing is left beside the direction, up to fp32 of the weights' products
        left = np.abs(pair_imo - along_im[..., None] * d_mo).max()
        assert left < 1e-5 * max(1e-2, np.abs(pair_imo).max())
        mean_s = np.asarray(case.bundle.array("neuron_mean_s"))[i, n][-len(length_m) :]
        np.testing.assert_allclose(along_im.mean(0), mean_s * length_m, atol=case.atol(i, n).max())


def test_signs_scores_and_spread(case: Case) -> None:
    checked = 0
    for i, n in case.neurons():
        x_im, atol_m = case.x(i, n), case.atol(i, n)
        order_im = np.argsort(-np.abs(x_im), axis=0)[:LARGEST]
        top_km = np.take_along_axis(x_im, order_im, axis=0)
        assert (np.abs(case.array("score", i, n) - np.abs(top_km).mean(0)) <= atol_m).all()
        assert (np.abs(case.array("std", i, n) - x_im.std(0)) <= atol_m).all()
        clear_m = np.abs(np.sign(top_km).sum(0)) > 6  # few near ties can change sides
        checked += int(clear_m.sum())
        assert (np.sign(top_km).sum(0)[clear_m] > 0).all()
    assert checked > 20


def test_shares_of_the_neuron(case: Case) -> None:
    for i, n in case.neurons():
        centred_imo = case.pairs[i][:, n] - case.pairs[i][:, n].mean(0)
        phi_io = centred_imo.sum(1)
        total = (phi_io**2).sum()
        share_m = np.einsum("imo,io->m", centred_imo, phi_io) / total
        # rounding of each summand, relative to a sum in which they may cancel
        size = np.abs(centred_imo).max() * len(phi_io) * np.abs(phi_io).sum(1).max()
        np.testing.assert_allclose(case.array("share", i, n), share_m, atol=8 * HALF * size / total)
        assert case.array("share", i, n).sum() == pytest.approx(1, abs=1e-4)


def test_ends_intervals_and_quantiles(case: Case) -> None:
    levels = case.bundle.axes["quantile"].labels
    bounds = case.bundle.axes["pair_interval"].labels
    for i, n in case.neurons():
        x_im, atol_m = case.x(i, n), case.atol(i, n)
        np.testing.assert_allclose(
            case.array("quantiles", i, n), np.quantile(x_im, levels, axis=0).T, atol=2 * atol_m.max()
        )
        position = {image: row for row, image in enumerate(case.ids)}
        for m in range(x_im.shape[1]):
            for end, sign in ((0, 1), (1, -1)):
                ids, scores = case.array("top_ids", i, n)[m, end], case.array("top_scores", i, n)[m, end]
                np.testing.assert_allclose(scores, sign * np.sort(sign * x_im[:, m])[::-1][:TOP], atol=2 * atol_m[m])
                np.testing.assert_allclose(x_im[[position[one] for one in ids], m], scores, atol=2 * atol_m[m])
            for at, (low, high) in enumerate(bounds):
                ids, scores = case.array("interval_ids", i, n)[m, at], case.array("interval_scores", i, n)[m, at]
                there = ids >= 0
                assert len(set(ids[there])) == there.sum() and np.isnan(scores[~there]).all()
                np.testing.assert_allclose(
                    x_im[[position[one] for one in ids[there]], m], scores[there], atol=2 * atol_m[m]
                )
                inside = np.quantile(x_im[:, m], low) - 3 * atol_m[m], np.quantile(x_im[:, m], high) + 3 * atol_m[m]
                step = np.diff(np.sort(x_im[:, m])).max()  # a rank may round to the neighbouring interval
                assert ((scores[there] > inside[0] - step) & (scores[there] < inside[1] + step)).all()


def test_inertia_of_the_strongest_images(case: Case) -> None:
    unit_io = np.asarray(case.bundle.array("representations"), np.float64)[case.ids]
    spread = lambda rows: ((unit_io[rows] - unit_io[rows].mean(0)) ** 2).sum()
    for i, n in case.neurons():
        norm_im = np.linalg.norm(case.pairs[i][:, n], axis=-1)
        whole_i = np.linalg.norm(case.pairs[i][:, n].sum(1), axis=-1)
        for norm_i, found in (
            *zip(norm_im.T, case.array("inertia", i, n), strict=True),
            (whole_i, np.asarray(case.bundle.array("pair_neuron_inertia"))[i, n]),
        ):
            order = np.argsort(-norm_i, kind="stable")
            gap = norm_i[order[INERTIA - 1]] - norm_i[order[INERTIA]]
            if gap > 8 * HALF * norm_i.max():  # otherwise rounding may exchange the tenth and the eleventh
                assert found == pytest.approx(spread(order[:INERTIA]), abs=1e-3)


def test_texts_of_the_strongest_pairs(case: Case) -> None:
    score = np.asarray(case.bundle.array("pair_score")).ravel()
    rows = np.asarray(case.bundle.array("pair_text_rows"))
    np.testing.assert_array_equal(rows, np.argsort(-score, kind="stable")[: len(rows)])
    heads = case.bundle.axes["later_head"].size
    neurons = case.bundle.axes["neuron"].size
    compared = 0
    atoms = plain_atoms(np.asarray(case.bundle.array("text_embeddings"), np.float64), "unit")
    for at in range(0, len(rows), max(1, len(rows) // 12)):
        unit, m = divmod(int(rows[at]), heads)
        i, n = divmod(unit, neurons)
        later = m - (heads - case.pairs[i].shape[2])
        plain = plain_pursuit(case.direction(i, n)[later], atoms, ATOMS)
        if min(plain.margin) > 1e-4:  # nearer texts can change places with fp32
            np.testing.assert_array_equal(case.bundle.array("pair_text_index")[at], plain.index)
            np.testing.assert_allclose(case.bundle.array("pair_text_coef")[at], plain.coefficient, atol=1e-4)
            compared += 1
    assert compared >= 6


def test_a_text_finds_its_pairs(case: Case) -> None:
    text = np.asarray(case.bundle.array("text_embeddings"))[3]
    for m, head in enumerate(case.bundle.axes["later_head"].labels):
        basis = np.asarray(case.bundle.array("pair_basis"))[m]
        scores, rows = search(case.bundle.index(f"pairs/{head}"), (text @ basis)[None], 5)
        coords = np.asarray(case.bundle.array("pair_coords"))[:, :, m].reshape(-1, basis.shape[1])
        cosine = coords @ (basis.T @ text)
        np.testing.assert_allclose(scores[0], np.sort(cosine)[::-1][:5], atol=2 * HALF)
        np.testing.assert_allclose(cosine[rows[0]], scores[0], atol=2 * HALF)


def test_they_can_be_left_out(world: World, tmp_path: Path) -> None:
    bundle = open_bundle(call(world.run(tmp_path, "--no-pairs", kind="resnet")).bundle)
    assert bundle.has("neuron_direction") and not bundle.has("pair_coords") and verify(bundle.folder).ok
    bundle = open_bundle(call(world.run(tmp_path, "--neuron-layers", "none", kind="resnet")).bundle)
    assert not bundle.has("neuron_direction") and not bundle.has("pair_coords") and verify(bundle.folder).ok
