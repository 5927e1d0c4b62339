"""What second-order effects are worth, against effects written out in full, on numbers whose accuracies differ."""

from itertools import combinations

import numpy as np
import pytest
import torch

from core.methods import characterise as method
from core.methods.characterise import KINDS, Effects, Labelled, characterise, characterise_texts, reconstructions
from core.methods.sparse_text import pursue, refit, text_atoms
from core.text.zeroshot import binomial_error
from tests.reference.plain_characterise import plain_characterisation, plain_totals

IMAGES, N, OUT, C, W = 400, 9, 12, 5, 30  # images, neurons, joint space, classes, texts
LAYERS, COUNTS = (4, 6), (1, 2, 5, 12)


class Case:
    """Two layers whose neurons write toward classes: mostly along one direction, and strongly in a few images."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.classes_co = np.linalg.qr(rng.standard_normal((OUT, OUT)))[0][:C]
        self.label_i = rng.integers(0, C, IMAGES)
        self.label_i[::13] = -1
        truth_io = self.classes_co[self.label_i.clip(0)]
        self.texts_wo = rng.standard_normal((W, OUT))
        self.phi, self.direction = {}, {}
        self.unit_io = 0.15 * truth_io + 0.1 * rng.standard_normal((IMAGES, OUT))
        for at, layer in enumerate(LAYERS):
            target_no = self.classes_co[rng.integers(0, C, N)] + 0.15 * rng.standard_normal((N, OUT))
            x_in = 0.12 * (truth_io @ target_no.T) + 0.05 * rng.standard_normal((IMAGES, N)) + 0.02
            x_in *= np.where(rng.random((IMAGES, N)) < 0.03, 4 - 7 * at, 1)  # rare and large; of one layer misleading
            phi_ino = x_in[..., None] * target_no + 0.03 * rng.standard_normal((IMAGES, N, OUT))
            centred_ino = phi_ino - phi_ino.mean(0)
            self.phi[layer] = phi_ino
            self.direction[layer] = np.stack([np.linalg.svd(centred_ino[:, n])[2][0] for n in range(N)])
            self.unit_io += phi_ino.sum(1)

    def effects(self, layer: int) -> Effects:
        """As a bundle stores them, of the images that have a class."""
        total_io, active_io = plain_totals(self.phi[layer])
        x_in = np.einsum("ino,no->in", self.phi[layer] - self.phi[layer].mean(0), self.direction[layer])
        scale_n, kept = np.abs(x_in).max(0), self.label_i >= 0
        half = [values[kept].astype(np.float16) for values in (total_io, active_io, x_in / scale_n)]
        return Effects(half[0], half[1], half[2].T, scale_n, self.direction[layer].astype(np.float32))

    def labelled(self) -> Labelled:
        kept = self.label_i >= 0
        return Labelled(self.unit_io[kept], self.label_i[kept], self.classes_co)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_every_row_equals_the_plain_computation(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(method, "_IMAGES", 64)  # several blocks of either
    monkeypatch.setattr(method, "_NEURONS", 4)
    atoms_wo = text_atoms(torch.from_numpy(case.texts_wo))
    expected = plain_characterisation(
        case.unit_io, case.label_i, case.classes_co, case.phi, case.direction, atoms_wo.numpy(), COUNTS
    )
    rows = characterise(case.labelled(), ((layer, case.effects(layer)) for layer in LAYERS))
    found = {layer: pursue(torch.from_numpy(case.direction[layer]), atoms_wo, max(COUNTS)) for layer in LAYERS}
    parts = ((layer, case.effects(layer), found[layer].index_nm) for layer in LAYERS)
    rows += characterise_texts(case.labelled(), parts, atoms_wo, COUNTS, "words")
    assert {(row.kind, row.layer, row.texts) for row in rows} == set(expected) and len(rows) == len(expected)
    judged = int((case.label_i >= 0).sum())
    for row in rows:
        # half precision of the sums can turn a near-tie: one image at most
        assert row.top1 == pytest.approx(expected[row.kind, row.layer, row.texts], abs=1.5 / judged), row
        assert row.images == judged and row.pool == ("words" if row.kind == "texts" else None)
        assert row.standard_error == binomial_error(row.top1, judged)
    # far apart, so that no row could stand for another
    seen = {kind: np.array([expected[kind, layer, None] for layer in (*LAYERS, None)]) for kind in KINDS}
    seen["none"] = np.full(3, expected["none", None, None])
    for one, other in combinations(seen, 2):
        assert np.abs(seen[one] - seen[other]).max() > 3 / judged, (one, other, seen)
    assert expected["texts", None, 1] < expected["texts", None, 12] - 0.03


def test_as_many_texts_as_dimensions_are_the_first_component(case: Case) -> None:
    atoms_wo = text_atoms(torch.from_numpy(case.texts_wo))
    direction_no = torch.from_numpy(case.direction[4])
    index_nm = pursue(direction_no, atoms_wo, OUT).index_nm
    (rebuilt_no,) = reconstructions(direction_no, atoms_wo, index_nm, [OUT])
    torch.testing.assert_close(rebuilt_no.double(), direction_no, atol=1e-6, rtol=0)  # fp32 at the end


def test_reconstructions_are_least_squares_of_norm_one(case: Case) -> None:
    atoms_wo = text_atoms(torch.from_numpy(case.texts_wo))
    direction_no = torch.from_numpy(case.direction[6]) * 3  # a direction's length says nothing
    index_nm = pursue(direction_no, atoms_wo, 5).index_nm
    index_nm[2, 3:] = -1  # a pursuit that ended early
    index_nm[3] = -1
    for count, rebuilt_no in zip((2, 5, 9), reconstructions(direction_no, atoms_wo, index_nm, (2, 5, 9)), strict=True):
        coef_nm = refit(direction_no, atoms_wo, index_nm[:, :count])
        picked = atoms_wo[index_nm[:, :count].clamp_min(0)]
        expected = torch.nn.functional.normalize(torch.einsum("nm,nmo->no", coef_nm, picked), eps=1e-12)
        torch.testing.assert_close(rebuilt_no.double(), expected, atol=1e-6, rtol=0)
        assert not rebuilt_no[3].any()
        assert ((rebuilt_no.double() * direction_no).sum(1) >= 0).all()


def test_a_binomial_error() -> None:
    assert binomial_error(0.5, 100) == pytest.approx(0.05) and binomial_error(1.0, 9) == 0 == binomial_error(0.3, 0)
