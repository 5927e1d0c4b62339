"""Scenes: deterministic, every factor fixable, and the ground truth agrees with the pixels."""

import time
from dataclasses import replace

import numpy as np
import pytest

from core.errors import InputError
from demo.captions import sample_caption
from demo.stream import held_out_scene, matches, shipped_view, targets, train_batch, train_scene
from demo.vocabulary import OBJECT_NAMES, PLACES, STYLES
from demo.world import Scene, render, sample_scene


def _scene(seed: int, **fixed: object) -> Scene:
    return sample_scene(np.random.default_rng(seed), **fixed)  # type: ignore[arg-type] # factors by name


def test_the_same_seed_gives_the_same_scene_and_pixels() -> None:
    for seed in range(8):
        first, second = _scene(seed), _scene(seed)
        assert first == second
        for one, two in zip(render(first, 64), render(second, 64), strict=True):
            np.testing.assert_array_equal(one, two)
    assert _scene(1) != _scene(2)


def test_sample_i_does_not_depend_on_the_batch_it_is_in() -> None:
    whole = train_batch(seed=3, start=0, size=6, pixels=32, shipped=False)
    part = train_batch(seed=3, start=4, size=2, pixels=32, shipped=False)
    assert whole.texts[4:] == part.texts
    assert whole.claims[4:] == part.claims
    assert whole.images[4:].equal(part.images)
    assert not whole.images[4:].equal(train_batch(4, 4, 2, 32, shipped=False).images)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_factor_can_be_fixed(count: int) -> None:
    for seed in range(20):
        scene = _scene(seed, objects=["key"], place="forest", style="sepia", count=count)
        assert scene.kinds == ("key",)
        assert (scene.place, scene.style, scene.count) == ("forest", "sepia", count)
    assert _scene(0, objects=["dog", "key", "dog"]).kinds == ("dog", "key")
    assert all(_scene(seed, main="owl").objects[0].name == "owl" for seed in range(20))
    assert any(_scene(seed, main="owl").mixed for seed in range(60))


@pytest.mark.parametrize(
    "wrong", [{"objects": ["unicorn"]}, {"place": "moon"}, {"style": "cubist"}, {"count": 5}, {"main": "unicorn"}]
)
def test_an_unknown_factor_is_refused_with_the_names_that_exist(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="it has: "):
        _scene(0, **wrong)


def test_naming_two_objects_contradicts_another_count() -> None:
    with pytest.raises(InputError, match="2 objects were named"):
        _scene(0, objects=["dog", "key"], count=3)


def test_masks_lie_where_the_objects_are() -> None:
    for seed in range(60):
        scene = _scene(seed)
        image, mask = render(scene, 96)
        assert image.shape == (96, 96, 3)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) == set(range(scene.count + 1))
        for index, placed in enumerate(scene.objects):
            rows, columns = np.nonzero(mask == index + 1)
            # Trimmed glyphs are centred in their box; tilting moves an ink corner by under a tenth of the side.
            reach = placed.size * 96 * 0.62 + 1
            assert abs(columns - placed.x * 96).max() <= reach
            assert abs(rows - placed.y * 96).max() <= reach
            assert len(rows) > 0.08 * (placed.size * 96) ** 2


def test_taking_the_objects_away_changes_what_the_mask_covers_and_nothing_outside_their_boxes() -> None:
    for seed in range(20):
        scene = _scene(seed, style="colour")
        image, mask = render(scene, 96)
        empty, _ = render(replace(scene, objects=()), 96)
        changed = (image.astype(int) - empty).any(axis=2)
        assert changed[mask > 0].mean() > 0.97  # an object may share a colour with what it covers
        outside = np.ones_like(changed)
        for placed in scene.objects:
            reach = placed.size * 96 * 0.62 + 2
            top, left = (max(0, int(centre * 96 - reach)) for centre in (placed.y, placed.x))
            outside[top : int(placed.y * 96 + reach) + 1, left : int(placed.x * 96 + reach) + 1] = False
        assert not changed[outside].any()


def test_objects_stay_in_the_picture_and_groups_apart() -> None:
    for seed in range(200):
        scene = _scene(seed)
        for placed in scene.objects:
            half = placed.size / 2
            assert half - 1e-9 <= placed.x <= 1 - half + 1e-9
            assert half - 1e-9 <= placed.y <= 1 - half + 1e-9
        quadrants = {(placed.x > 0.5, placed.y > 0.5) for placed in scene.objects}
        assert scene.count == 1 or len(quadrants) == scene.count


def test_styles_do_what_they_say() -> None:
    for seed in range(20):
        scene = _scene(seed, style="colour")
        colour, grey, sepia, blurred = (
            render(replace(scene, style=style), 64)[0].astype(float)
            for style in ("colour", "black and white", "sepia", "blurred")
        )
        assert np.ptp(grey, axis=2).max() == 0
        assert (sepia[:, :, 0] > sepia[:, :, 2]).all()
        assert np.ptp(colour, axis=2).mean() > 8  # no place is grey, so that colour is decidable
        assert np.abs(np.diff(blurred, axis=0)).mean() < np.abs(np.diff(colour, axis=0)).mean()


def test_captions_name_the_factors_and_claims_are_true_of_their_own_scene() -> None:
    rng = np.random.default_rng(0)
    scenes = [held_out_scene(0, index) for index in range(200)]
    scene = _scene(0, objects=["key"], place="beach", style="sepia", count=2)
    assert scene.caption == "a sepia picture of two keys on a beach"
    captions = [sample_caption(scene, rng) for scene in scenes]
    truth = targets(scenes)
    match = matches([claim for _, claim in captions], truth)
    assert match.diagonal().all()
    for (text, claim), row in zip(captions, match, strict=True):
        if claim.objects:
            assert all(OBJECT_NAMES[index].split()[-1][:3] in text for index in claim.objects)
            assert row.float().mean() < 0.2
    assert {scene.place for scene in scenes} == set(PLACES)
    assert {scene.style for scene in scenes} == set(STYLES)


def test_targets_spread_over_the_objects_of_a_mixed_scene() -> None:
    truth = targets([_scene(0, objects=["dog", "key", "dog", "dog"])])
    assert truth["object"][0, OBJECT_NAMES.index("dog")] == 0.75
    assert truth["object"][0, OBJECT_NAMES.index("key")] == 0.25
    assert all(abs(float(value.sum()) - 1) < 1e-6 for value in truth.values())


def test_the_curriculum_ends_in_the_honest_distribution() -> None:
    early = [train_scene(0, index)[0].count for index in range(200)]
    late = [train_scene(0, 1_000_000 + index)[0].count for index in range(200)]
    assert early.count(1) > 130  # 85 % lone objects are meant
    assert 30 < late.count(1) < 70  # a quarter


def test_the_shipped_view_has_the_input_size() -> None:
    assert shipped_view(_scene(0), 144, 64).shape == (64, 64, 3)


def test_a_small_scene_renders_in_about_a_millisecond() -> None:
    scenes = [_scene(seed) for seed in range(100)]
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        for scene in scenes:
            render(scene, 64)
        best = min(best, (time.process_time() - start) / len(scenes))
    assert best < 3e-3  # 0.5 ms on an idle core; three times a millisecond leaves room for busy machines
