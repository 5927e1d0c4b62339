"""Two runs at once, interruptions, damaged bundles, full disks: a sentence each, and nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core.bundle.lock import run_lock
from core.bundle.write import list_files
from precompute import run as pipeline
from tests.e2e.world import World, as_nobody, assert_same, call, file_size_limit, refused

ROOT = Path(__file__).parents[2]


# --- two at once


def test_two_runs_on_one_output(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / vit_bundle.name
    with run_lock(folder / ".work" / "part-0-of-1.lock"):
        refused(world.run(tmp_path), "Another run is writing", f"process {os.getpid()}", "Wait for it or stop it")
    call(world.run(tmp_path, "--shards", "1/1"))
    with run_lock(folder / ".work" / "finish.lock"):
        refused(world.run(tmp_path), "Another run is writing")
    assert_same(call(world.run(tmp_path)).bundle, vit_bundle)


HOLDS = """
import sys, time
from core.bundle.lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_run_leaves_no_lock(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    lock = tmp_path / vit_bundle.name / ".work" / "part-0-of-1.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(lock)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    refused(world.run(tmp_path), f"process {holder.pid}")
    holder.kill()
    assert holder.wait() == -signal.SIGKILL
    assert call(world.run(tmp_path)).code == 0


def test_ctrl_c(world: World, vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = pipeline.ShardWorker.run, []

    def interrupted(self: object, shard: int, seen: object) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        real(self, shard, seen)
        done.append(shard)

    monkeypatch.setattr(pipeline.ShardWorker, "run", interrupted)
    stopped = call(world.run(tmp_path))
    assert stopped.code == 130 and "Traceback" not in stopped.err
    assert "Finished shards are kept; the same command goes on from there." in stopped.err
    done.clear()
    monkeypatch.setattr(
        pipeline.ShardWorker, "run", lambda self, shard, seen: done.append(shard) or real(self, shard, seen)
    )
    assert_same(call(world.run(tmp_path)).bundle, vit_bundle)
    assert done == [3, 4, 5, 6, 7], "three of eight shards were kept"


# --- bundles


@pytest.fixture
def copy(vit_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(vit_bundle, tmp_path / vit_bundle.name)


def test_a_bundle_of_another_version(copy: Path) -> None:
    path = copy / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    refused(["verify", str(copy)], "is of format version 99", "Run precompute again")


@pytest.mark.parametrize("what", ["missing", "altered", "shorter", "added"])
def test_verify_names_the_file(what: str, copy: Path) -> None:
    names = list_files(copy)
    for name in (names[0], "heads/r.npy", "index/heads/L2.H1.faiss", "thumbs/thumbs.bin", "images.parquet"):
        path = copy / name
        data = path.read_bytes()
        if what == "missing":
            path.unlink()
        elif what == "altered":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        elif what == "shorter":
            path.write_bytes(data[:-1])
        else:
            path.with_suffix(".extra").write_bytes(data)
            name = Path(name).with_suffix(".extra").as_posix()
        done = call(["verify", str(copy)])
        assert done.code == 1 and name in done.out and done.out.endswith("damaged\n"), done
        path.write_bytes(data)
        path.with_suffix(".extra").unlink(missing_ok=True)
    assert call(["verify", str(copy)]).code == 0


def test_verify_of_no_bundle(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    refused(["verify", str(tmp_path / "none")], "There is no bundle at")
    refused(["verify", str(vit_bundle.parent)], "is a folder of bundles", vit_bundle.name)
    call(world.run(tmp_path, "--shards", "1/2"))
    refused(["verify", str(tmp_path / vit_bundle.name)], "is unfinished", "Run the same command again")
    refused(["merge", str(tmp_path / "none")], "holds no readable plan", "precompute run")


# --- the disk


def test_a_disk_without_room_is_told_before_the_run(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 10**3))
    refused(world.run(tmp_path), "This bundle needs", "1.0 kB are free", "--out", "--layers")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1_000, 6_000, 20_000, 60_000])
def test_a_limit_on_file_sizes(size: int, world: World, vit_bundle: Path, tmp_path: Path) -> None:
    with file_size_limit(size):
        refused(
            world.run(tmp_path), "allows no file this large", "run the same command again; what is finished is kept"
        )
    assert_same(call(world.run(tmp_path)).bundle, vit_bundle)


def test_a_disk_that_fills(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    """A real, small disk; it grows twice until the same command gets through."""
    disk = tmp_path / "disk"
    disk.mkdir()
    resize = ["mount", "-o", "remount,size={}k", str(disk)]
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150k", "none", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system lets no test mount a small disk ({error}); the limit on file sizes is tested above")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("precompute.estimate.check_room", lambda *_: None)  # fills in the middle, not before
            for size in (300, 700):
                refused(world.run(disk), "The disk is full", "run the same command again; what is finished is kept")
                assert not (disk / vit_bundle.name / "bundle.json").exists()
                subprocess.run([word.format(size) for word in resize], check=True)
        resized = [word.format(20_000) for word in resize]
        subprocess.run(resized, check=True)
        assert_same(call(world.run(disk)).bundle, vit_bundle)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_output_folder_that_cannot_be_written(world: World) -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        closed = Path(name, "closed")
        closed.mkdir(mode=0o555)
        with as_nobody():
            refused(world.run(closed), "Permission is denied", "choose another with --out")
        closed.chmod(0)
        with as_nobody():
            refused(world.run(closed / "deeper"), "Permission is denied", "Ask for access")
            refused(["verify", str(closed / "deeper")], "Permission is denied", "Ask for access")


def test_an_output_that_is_a_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    refused(world.run(tmp_path / "out"), "a file", "--out")
