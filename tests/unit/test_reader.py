"""Reading: in order, bounded, each failure with its code, and nothing lost."""

import hashlib
import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from core.images import CODES, DecodePolicy
from precompute import reader
from precompute.manifest import build_manifest
from precompute.reader import FILE_CODES, Read, read_images
from tests import hostile

POLICY = DecodePolicy()
REPO = Path(__file__).parents[2]
SAMPLE = REPO.parent / "shared" / "imagenet-sample"


def folder(root: Path, count: int = 12) -> Path:
    root.mkdir(exist_ok=True)
    for i in range(count):
        (root / f"{i:03}.png").write_bytes(hostile.encode(Image.new("RGB", (8 + i, 8), (i, 0, 0)), "PNG"))
    return root


def read_all(root: Path, **options: object) -> list[Read]:
    return list(read_images(root, build_manifest(root).table, POLICY, **options))


@pytest.mark.parametrize("threads, ahead", [(1, 1), (3, 2), (8, None)])
def test_rows_come_in_order_with_their_pictures(threads: int, ahead: int | None, tmp_path: Path) -> None:
    reads = read_all(folder(tmp_path), threads=threads, ahead=ahead)
    assert [read.image_id for read in reads] == list(range(12))
    for i, read in enumerate(reads):
        assert read.image is not None and read.image.getpixel((0, 0)) == (i, 0, 0)
        assert (read.width, read.height, read.code, read.message) == (8 + i, 8, None, None)
        assert read.sha256 == hashlib.sha256((tmp_path / f"{i:03}.png").read_bytes()).hexdigest()


def test_a_slice_keeps_its_ids(tmp_path: Path) -> None:
    table = build_manifest(folder(tmp_path)).table
    assert [read.image_id for read in read_images(tmp_path, table.slice(5, 3), POLICY)] == [5, 6, 7]
    assert list(read_images(tmp_path, table.slice(0, 0), POLICY)) == []


def test_hostile_files_keep_their_rows_and_codes(tmp_path: Path) -> None:
    expected = hostile.write_hostile(tmp_path)
    names = build_manifest(tmp_path).table["path"].to_pylist()
    assert {names[read.image_id]: read.code for read in read_all(tmp_path)} == expected
    for read in read_all(tmp_path):
        assert (read.image is None) == (read.message is not None) == (read.width is None) == (read.code is not None)
        assert read.sha256 is not None


def test_what_only_a_file_can_be(tmp_path: Path) -> None:
    root = folder(tmp_path / "root", 3)
    (root / "big.png").write_bytes(bytes(5000))
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "leaves.png").symlink_to(tmp_path / "secret.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    (root / "folder.png").mkdir()
    size = (root / "000.png").stat().st_size
    rows = [("000.png", size, None), ("gone.png", 5, "missing"), ("001.png", -1, "missing"), ("002.png", 1, "changed")]
    rows += [
        ("big.png", 5000, "too-many-bytes"),
        ("leaves.png", 6, "outside-root"),
        ("../secret.png", 6, "outside-root"),
    ]
    rows += [("pipe.png", 0, "not-a-file"), ("folder.png", 1, "not-a-file"), ("x" * 300, 1, "unreadable")]
    rows += [("loop.png", 1, "unreadable"), ("zero\0.png", 1, "unreadable")]
    paths, sizes, codes = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"image_id": range(len(rows)), "path": paths, "bytes": sizes})
    reads = list(read_images(root, table, DecodePolicy(max_bytes=4000)))
    assert [read.code for read in reads] == codes
    assert set(codes) <= {None, *FILE_CODES, *CODES}
    assert all(read.sha256 is None and read.message for read in reads if read.code)


def test_permission_denied_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = build_manifest(folder(tmp_path, 2)).table

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reader, "open", deny, raising=False)  # chmod does not stop a test that runs as root
    reads = list(read_images(tmp_path, table, POLICY))
    assert [read.code for read in reads] == ["unreadable"] * 2 and "Permission denied" in str(reads[0].message)


def test_prepare_runs_in_the_reading_threads_and_replaces_the_image(tmp_path: Path) -> None:
    def prepare(image: Image.Image) -> tuple[int, str]:
        return image.width, threading.current_thread().name

    for i, read in enumerate(read_all(folder(tmp_path), prepare=prepare)):
        assert read.image is None and read.width == read.prepared[0] == 8 + i
        assert read.prepared[1].startswith("read")
        assert read.without_pixels().prepared is None and read.without_pixels().sha256 == read.sha256


def test_faults_of_the_program_are_not_quarantined(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        read_all(folder(tmp_path), prepare=lambda image: 1 // 0)


def test_read_ahead_is_bounded_and_stops_with_its_consumer(tmp_path: Path) -> None:
    started: list[int] = []
    table = build_manifest(folder(tmp_path, 40)).table
    before = threading.active_count()
    reads = read_images(tmp_path, table, POLICY, threads=2, ahead=4, prepare=lambda image: started.append(image.width))
    for taken in range(1, 6):
        next(reads)
        assert len(started) <= taken + 4
    reads.close()
    assert threading.active_count() == before
    assert len(started) <= 9


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the ImageNet sample is not beside this checkout")
def test_real_photographs_are_all_usable() -> None:
    table = build_manifest(SAMPLE).table.slice(0, 60)
    reads = list(read_images(SAMPLE, table, POLICY, prepare=lambda image: image.mode))
    assert [(read.code, read.prepared) for read in reads] == [(None, "RGB")] * 60
