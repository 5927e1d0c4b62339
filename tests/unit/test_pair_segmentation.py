"""Segmentation with pairs is that of the plain loops; what cannot be segmented gets a sentence."""

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.methods import pair_segmentation as seg
from core.methods.semantic_scores import IGNORE, SemanticCounts, count
from tests.reference import plain_pair_segmentation as plain
from tests.reference.plain_segmentation import plain_resize

GRID, NEURONS, HEADS, OUT, CLASSES = (3, 4), 7, 5, 6, 3
EXACT = {"rtol": 0, "atol": 1e-13}  # float64 in another order


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def on_grid(x_bt: torch.Tensor, b: int = 0) -> np.ndarray:
    return x_bt[b].unflatten(0, GRID).numpy()


@pytest.fixture
def query_wo() -> torch.Tensor:
    texts_wo = numbers(0, CLASSES, OUT)
    found = seg.class_queries(texts_wo)
    np.testing.assert_allclose(found, plain.plain_query(texts_wo.numpy()), **EXACT)
    return found


@pytest.mark.parametrize("k", [1, 9, NEURONS * HEADS - 2])
def test_pairs_are_those_of_largest_cosine(query_wo: torch.Tensor, k: int) -> None:
    basis_mok = torch.linalg.qr(numbers(1, HEADS, OUT, 2)).Q
    coords_nmk = torch.nn.functional.normalize(numbers(2, NEURONS, HEADS, 2), dim=-1)
    coords_nmk[3, 1] = coords_nmk[6, 4] = 0  # heads that come before these neurons
    direction_nmo = torch.einsum("mok,nmk->nmo", basis_mok, coords_nmk).numpy()
    cosine_wr = seg.pair_cosines(basis_mok, coords_nmk, query_wo)
    index_wk, cosine_wk = seg.choose_pairs(cosine_wr, k)
    masks_wmn = seg.pair_masks(index_wk, NEURONS, HEADS)
    for w in range(CLASSES):
        want = plain.plain_choice(direction_nmo, query_wo[w].numpy(), k)
        assert [divmod(i, HEADS) for i in index_wk[w].tolist()] == want
        assert {(n, m) for m, n in masks_wmn[w].nonzero().tolist()} == set(want)
        values = [direction_nmo[n, m] @ query_wo[w].numpy() for n, m in want]
        np.testing.assert_allclose(cosine_wk[w], values, **EXACT)
    with pytest.raises(ValueError, match="of 33"):
        seg.choose_pairs(cosine_wr, NEURONS * HEADS - 1)


@pytest.mark.parametrize("repaired", [True, False])
def test_logits_are_the_plain_ones(query_wo: torch.Tensor, repaired: bool) -> None:
    contribution_btmo, activation_btn = numbers(3, 2, 12, HEADS, OUT), numbers(4, 2, 12, NEURONS)
    shuffled = lambda w: torch.randperm(NEURONS * HEADS, generator=torch.Generator().manual_seed(w))
    index_wk = torch.stack([shuffled(w)[:8] for w in range(CLASSES)])
    token = seg.LAST if repaired else None
    c, a = (seg.repair(x, GRID, token) for x in (contribution_btmo, activation_btn))
    similarity_bwtm = seg.head_similarity(c, query_wo)
    made = {
        "pairs": seg.pair_logits(similarity_bwtm, a, seg.pair_masks(index_wk, NEURONS, HEADS)),
        "heads": seg.head_logits(similarity_bwtm),
        "neurons": seg.neuron_logits(a, seg.pair_masks(index_wk[:, :2] // HEADS, NEURONS, 1)[:, 0]),
    }
    fix = plain.plain_repair if repaired else np.array
    for b in range(2):
        c_yxmo, a_yxn = fix(on_grid(contribution_btmo, b)), fix(on_grid(activation_btn, b))
        for w in range(CLASSES):
            query_o = query_wo[w].numpy()
            pairs = [divmod(i, HEADS) for i in index_wk[w].tolist()]
            want = {
                "pairs": plain.plain_pair_logits(c_yxmo, a_yxn, query_o, pairs),
                "heads": plain.plain_head_logits(c_yxmo, query_o),
                "neurons": plain.plain_neuron_logits(a_yxn, sorted({n for n, _ in pairs[:2]})),
            }
            for name, logits_bwt in made.items():
                np.testing.assert_allclose(logits_bwt[b, w].unflatten(0, GRID), want[name], **EXACT, err_msg=name)


def test_repair_takes_the_neighbours_that_there_are() -> None:
    x_bt = torch.arange(12.0)[None]
    assert seg.repair(x_bt, GRID)[0].tolist() == [*range(11), pytest.approx((10 + 7 + 6) / 3)]
    assert seg.repair(x_bt, GRID, 0)[0, 0] == pytest.approx((1 + 4 + 5) / 3)
    assert seg.repair(x_bt, GRID, 8)[0, 8] == pytest.approx((9 + 4 + 5) / 3)
    assert seg.repair(x_bt, (1, 12)) is x_bt and x_bt[0, 11] == 11


@pytest.mark.parametrize(
    ("shape", "crop", "stride"), [((9, 14), 6, 3), ((8, 8), 8, 4), ((7, 20), 7, 5), ((11, 6), 6, 6)]
)
def test_windows_slide_as_written_out(shape: tuple[int, int], crop: int, stride: int) -> None:
    image_cyx = numbers(5, 2, *shape)
    told: list[tuple[int, int]] = []
    thirds = lambda windows: torch.stack([windows[:, 0, ::3, ::3], windows[:, 1, ::3, ::3] ** 2], dim=1)
    ours = seg.slide(image_cyx, crop, stride, thirds, 4, lambda done, total: told.append((done, total)))
    want = plain.plain_slide(
        image_cyx.numpy(), crop, stride, lambda window: thirds(torch.from_numpy(window)[None])[0].numpy()
    )
    np.testing.assert_allclose(ours, want, **EXACT)
    assert told[-1][0] == told[-1][1] and len(told) == -(-told[-1][1] // 4)
    drawn = seg.resize(ours[None], (5, 9))[0]
    np.testing.assert_allclose(drawn[1], plain_resize(want[1], (5, 9)), **EXACT)


def test_a_crop_beyond_the_image_is_the_image() -> None:
    sides: list[int] = []

    def score(windows: torch.Tensor) -> torch.Tensor:
        sides.append(windows.shape[-1])
        return windows[:, :1, :2, :2]

    assert seg.slide(numbers(6, 3, 5, 8), 64, 2, score).shape == (1, 5, 8) and set(sides) == {5}


def test_labels_and_their_probability() -> None:
    logits_wyx = numbers(7, 4, 3, 5) / 10
    assert (seg.label(logits_wyx).numpy() == logits_wyx.numpy().argmax(0)).all()
    assert (seg.label(logits_wyx, [3, 1]).numpy() == np.array([3, 1])[logits_wyx.numpy()[[3, 1]].argmax(0)]).all()
    odds = torch.softmax(40 * logits_wyx, dim=0).amax(0)
    torch.testing.assert_close(seg.confidence(logits_wyx), odds)


@pytest.mark.parametrize(
    ("texts", "told"), [(torch.ones(1, 4), "1 class was given"), (torch.ones(3, 4), "no different from the mean")]
)
def test_classes_that_cannot_be_told_apart(texts: torch.Tensor, told: str) -> None:
    with pytest.raises(InputError, match=told):
        seg.class_queries(texts)


def test_pictures_too_large_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    never = lambda windows: pytest.fail("looked at")
    with pytest.raises(InputError, match="at most 4,096"):
        seg.slide(torch.zeros(1, 2, 5000), 2, 1, never)
    monkeypatch.setattr(seg, "MOST_LOGITS", 100)
    with pytest.raises(InputError, match="3 classes at each of 9 × 9 pixels"):
        seg.slide(torch.zeros(3, 9, 9), 9, 9, lambda windows: windows)


def test_scores_are_the_plain_ones() -> None:
    rng = np.random.default_rng(0)
    truths = [rng.integers(-1, 4, (6, 7)), rng.integers(-1, 3, (5, 5))]
    given = [rng.integers(0, 5, truth.shape) for truth in truths]
    total = sum((count(t, g, 6) for t, g in zip(truths, given, strict=True)), SemanticCounts.none(6))
    assert (total.mean_iou, total.pixel_accuracy) == pytest.approx(plain.plain_miou(truths, given, 6))
    assert np.isnan(total.iou_c[5]) and total.iou_c[4] == 0 and total.images == 2
    assert total.pixels_c.sum() == sum((truth != IGNORE).sum() for truth in truths)
    nothing = SemanticCounts.none(2)
    assert np.isnan(nothing.mean_iou) and np.isnan(nothing.pixel_accuracy)
    with pytest.raises(InputError, match="must agree"):
        count(truths[0], given[1], 6)
