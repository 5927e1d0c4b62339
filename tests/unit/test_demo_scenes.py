"""Scenes of several different objects, and their label maps and classes, tell the truth about each other."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.scenes import CLASSES, context_scene, label_map, write_scenes
from demo.stream import HELD_OUT, SCENES, SHIPPED, TRAIN
from demo.vocabulary import OBJECT_NAMES
from demo.world import render
from precompute.semantic_data import LabelMaps, find, read_classes

NUMBER, SIDE = 5, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes")
    write_scenes(out, NUMBER, SIDE)
    return out


def test_scenes_show_two_to_four_different_objects() -> None:
    scenes = [context_scene(i) for i in range(2 * len(OBJECT_NAMES))]
    assert {len(scene.kinds) for scene in scenes} == {2, 3, 4}
    assert all(len(scene.kinds) == scene.count for scene in scenes)
    assert {scene.objects[0].name for scene in scenes} == set(OBJECT_NAMES)
    assert context_scene(3) == context_scene(3) != context_scene(3, seed=1)
    assert len({TRAIN, HELD_OUT, SHIPPED, SCENES}) == 4, "never a scene that training saw"


def test_a_label_map_names_what_stands_where(folder: Path) -> None:
    found = find(folder, None, None)
    names = read_classes(found.classes)
    assert list(names.values()) == list(CLASSES) and list(names) == list(range(1, len(CLASSES) + 1))
    labels = LabelMaps(found.labels, names)
    for i in range(NUMBER):
        scene = context_scene(i)
        pixels, mask_yx = render(scene, SIDE)
        position_yx = labels.read(f"{i:05d}.webp", (SIDE, SIDE))
        for n, placed in enumerate(scene.objects, start=1):
            assert (mask_yx == n).sum() > 50 and set(position_yx[mask_yx == n]) == {CLASSES.index(placed.name)}
        place = "plain background" if scene.place == "plain" else scene.place
        assert set(position_yx[mask_yx == 0]) == {CLASSES.index(place)}
        assert (label_map(scene, mask_yx) == position_yx + 1).all()
        drawn = np.asarray(Image.open(folder / "images" / f"{i:05d}.webp")).astype(float)
        assert np.abs(drawn - pixels).mean() < 12  # as lossy as WebP is


def test_the_same_command_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, NUMBER, SIDE)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 2 * NUMBER + 1
    assert all((tmp_path / file).read_bytes() == (folder / file).read_bytes() for file in files)
