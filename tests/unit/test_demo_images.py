"""The shipped data set is what the generator draws, and its table tells the truth."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from demo.images import DRIFT, IMAGES, NUMBER, YEARS, drifting_shares, folder_name, shipped_scene, write_data_set
from demo.vocabulary import CATEGORY_OF, OBJECT_NAMES
from demo.world import render


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return pq.read_table(IMAGES / "manifest.parquet").to_pylist()


def test_a_folder_a_class_and_every_file_in_the_table(rows: list[dict]) -> None:
    files = {str(path.relative_to(IMAGES)) for path in IMAGES.rglob("*.webp")}
    assert {row["path"] for row in rows} == files
    assert len(files) == NUMBER
    assert {path.split("/")[0] for path in files} == {folder_name(name) for name in OBJECT_NAMES}
    assert sum((IMAGES / path).stat().st_size for path in files) < 15e6
    assert next(iter(rows[0])) == "path"


def test_rows_agree_with_the_scenes_they_describe(rows: list[dict]) -> None:
    for row in rows[::97]:
        scene, year, side = shipped_scene(int(row["path"].split("/")[1].removesuffix(".webp")))
        assert (row["object"], row["place"], row["style"]) == (scene.objects[0].name, scene.place, scene.style)
        assert (row["count"], row["caption"], row["year"]) == (scene.count, scene.caption, year)
        assert row["category"] == CATEGORY_OF[row["object"]]
        assert row["mixed"] == (len({placed["name"] for placed in json.loads(row["objects"])}) == 2)
        assert row["path"].split("/")[0] == folder_name(row["object"])
        with Image.open(IMAGES / row["path"]) as picture:
            assert picture.size == (side, side)
            drawn = render(scene, side)[0].astype(int)
            assert np.abs(np.asarray(picture.convert("RGB")) - drawn).mean() < 12  # lossy WebP at quality 82


def test_masks_are_the_rendered_ones() -> None:
    masks = pq.read_table(IMAGES / "masks.parquet").to_pylist()
    assert len(masks) == NUMBER
    for row in masks[::211]:
        scene, _, side = shipped_scene(int(row["path"].split("/")[1].removesuffix(".webp")))
        with Image.open(io.BytesIO(row["mask"])) as picture:
            np.testing.assert_array_equal(np.asarray(picture), render(scene, side)[1])


def test_single_object_scoring_is_clean(rows: list[dict]) -> None:
    mixed = [row for row in rows if row["mixed"]]
    assert 0.05 < len(mixed) / len(rows) < 0.2
    assert all(row["kinds"] == row["object"] for row in rows if not row["mixed"])


def test_drift_is_in_the_years(rows: list[dict]) -> None:
    for factor, moving in DRIFT.items():
        for year in YEARS:
            assert drifting_shares(factor, year).sum() == pytest.approx(1)
            assert drifting_shares(factor, year).min() > 0
        for name, (first, last) in moving.items():
            early = np.mean([row[factor] == name for row in rows if row["year"] < 2015])
            late = np.mean([row[factor] == name for row in rows if row["year"] >= 2020])
            assert (late - early) * (last - first) > 0, (factor, name)


def test_drawing_twice_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_data_set(tmp_path / name, number=4)
    first, second = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
