"""Sparsity and rank against every contribution of tiny models written out, for a ResNet and for layers of a ViT."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from core.methods.neuron_head import NeuronHead
from core.methods.neuron_lens import neuron_lens
from core.methods.sparse_text import text_atoms
from precompute import sparsity as judging
from precompute import sparsity_fit as module
from precompute.sparsity import Judged, Row, sparsity
from precompute.sparsity_command import Held
from precompute.sparsity_fit import Change, Grid, fitted
from precompute.sparsity_texts import DescribedPairs, text_rows
from tests.reference.plain_pairs import plain_ablated, plain_components, plain_contributions, plain_rebuilt, plain_score
from tests.reference.plain_sparse_text import plain_atoms, plain_pursuit
from tests.towers.tiny import images, tiny_tower

IMAGES, CLASSES, TEXTS, LARGEST = 60, 7, 30, 9
GRID = Grid((100.0, 50.0, 10.0), (1, 3))
NEURONS = 24  # of each layer: enough for what differs, few enough to write everything out


class Case:
    """Some neurons of each layer, and the unit representations of images whose classes they have a say in."""

    def __init__(self, kind: str) -> None:
        torch.set_num_threads(1)
        tower = tiny_tower(kind)
        layers = (0,) if kind == "resnet" else (1, 2)
        trace = tower.trace(images(tower, IMAGES), (), neurons=layers)
        self.lenses: list[NeuronHead] = []
        self.s_inm: list[np.ndarray] = []
        for layer in layers:
            lens = neuron_lens(tower, layer)
            s_bnm = lens.scalars(trace)[:, :NEURONS]
            lens.value_nmk = lens.value_nmk[:NEURONS].contiguous()
            self.lenses.append(lens)
            self.s_inm.append(s_bnm.numpy())
        # a representation in which these few neurons have a say, and a rest that has one too
        whole_io = (trace.representation_bo / trace.norm_b[:, None]).numpy()
        sums = [r_inmo.sum((1, 2)) for r_inmo in self.contributions()]
        part_io = np.sum([sum_io - sum_io.mean(0) for sum_io in sums], axis=0)
        rest_io = whole_io - whole_io.mean(0)
        self.unit_io = part_io / np.linalg.norm(part_io) + 0.1 * rest_io / np.linalg.norm(rest_io)
        self.unit_io *= np.linalg.norm(part_io)
        rng, basis_ro = np.random.default_rng(1), np.linalg.svd(self.unit_io)[2][:6]
        self.classes_co = rng.standard_normal((CLASSES, 6)) @ basis_ro
        self.label_i = (self.unit_io @ self.classes_co.T).argmax(1)  # nothing changed is all right
        self.label_i[::11] = -1
        self.texts_wo = rng.standard_normal((TEXTS, self.unit_io.shape[1]))

    @property
    def held(self) -> Held:
        by_layer = {lens.layer: s.transpose(1, 0, 2) for lens, s in zip(self.lenses, self.s_inm, strict=True)}
        return Held({layer: np.ascontiguousarray(s_nim) for layer, s_nim in by_layer.items()})

    @property
    def judged(self) -> Judged:
        return Judged(self.unit_io, self.label_i, self.classes_co.astype(np.float32))

    def contributions(self) -> list[np.ndarray]:
        """(i, n, m, o) of each layer."""
        return [
            plain_contributions(s, lens.directions().numpy()) for lens, s in zip(self.lenses, self.s_inm, strict=True)
        ]

    def top1(self, changed_io: np.ndarray) -> float:
        kept = self.label_i >= 0
        return float(((changed_io @ self.classes_co.T).argmax(1) == self.label_i)[kept].mean())


@pytest.fixture(scope="module", params=["resnet", "vit"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", LARGEST)
    for each in (module, judging):
        monkeypatch.setattr(each, "ENTRIES", 700)  # a neuron at a time, and a few images


def _units(r_inmo: np.ndarray, unit: str) -> list[np.ndarray]:
    n, m = r_inmo.shape[1:3]
    if unit == "pairs":
        return [r_inmo[:, a, b] for a in range(n) for b in range(m)]
    return list((r_inmo.sum(2) if unit == "neurons" else r_inmo.sum(1)).transpose(1, 0, 2))


def _kept(r_inmo: np.ndarray, unit: str, percent: float) -> np.ndarray:
    units = _units(r_inmo, unit)
    return plain_ablated(units, [plain_score(r_io, LARGEST) for r_io in units], percent)


def _rebuilt(r_inmo: np.ndarray, unit: str, count: int) -> np.ndarray:
    units = _units(r_inmo, unit)
    return plain_rebuilt(units, [plain_components(r_io, LARGEST, count) for r_io in units])


def _texts(r_inmo: np.ndarray, unit: str, count: int, atoms_wo: np.ndarray) -> np.ndarray:
    units, others = _units(r_inmo, unit), []
    for r_io in units:
        (direction_o,) = plain_components(r_io, LARGEST, 1)
        picked = plain_pursuit(direction_o, atoms_wo, count)
        made_o = np.array(picked.coefficient) @ atoms_wo[picked.index]
        others.append(made_o[None] / np.linalg.norm(made_o))
    return plain_rebuilt(units, others)


def _check(
    case: Case, rows: Sequence[Row], plain: dict[tuple[str, str | None, float | None], list[np.ndarray]]
) -> None:
    """Every row against what stands in for each layer's sum of contributions."""
    total = [r_inmo.sum((1, 2)) for r_inmo in case.contributions()]
    layers = [None] if len(total) == 1 else [lens.layer for lens in case.lenses]
    expected = {}
    for key, made in plain.items():
        changes = [made_io - all_io for made_io, all_io in zip(made, total, strict=True)]
        expected |= {
            (*key, layer): case.top1(case.unit_io + change) for layer, change in zip(layers, changes, strict=True)
        }
        expected[*key, None] = case.top1(case.unit_io + sum(changes))
    found = {(row.change.kind, row.change.unit, row.change.amount, row.layer): row.top1 for row in rows}
    assert set(found) == set(expected) and len(found) == len(rows)
    # float32 sums can turn a near-tie: of one image at most
    worst = max(abs(found[key] - expected[key]) for key in expected)
    off = {key: (found[key], expected[key]) for key in expected if abs(found[key] - expected[key]) > 1e-9}
    assert worst <= 1.5 / (case.label_i >= 0).sum(), off
    assert {row.images for row in rows} == {int((case.label_i >= 0).sum())}


def test_every_row_equals_contributions_written_out(case: Case) -> None:
    fits = fitted(case.lenses, case.held, IMAGES, GRID)
    rows = sparsity(fits, case.held, case.judged)
    all_inmo = case.contributions()
    plain: dict[tuple[str, str | None, float | None], list[np.ndarray]] = {
        ("all", None, None): [np.broadcast_to(r.sum((1, 2)).mean(0), r.shape[::3]) for r in all_inmo]
    }
    for percent in GRID.keep:
        for unit in ("pairs", "neurons", "heads"):
            plain["kept", unit, percent] = [_kept(r_inmo, unit, percent) for r_inmo in all_inmo]
    for count in GRID.components:
        plain["components", "neurons", count] = [_rebuilt(r_inmo, "neurons", count) for r_inmo in all_inmo]
    plain["components", "pairs", 1] = [_rebuilt(r_inmo, "pairs", 1) for r_inmo in all_inmo]
    assert rows[0].change == module.NONE and rows[0].top1 == 1
    _check(case, rows[1:], plain)
    by = {(row.change.kind, row.change.unit, row.change.amount): row for row in rows if row.layer is None}
    assert by["kept", "pairs", 100.0].top1 == by["components", "pairs", 1].top1 == 1 > by["kept", "pairs", 10.0].top1
    pairs = sum(fit.mean_nm.size for fit in fits)
    assert by["kept", "pairs", 100.0].change.units == pairs
    assert by["kept", "pairs", 50.0].change.units == pytest.approx(pairs / 2, abs=len(fits))


def test_scores_that_are_known_change_nothing(case: Case) -> None:
    fits = fitted(case.lenses, case.held, IMAGES, GRID)
    known = fitted(case.lenses, case.held, IMAGES, GRID, [fit.pair_score_nm for fit in fits])
    assert sparsity(known, case.held, case.judged) == sparsity(fits, case.held, case.judged)
    turned = fitted(case.lenses, case.held, IMAGES, GRID, [-fit.pair_score_nm for fit in fits])
    assert sparsity(turned, case.held, case.judged) != sparsity(fits, case.held, case.judged)


def test_texts_of_pairs_and_neurons(case: Case) -> None:
    fits = fitted(case.lenses, case.held, IMAGES, GRID)
    atoms_wo = text_atoms(torch.from_numpy(case.texts_wo))
    rows = text_rows(fits, case.held, case.judged, atoms_wo, (1, 4), "words")
    plain_wo, all_inmo = plain_atoms(case.texts_wo, "unit"), case.contributions()
    plain: dict[tuple[str, str | None, float | None], list[np.ndarray]] = {
        ("texts", unit, count): [_texts(r_inmo, unit, count, plain_wo) for r_inmo in all_inmo]
        for unit in ("pairs", "neurons")
        for count in (1, 4)
    }
    _check(case, rows, plain)
    assert {row.change.pool for row in rows} == {"words"} and len({row.top1 for row in rows}) > 1


def test_described_pairs_are_kept_and_rebuilt_alone(case: Case) -> None:
    """A bundle's axis of heads: those of the first layer, of which a later layer's are the last."""
    fits = fitted(case.lenses, case.held, IMAGES, GRID)
    heads, rng = len(case.lenses[0].pairs), np.random.default_rng(3)
    plain_wo, atoms_wo = plain_atoms(case.texts_wo, "unit"), text_atoms(torch.from_numpy(case.texts_wo))
    picks = [rng.choice(NEURONS * len(lens.pairs), 20, replace=False) for lens in case.lenses]
    row_p, index_pv, kept, texts = [], [], [], []
    for at, (lens, r_inmo, mine) in enumerate(zip(case.lenses, case.contributions(), picks, strict=True)):
        m, mean_o = len(lens.pairs), r_inmo.sum((1, 2)).mean(0)
        kept_io, texts_io = mean_o.copy(), mean_o.copy()
        for pair in mine:
            neuron, head = divmod(int(pair), m)
            direction_o = lens.directions([neuron])[0, head].double().numpy()
            picked = plain_pursuit(direction_o / np.linalg.norm(direction_o), plain_wo, 2)
            made_o = np.array(picked.coefficient) @ plain_wo[picked.index]
            centred_io = r_inmo[:, neuron, head] - r_inmo[:, neuron, head].mean(0)
            kept_io = kept_io + centred_io
            texts_io = texts_io + np.outer(centred_io @ made_o, made_o) / (made_o @ made_o)
            row_p.append((at * NEURONS + neuron) * heads + head + heads - m)
            index_pv.append(picked.index)
        kept.append(kept_io)
        texts.append(texts_io)
    mixed = rng.permutation(len(row_p))
    described = DescribedPairs(fits, np.array(row_p)[mixed], np.array(index_pv)[mixed], atoms_wo, (2,), "words")
    rows = sparsity(fits, case.held, case.judged, more=[described])
    of = [row for row in rows if row.change.units in (20, 40) and row.change.unit == "pairs"]
    ours = [row for row in of if row.change.kind == "texts" or row.change.amount not in GRID.keep]
    shares = {row.change.amount for row in ours if row.change.kind == "kept"}
    plain = {("kept", "pairs", share): kept for share in shares} | {("texts", "pairs", 2): texts}
    if len(shares) == 1:
        _check(case, ours, plain)
    by_layer = {(row.change.kind, row.layer): row.top1 for row in ours}
    for lens, kept_io, texts_io, r_inmo in zip(case.lenses, kept, texts, case.contributions(), strict=True):
        layer = None if len(kept) == 1 else lens.layer
        rest_io = case.unit_io - r_inmo.sum((1, 2))
        for kind, made_io in (("kept", kept_io), ("texts", texts_io)):
            assert by_layer[kind, layer] == pytest.approx(case.top1(rest_io + made_io), abs=0.03)
    (together,) = (row.change.amount for row in ours if row.change.kind == "kept" and row.layer is None)
    assert together == pytest.approx(100 * 20 * len(fits) / sum(fit.mean_nm.size for fit in fits))
    assert ours[-1].change == Change("texts", "pairs", 2, 20 * len(fits), "words")


def test_a_change_that_comes_again_counts_once(case: Case) -> None:
    """What is described may be as many pairs as a percentage keeps."""
    fits = fitted(case.lenses, case.held, IMAGES, GRID)
    heads, row_p = len(case.lenses[0].pairs), []
    for at, fit in enumerate(fits):
        neuron, head = np.nonzero(fit.masks["pairs"][1].numpy())
        row_p.append((at * NEURONS + neuron) * heads + head + heads - len(fit.lens.pairs))
        assert fit.mean_nm.size == 2 * len(neuron)
    rows = np.concatenate(row_p)
    atoms_wo = text_atoms(torch.from_numpy(case.texts_wo))
    described = DescribedPairs(fits, rows, np.zeros((len(rows), 1), np.int64), atoms_wo, (1,), "words")
    plain, more = (sparsity(fits, case.held, case.judged, more=extra) for extra in ((), (described,)))
    assert [row for row in more if row.change.kind != "texts"] == plain and len(more) > len(plain)


def test_images_without_classes_are_refused(case: Case) -> None:
    fits = fitted(case.lenses, case.held, IMAGES, GRID)
    none = Judged(case.unit_io, np.full(IMAGES, -1), case.classes_co)
    with pytest.raises(ValueError, match="has a class"):
        sparsity(fits, case.held, none)
