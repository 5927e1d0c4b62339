"""Mean-ablation and rebuilding in the heads' own spaces, against contributions written out in full."""

import numpy as np
import pytest
import torch

from core.methods import pair_ablation
from core.methods.pair_ablation import (
    along_texts,
    components,
    head_norms,
    head_values,
    kept_heads,
    kept_pairs,
    rebuilt,
    write,
)
from core.methods.pair_scores import mask_percentile
from core.methods.sparse_text import AtomScaling, pursue, text_atoms
from tests.reference.plain_pairs import (
    plain_ablated,
    plain_components,
    plain_contributions,
    plain_rebuilt,
    plain_score,
)
from tests.reference.plain_sparse_text import plain_atoms, plain_pursuit

N, IMAGES, M, WIDTH, OUT, K, W = 7, 19, 4, 3, 9, 6, 40
ATOL = 2e-5  # float32 sums of N * M numbers of a few units


class Case:
    """Weights and scalars of a small layer; `r_inmo` every contribution, float64."""

    def __init__(self, heads: int = M) -> None:
        torch.manual_seed(2)
        torch.set_num_threads(1)
        self.value_nmk, self.writer_mok = torch.randn(N, heads, WIDTH), torch.randn(heads, OUT, WIDTH)
        self.s_inm = torch.randn(IMAGES, N, heads) + 0.4
        self.direction_nmo = torch.einsum("nmk,mok->nmo", self.value_nmk, self.writer_mok)
        self.centred_inm = self.s_inm - self.s_inm.mean(0)
        self.r_inmo = plain_contributions(self.s_inm.numpy(), self.direction_nmo.double().numpy())

    @property
    def pairs(self) -> list[np.ndarray]:
        return [self.r_inmo[:, n, m] for n in range(N) for m in range(self.r_inmo.shape[2])]

    @property
    def neurons(self) -> list[np.ndarray]:
        return list(self.r_inmo.sum(2).transpose(1, 0, 2))

    @property
    def heads(self) -> list[np.ndarray]:
        return list(self.r_inmo.sum(1).transpose(1, 0, 2))

    @property
    def mean_o(self) -> np.ndarray:
        return self.r_inmo.sum((1, 2)).mean(0)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.mark.parametrize("percent", [100, 50, 20, 1])
@pytest.mark.parametrize("level", ["pairs", "neurons", "heads"])
def test_what_is_kept_of_a_representation(case: Case, level: str, percent: float) -> None:
    units = getattr(case, level)
    scores = np.array([plain_score(r_io, K) for r_io in units])
    mask = torch.from_numpy(mask_percentile(scores, 100 - percent))
    if level == "heads":
        (change_io,) = kept_heads(head_values(case.centred_inm, case.value_nmk), case.writer_mok, [mask])
    else:
        mask_nm = mask.reshape(N, -1)
        (change_io,) = kept_pairs(case.centred_inm, case.value_nmk, case.writer_mok, [mask_nm])
    expected_io = plain_ablated(units, scores, percent)
    np.testing.assert_allclose(case.mean_o + change_io.double().numpy(), expected_io, atol=ATOL)
    if percent == 100:
        np.testing.assert_allclose(expected_io, case.r_inmo.sum((1, 2)), atol=1e-12)
    else:
        assert np.abs(expected_io - case.r_inmo.sum((1, 2))).max() > 1


def test_no_masks_keep_nothing(case: Case) -> None:
    assert kept_pairs(case.centred_inm, case.value_nmk, case.writer_mok, []).shape == (0, IMAGES, OUT)
    assert kept_heads(head_values(case.centred_inm, case.value_nmk), case.writer_mok, []).shape == (0, IMAGES, OUT)


def test_norms_of_heads(case: Case) -> None:
    found_im = head_norms(head_values(case.centred_inm, case.value_nmk), case.writer_mok)
    expected = np.stack([np.linalg.norm(r_io - r_io.mean(0), axis=1) for r_io in case.heads], axis=1)
    np.testing.assert_allclose(found_im.numpy(), expected, rtol=1e-5)


def _components(case: Case, count: int, largest: int = K) -> pair_ablation.Components:
    reduce_ncm = torch.linalg.qr(case.direction_nmo.double().transpose(1, 2), mode="r").R
    norm_in = torch.einsum("inm,nmo->ino", case.centred_inm, case.direction_nmo).norm(dim=-1)
    top_ni = norm_in.T.topk(min(largest, IMAGES), dim=1).indices
    top_nim = torch.stack([case.centred_inm[rows, n] for n, rows in enumerate(top_ni)])
    return components(top_nim, reduce_ncm, count)


@pytest.mark.parametrize("largest", [K, 2, IMAGES])  # fewer images than heads, and more
def test_components_are_singular_vectors_and_rebuild_as_they_do(case: Case, largest: int) -> None:
    found = _components(case, M + 1, largest)
    directions_nro = found.directions(case.value_nmk, case.writer_mok).double().numpy()
    rank = min(largest, M)
    plain = [plain_components(r_io, largest, rank) for r_io in case.neurons]
    np.testing.assert_allclose(directions_nro[:, :rank], np.stack(plain), atol=2e-5)
    assert not directions_nro[:, rank:].any() and not found.strength_nr[:, rank:].any()
    counts = (1, 2, rank, M + 1)
    along_nir = found.along(case.centred_inm)
    ours = rebuilt(along_nir, found.directions(case.value_nmk, case.writer_mok), counts)
    for count, change_io in zip(counts, ours, strict=True):
        expected_io = plain_rebuilt(case.neurons, [vectors_ro[:count] for vectors_ro in plain])
        np.testing.assert_allclose(case.mean_o + change_io.double().numpy(), expected_io, atol=ATOL)


def _rebuilt(case: Case, count: int) -> torch.Tensor:
    found = _components(case, count)
    directions_nro = found.directions(case.value_nmk, case.writer_mok)
    (sum_io,) = rebuilt(found.along(case.centred_inm), directions_nro, (count,))
    return sum_io


def test_as_many_components_as_heads_are_everything_and_one_is_not(case: Case) -> None:
    everything = write(head_values(case.centred_inm, case.value_nmk), case.writer_mok)
    torch.testing.assert_close(_rebuilt(case, M), everything, atol=ATOL, rtol=0)
    assert (_rebuilt(case, 1) - everything).abs().max() > 0.5


def test_one_component_is_the_whole_pair() -> None:
    case = Case(heads=1)  # a neuron with one head is a pair
    everything = write(head_values(case.centred_inm, case.value_nmk), case.writer_mok)
    torch.testing.assert_close(_rebuilt(case, 1), everything, atol=ATOL, rtol=0)


def test_a_neuron_that_never_varies_has_no_component() -> None:
    found = components(torch.zeros(2, K, M), torch.randn(2, M, M), 2)
    assert not found.mix_nmr.any() and not found.read_nmr.any() and not found.strength_nr.any()


@pytest.mark.parametrize("scaling", ["unit", "paper"])
def test_pairs_rebuilt_from_texts(case: Case, scaling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_ablation, "_ENTRIES", 100)  # several parts
    texts_wo = np.random.default_rng(4).standard_normal((W, OUT))
    length_nm = case.direction_nmo.norm(dim=-1)
    unit_po = (case.direction_nmo / length_nm[..., None]).reshape(-1, OUT)
    x_ip = (case.centred_inm * length_nm).reshape(IMAGES, -1)
    atoms_wo = text_atoms(torch.from_numpy(texts_wo), AtomScaling(scaling))
    counts = (1, 3)
    found_rio = along_texts(x_ip, unit_po, atoms_wo, pursue(unit_po, atoms_wo, 3).index_nm, counts)
    plain_wo = plain_atoms(texts_wo, scaling)
    for count, change_io in zip(counts, found_rio, strict=True):
        others = []
        for direction_o in unit_po.numpy():
            picked = plain_pursuit(direction_o, plain_wo, count)
            made_o = np.array(picked.coefficient) @ plain_wo[picked.index]
            others.append(made_o[None] / np.linalg.norm(made_o))
        expected_io = plain_rebuilt(case.pairs, others)
        np.testing.assert_allclose(case.mean_o + change_io.double().numpy(), expected_io, atol=ATOL)
