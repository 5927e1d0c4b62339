"""Maps and scores of zero-shot segmentation are those of the plain loops; bad masks get a sentence."""

import math

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.methods import segmentation as seg
from core.methods.segmentation_scores import IGNORE, SegmentationCounts, rate
from tests.reference import plain_segmentation as plain

GRID = (3, 4)


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(seed: int, *shape: int) -> torch.Tensor:
    return torch.softmax(2 * numbers(seed, *shape), dim=-1)


@pytest.mark.parametrize("top", [1, 5, 200])
def test_neuron_maps_are_the_plain_ones(top: int) -> None:
    activation_btn, directions_no, texts_wo = numbers(0, 2, 13, 20), numbers(1, 20, 6), numbers(2, 3, 6)
    index_wk, similarity_wk = seg.choose_neurons(directions_no, texts_wo, top)
    assert index_wk.shape == similarity_wk.shape == (3, min(top, 20))
    for w, text_o in enumerate(texts_wo):
        ours_byx = seg.neuron_map(activation_btn, index_wk[w], GRID)
        torch.testing.assert_close(similarity_wk[w], directions_no[index_wk[w]] @ text_o)
        for b in range(2):
            want = plain.plain_neuron_map(
                activation_btn[b].numpy(), directions_no.numpy(), text_o.numpy(), min(top, 20), GRID
            )
            np.testing.assert_allclose(ours_byx[b], want, rtol=0, atol=1e-14)


def test_a_sign_turns_a_neuron_around() -> None:
    activation_btn, sign_k = numbers(0, 1, 13, 20), torch.tensor([0.3, -2.0])
    signed = seg.neuron_map(activation_btn, torch.tensor([4, 9]), GRID, sign_k)
    alone = [seg.neuron_map(activation_btn, torch.tensor([n]), GRID) for n in (4, 9)]
    torch.testing.assert_close(signed, (alone[0] - alone[1]) / 2)


def test_attention_maps_are_the_plain_ones() -> None:
    attn_lbhts = [attention(seed, 2, 3, 13, 13) for seed in range(4)]
    ours = seg.rollout_map(attn_lbhts, GRID)
    for b in range(2):
        want = plain.plain_rollout(np.stack([attn[b].numpy() for attn in attn_lbhts]), GRID)
        np.testing.assert_allclose(ours[b], want, rtol=0, atol=1e-15)
    raw = seg.attention_map(attn_lbhts[-1][:, :, 0], GRID)
    np.testing.assert_allclose(raw[1], attn_lbhts[-1][1, :, 0, 1:].mean(0).reshape(GRID))


def test_resized_stretched_and_cut() -> None:
    map_byx = numbers(5, 2, *GRID)
    large = seg.resize(map_byx, (10, 7))
    for b in range(2):
        np.testing.assert_allclose(large[b], plain.plain_resize(map_byx[b].numpy(), (10, 7)), rtol=0, atol=1e-14)
    unit = seg.stretch(large)
    assert unit.amin() == 0 and (unit.amax((1, 2)) == 1).all()
    order = large[0].flatten().argsort()
    assert (unit[0].flatten()[order].diff() >= 0).all()
    assert torch.equal(seg.mask(unit), unit > 0.5)
    assert torch.equal(seg.mask(unit, None)[1], unit[1] > unit[1].mean())


def test_a_constant_map_is_nowhere() -> None:
    flat = seg.stretch(torch.full((1, 3, 3), 7.0))
    assert (flat == 0).all() and not seg.mask(flat).any() and not seg.mask(flat, None).any()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="13 patches; a grid of 3 x 4 has 12"):
        seg.neuron_map(numbers(0, 1, 14, 5), torch.tensor([0]), GRID)
    with pytest.raises(ValueError, match="at least one layer"):
        seg.rollout_map([], GRID)
    with pytest.raises(ValueError, match="at least one"):
        seg.choose_neurons(numbers(0, 4, 3), numbers(1, 1, 3), 0)


def example(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map with ties, a truth with ignored pixels, a mask."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 9, (6, 5)) / 8
    truth = np.where(score + rng.normal(0, 0.4, score.shape) > 0.5, 1, 0)
    truth[rng.random(truth.shape) < 0.15] = IGNORE
    return score, truth, score > 0.5


@pytest.mark.parametrize("images", [1, 4])
def test_scores_are_the_protocols(images: int) -> None:
    examples = [example(seed) for seed in range(images)]
    counts = sum((rate(*one) for one in examples), SegmentationCounts())
    maps, truths, masks = (list(each) for each in zip(*examples, strict=True))
    accuracy, iou, precision = plain.plain_scores(maps, truths, masks, IGNORE)
    assert counts.pixel_accuracy == pytest.approx(accuracy, abs=1e-15)
    assert counts.mean_iou == pytest.approx(iou, abs=1e-15)
    assert counts.mean_precision == pytest.approx(precision, abs=1e-14)
    assert counts.images == images


def test_a_perfect_map_scores_one_and_its_opposite_nothing() -> None:
    truth = np.eye(4, dtype=int)
    good = rate(truth.astype(float), truth, truth == 1)
    assert (good.pixel_accuracy, good.mean_iou, good.mean_precision) == (1, 1, 1)
    bad = rate(1 - truth.astype(float), truth, truth == 0)
    assert (bad.pixel_accuracy, bad.mean_iou) == (0, 0)
    assert bad.mean_precision == 0.5, "the protocol puts both classes into one list: half of it is always positive"


def test_nothing_rated_is_no_number() -> None:
    nothing = SegmentationCounts()
    assert all(math.isnan(x) for x in (nothing.pixel_accuracy, nothing.mean_iou, nothing.mean_precision))


@pytest.mark.parametrize(
    ("score", "truth", "says"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), int), "a true mask of its own size"),
        (np.zeros((2, 2)), np.full((2, 2), 255), r"holds \[255\]"),
        (np.zeros((2, 2)), np.full((2, 2), IGNORE), "nothing to rate"),
        (np.full((2, 2), 1.5), np.zeros((2, 2), int), "leaves"),
        (np.full((2, 2), np.nan), np.zeros((2, 2), int), "leaves"),
    ],
)
def test_a_mask_that_does_not_match_gets_a_sentence(score: np.ndarray, truth: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        rate(score, truth, score > 0.5)
