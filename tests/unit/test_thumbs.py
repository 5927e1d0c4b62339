"""The thumbnail pack: same bytes however it is split, small pictures of the right shape, damage told."""

import errno
import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.bundle.thumbs import DATA_FILE, OFFSETS_FILE, ThumbPack, ThumbWriter, concatenate, encode_thumb
from core.errors import AddressError, BundleDamaged, StorageError
from tests import hostile

IMAGES = [None if i in (2, 6) else hostile.noise(40 + 30 * i, 50, seed=i) for i in range(7)]


def write(folder: Path, images: list[Image.Image | None]) -> Path:
    with ThumbWriter(folder) as writer:
        for image_id, image in enumerate(images):
            writer.add(image_id, image)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["JPEG"])


@pytest.mark.parametrize("size, shape", [((500, 375), (128, 96)), ((375, 500), (96, 128)), ((3000, 9), (128, 1))])
def test_longest_side_is_the_size_and_aspect_stays(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert opened(encode_thumb(Image.new("RGB", size), 128)).size == shape


def test_small_images_are_not_enlarged() -> None:
    assert opened(encode_thumb(Image.new("RGB", (60, 100)), 128)).size == (60, 100)


def test_colours_survive() -> None:
    thumb = opened(encode_thumb(hostile.quadrants(400, 300)))
    for at, colour in {(20, 20): hostile.RED, (110, 20): hostile.GREEN, (20, 80): hostile.BLUE}.items():
        # Quality 85 moves flat colours by a few levels; the colours differ by 255.
        assert np.abs(np.subtract(thumb.getpixel(at), colour)).max() <= 12


def test_pack_returns_what_was_added_and_nothing_for_quarantined(tmp_path: Path) -> None:
    pack = ThumbPack(write(tmp_path / "pack", IMAGES))
    assert len(pack) == 7
    for image_id, image in enumerate(IMAGES):
        assert pack.get(image_id) == (b"" if image is None else encode_thumb(image))


@pytest.mark.parametrize("cuts", [[0, 7], [0, 3, 7], [0, 1, 2, 3, 6, 7], [0, 0, 7]])
def test_joined_partials_are_the_bytes_of_one_write(cuts: list[int], tmp_path: Path) -> None:
    whole = files(write(tmp_path / "whole", IMAGES))
    parts = [write(tmp_path / f"{i}", IMAGES[a:b]) for i, (a, b) in enumerate(pairwise(cuts))]
    concatenate(parts, tmp_path / "joined")
    assert files(tmp_path / "joined") == whole


def test_skipped_ids_and_a_stated_count_are_quarantined(tmp_path: Path) -> None:
    with ThumbWriter(tmp_path / "sparse") as writer:
        for image_id in (0, 1, 3, 4, 5):
            writer.add(image_id, IMAGES[image_id])
        writer.finish(7)
    assert files(tmp_path / "sparse") == files(write(tmp_path / "dense", IMAGES))


def test_order_and_count_are_held(tmp_path: Path) -> None:
    with ThumbWriter(tmp_path) as writer:
        writer.add(1, IMAGES[0])
        with pytest.raises(ValueError, match="order"):
            writer.add(1, IMAGES[0])
        with pytest.raises(ValueError, match="2 thumbnails"):
            writer.finish(1)


def test_a_pack_of_nothing_but_quarantined(tmp_path: Path) -> None:
    pack = ThumbPack(write(tmp_path, [None, None]))
    assert [pack.get(0), pack.get(1)] == [b"", b""]


@pytest.mark.parametrize("image_id", [-1, 7, 10**12])
def test_ids_out_of_range(image_id: int, tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="0 to 6"):
        ThumbPack(write(tmp_path, IMAGES)).get(image_id)


def test_damage_is_told(tmp_path: Path) -> None:
    write(tmp_path, IMAGES)
    data, offsets = tmp_path / DATA_FILE, tmp_path / OFFSETS_FILE
    good = offsets.read_bytes()
    for broken in (good[:-8], b"", b"words", good[:-8] + bytes(8)):
        offsets.write_bytes(broken)
        with pytest.raises(BundleDamaged, match="damaged"):
            ThumbPack(tmp_path)
    np.save(offsets, np.array([0, 10**9, data.stat().st_size]))
    with pytest.raises(BundleDamaged, match="thumbnail 0"):
        ThumbPack(tmp_path).get(0)
    offsets.write_bytes(good)
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(BundleDamaged, match="ends at"):
        concatenate([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    data.unlink()
    with pytest.raises(BundleDamaged, match="missing"):
        ThumbPack(tmp_path)


def test_an_interrupted_pack_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ThumbWriter(tmp_path) as writer:
        writer.add(0, IMAGES[0])
        raise RuntimeError
    assert files(tmp_path) == {}


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="full"), ThumbWriter(tmp_path) as writer:
        writer._stream = Full()
        writer.add(0, IMAGES[0])
    assert files(tmp_path) == {}
