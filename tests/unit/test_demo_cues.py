"""Scenes composed from cues, and the table of how often they fool a model."""

import csv
from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.errors import InputError
from core.store import Store
from core.store.cues import CueWord
from demo import cues as table
from demo.compose import PER_SCENE, Drawable, compose, cues, drawable, speaks
from demo.pool import pool_texts
from demo.vocabulary import CATEGORIES, OBJECT_NAMES, plural
from demo.world import render
from tests import bundle_maker


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a photo of a Hot Dog", ["hot dog"]),
        ("two trees and a christmas tree in the woods", ["two", "tree", "christmas tree", "forest"]),
        ("over a polka dot pattern", ["dots"]),
        ("on a plain colour", ["plain"]),
        ("an out of focus picture of boxes of popcorn", ["blurred", "popcorn"]),
        ("a cat, a cat", ["cat"]),
        ("an animal", []),
        ("scattered", []),
    ],
)
def test_what_of_a_text_can_be_drawn(text: str, expected: list[str]) -> None:
    assert [each.value for each in drawable(text)] == expected


def test_only_categories_of_the_pool_cannot_be_drawn() -> None:
    nothing = [text for text in pool_texts() if not drawable(text)]
    assert all(any(name in text or plural(name) in text for name in CATEGORIES) for text in nothing)


def test_cues_add_up_over_texts_without_the_classes_themselves() -> None:
    found = cues([("a cat in the snow", 2.0), ("two dogs in falling snow", 1.0), ("an animal", 9.0)], ["dog"])
    assert {(each.factor, each.value): w for each, w in found.items()} == {
        ("place", "snow"): 3.0,
        ("object", "cat"): 2.0,
        ("count", "two"): 1.0,
    }
    assert list(cues([("a cat in the snow", 2.0), ("snow", 1.0)], most=1).values()) == [3.0]


def test_scenes_keep_to_their_cues_and_to_their_subject() -> None:
    weight = {Drawable("object", "cat"): 1.0, Drawable("object", "key"): 1.0, Drawable("object", "bee"): 1.0}
    weight |= {Drawable("place", "snow"): 1.0, Drawable("place", "desert"): 1.0, Drawable("count", "three"): 1.0}
    rng = np.random.default_rng(0)
    scenes = [compose(rng, "dog", weight) for _ in range(200)]
    for scene in scenes:
        names = [placed.name for placed in scene.objects]
        others = [name for name in names if name != "dog"]
        assert names[0] == "dog" and len(others) <= names.count("dog") and len(names) <= 4
        assert set(others) <= {"cat", "key", "bee"} and len(set(others)) == len(others) < PER_SCENE
    assert {scene.count for scene in scenes} == {3, 4}  # three cues: two others, or one and a number
    assert sum(scene.place in ("snow", "desert") for scene in scenes) > 100
    three = weight | {Drawable("count", "three"): 1e9}
    assert all(compose(rng, "dog", three).count == 3 for _ in range(50))
    heavy = [compose(rng, "dog", {Drawable("place", "snow"): 1.0}) for _ in range(50)]
    assert all(scene.place == "snow" and scene.kinds == ("dog",) for scene in heavy)
    assert render(heavy[0], 64)[0].shape == (64, 64, 3)


def test_heavier_cues_are_drawn_more_often() -> None:
    weight = {Drawable("place", "snow"): 3.0, Drawable("place", "desert"): 1.0}
    rng = np.random.default_rng(1)
    share = np.mean([compose(rng, "dog", weight).place == "snow" for _ in range(2000)])
    assert share == pytest.approx(0.75, abs=0.04)  # four standard deviations of 2,000 draws


def test_an_unknown_subject_is_refused_and_only_its_own_classes_are_spoken() -> None:
    with pytest.raises(InputError, match="no object 'unicorn'"):
        compose(np.random.default_rng(0), "unicorn", {})
    assert speaks(OBJECT_NAMES) and speaks(["dog", "cat"])
    assert not speaks(["dog"]) and not speaks([]) and not speaks(["dog", "unicorn"])


def test_pairs_are_different_classes_and_alike_if_wanted() -> None:
    class_co = np.random.default_rng(0).standard_normal((20, 8))
    drawn = table.pairs(class_co, 15, 2, seed=3)
    assert len(set(drawn)) == 15 and all(a != b for a, b in drawn) and len({a for a, _ in drawn}) == 8
    assert drawn == table.pairs(class_co, 15, 2, seed=3) != table.pairs(class_co, 15, 2, seed=4)
    centred = class_co - class_co.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    for a, b in table.pairs(class_co, 20, 1, seed=3, among=2):
        assert b in sorted(range(20), key=lambda c: -(unit[a] @ unit[c]))[1:3]
    for number, each in ((0, 1), (5, 20), (41, 2), (1, 0)):
        with pytest.raises(InputError, match="cannot be drawn"):
            table.pairs(class_co, number, each, seed=0)


def test_an_interval_counts_groups_not_scenes() -> None:
    value = np.repeat([0.0, 1.0, 0.0, 1.0], 50)
    together, apart = np.repeat([0, 1, 2, 3], 50), np.arange(200)
    wide, narrow = (np.diff(table.interval(value, group))[0] for group in (together, apart))
    # standard errors 1/4 and 1/28; the first is coarse, with four groups
    assert wide > 4 * narrow and narrow == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(200), rel=0.1)


def test_outcomes_count_what_scenes_are_taken_for(tmp_path: Path) -> None:
    names = ("dog", "cat", "key")
    staged = table.stage(names, 0, 1, [CueWord("a key in the snow", 1.0)], 4, seed=5)
    assert staged == table.stage(names, 0, 1, [CueWord("a key in the snow", 1.0)], 4, seed=5)
    units = np.array([[1, 0, 0], [0, 1, 0], [0.3, 0.2, 0.9], [0.2, 0.3, 0.9]], np.float32)
    made = table.outcome(units, np.eye(3, dtype=np.float32), 0, 1, staged)
    assert made.predicted == (0, 1, 2, 2) and made.nearer == (False, True, False, True)
    assert made.shares == (0.25, 0.75, 0.5)
    lines = table.table({"neurons": [made]})
    assert "1 pairs of classes, 4 scenes" in lines[0] and "25.0%" in lines[2] and "75.0%" in lines[2]
    table.write({"neurons": [made]}, names, tmp_path / "cues.csv")
    row = next(csv.DictReader((tmp_path / "cues.csv").open(encoding="utf-8")))
    assert (row["taken_for_c2"], row["not_for_c1"], row["taken_for"]) == ("1", "3", "key 2; dog 1; cat 1")
    assert set(row["cues"].split("; ")) == {"key", "snow"}


def test_a_bundle_of_other_classes_is_told_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = bundle_maker.make(tmp_path / "tiny-0123abcd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "class_names", lambda self: ("dog", "unicorn"))
        with pytest.raises(InputError, match="python -m precompute run --model demo-vit"):
            table.check(Store(open_bundle(folder)))
        assert table.main([str(folder)]) == 1 and "demo/images" in capsys.readouterr().err
    assert table.main([str(tmp_path / "nowhere")]) == 1 and table.main([str(folder), "--scenes", "0"]) == 1
