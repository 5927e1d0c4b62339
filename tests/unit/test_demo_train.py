"""Training: the schedule, the losses, and resuming."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from demo import recipe, train
from demo.budget import Budget
from demo.captions import FACTORS
from demo.recipe import Classifiers, Phase, caption_loss, factor_loss, rate, resize_pool
from demo.train import Trainer

TINY = (Phase(1.0, 64, 0.0, 8, shipped=False),)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setitem(recipe.PHASES, "demo-vit", TINY)
    monkeypatch.setattr(train, "FIT_STEPS", 2)


def test_budgets_end_at_one_and_resume_where_they_stood() -> None:
    fresh = Budget(samples=100, minutes=None)
    assert [fresh.progress(seen) for seen in (0, 50, 100)] == [0.0, 0.5, 1.0]
    resumed = Budget(samples=100, minutes=None, start=0.4, seen_before=20)
    assert resumed.progress(20) == pytest.approx(0.4)
    assert resumed.progress(100) == pytest.approx(1.0)
    clock = Budget(samples=None, minutes=1.0, start=0.5)
    clock.began -= 30
    assert clock.progress(0) == pytest.approx(0.75, abs=0.01)


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    assert rate(0.0, 0, warmup=10) == pytest.approx(0.1)
    assert rate(0.0, 100) == 1.0
    assert rate(0.5, 100) == pytest.approx(0.5)
    assert rate(1.0, 100) == pytest.approx(0.0)


def test_classifiers_keep_the_order_of_the_factors() -> None:
    classes = Classifiers(16)()
    assert list(classes) == list(FACTORS)
    assert [len(rows) for rows in classes.values()] == [len(names) for names in FACTORS.values()]


def test_caption_loss_counts_every_true_pair() -> None:
    image = F.normalize(torch.eye(3, 4), dim=-1)
    match = torch.tensor([[True, False, False], [False, True, False], [True, True, True]])
    true_texts = F.normalize(torch.stack([image[0], image[1], image.sum(0)]), dim=-1)
    wrong_texts = true_texts[[1, 0, 2]]
    scale = torch.tensor(10.0)
    assert caption_loss(image, true_texts, scale, match) < caption_loss(image, wrong_texts, scale, match)
    logits = (scale * true_texts @ image.T).double()
    by_text, by_image = logits.log_softmax(1), logits.log_softmax(0)
    rows = [-by_text[i, match[i]].mean() for i in range(3)]
    columns = [-by_image[match[:, j], j].mean() for j in range(3)]
    slow = (sum(rows) / 3 + sum(columns) / 3) / 2
    assert float(caption_loss(image, true_texts, scale, match)) == pytest.approx(float(slow), abs=1e-6)
    plain = caption_loss(image, image, scale, torch.eye(3, dtype=torch.bool))
    logits = scale * image @ image.T
    twin = (F.cross_entropy(logits, torch.arange(3)) + F.cross_entropy(logits.T, torch.arange(3))) / 2
    assert plain == pytest.approx(float(twin), abs=1e-6)  # one true pair each: CLIP's own loss


def test_factor_loss_falls_when_images_point_at_their_classes() -> None:
    classes = Classifiers(32)()
    targets = {factor: F.one_hot(torch.tensor([1, 2]), len(names)).float() for factor, names in FACTORS.items()}
    good = F.normalize(torch.stack([sum(classes[f][i] for f in FACTORS) for i in (1, 2)]), dim=-1)
    scale = torch.tensor(10.0)
    assert factor_loss(good, classes, scale, targets) < factor_loss(good.flip(0), classes, scale, targets)


def test_resizing_the_pool_keeps_smooth_positions() -> None:
    model = recipe.build("demo-rn", seed=0)
    assert len(model.visual.attnpool.positional_embedding) == 1 + 2 * 2
    first = model.visual.attnpool.positional_embedding[0].clone()
    resize_pool(model, 4)
    assert len(model.visual.attnpool.positional_embedding) == 1 + 4 * 4
    assert torch.equal(model.visual.attnpool.positional_embedding[0], first)


def testdct_filters_lose_nothing() -> None:
    flat = recipe.dct_filters(8).reshape(192, 192)
    assert torch.linalg.matrix_rank(flat) == 192


def test_interrupted_and_resumed_is_the_same_as_straight_through(tmp_path: Path) -> None:
    straight = train.train("demo-vit", 0, 24, None, tmp_path / "straight")
    broken = Trainer("demo-vit", 0, tmp_path / "broken", torch.device("cpu"))
    broken.enter(0.0)
    broken.step()  # 8 of 24 samples
    broken.progress = 8 / 24
    broken.save()
    resumed = train.train("demo-vit", 0, 24, None, tmp_path / "broken")
    assert straight.seen == resumed.seen == 24
    for key, value in straight.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[key], value, rtol=0, atol=1e-6)


def test_stage_two_trains_both_towers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.STAGE_ONE, "demo-vit", 0.5)
    trainer = Trainer("demo-vit", 0, tmp_path, torch.device("cpu"))
    trainer.progress = 0.6
    trainer.enter(0.6)
    trainer.fit_text()
    assert trainer.fitted
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    assert math.isfinite(trainer.step())
    after = trainer.model.state_dict()
    for key in ("token_embedding.weight", "text_projection", "visual.proj"):
        assert not torch.equal(before[key], after[key]), key


def test_fitting_points_each_prompt_at_its_own_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "FIT_STEPS", 25)
    trainer = Trainer("demo-vit", 0, tmp_path, torch.device("cpu"))
    trainer.fit_text()
    prompts, sizes = recipe.sample_prompts(np.random.default_rng(0))
    with torch.no_grad():
        texts = recipe.by_factor(recipe.encode(trainer.model, prompts), sizes)
        classes = trainer.classifiers()
    # Styles and counts have few, frequent words: 25 steps are enough to see them aligned with their own directions.
    for factor in ("style", "count"):
        assert (texts[factor] * classes[factor]).sum(1).mean() > 0.15, factor
