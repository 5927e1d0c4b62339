"""What goes wrong outside of us: each gets exit code 1 and a sentence that says what to do, and nothing is lost."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch

from core.bundle.lock import run_lock
from core.bundle.write import list_files
from core.text.pools import load_pool
from precompute import run as pipeline
from precompute.estimate import Estimate
from tests.e2e.world import World, assert_same, call
from tests.hostile import hostile_files

ROOT = Path(__file__).parents[2]
NOBODY = 65534


def refused(words: list[str], *expected: str) -> str:
    """Run a command that must be refused with a sentence holding all of `expected`; returns it."""
    done = call(words)
    assert done.code == 1, done
    sentence = done.err.strip().split("\n")[-1]  # above it, there may be notes
    assert sentence.startswith("error: ") and done.err.count("error: ") == 1, done.err
    assert "Traceback" not in done.err and done.out == ""
    for part in expected:
        assert part in sentence, sentence
    return sentence


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read anything; for these tests it becomes an ordinary user for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# --- images


def test_no_folder(world: World, tmp_path: Path) -> None:
    refused(world.run(tmp_path, images=tmp_path / "nowhere"), "nowhere does not exist", "give a folder")


def test_an_empty_folder(world: World, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    refused(world.run(tmp_path, images=tmp_path / "images"), "is empty", "give a folder with images")


def test_a_folder_of_other_things(world: World, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").write_text("no picture")
    refused(world.run(tmp_path, images=tmp_path / "images"), "holds no image", ".jpg")


def test_a_folder_of_broken_images(world: World, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    files = hostile_files()
    for name in ("truncated.jpg", "zero-bytes.jpg", "text.jpg"):
        (tmp_path / "images" / name).write_bytes(files[name][0])
    words = world.run(tmp_path / "out", images=tmp_path / "images")
    sentence = refused(words, "None of the 3 images could be used. The first, text.jpg: ")
    assert "not an image" in sentence
    refused(words, "None of the 3 images")  # still so, and still a sentence
    assert not list((tmp_path / "out").glob("*/bundle.json"))


@pytest.mark.parametrize("inner", [False, True])
def test_a_folder_without_permission(inner: bool, world: World) -> None:
    # not tmp_path, whose parents are closed to others: here only the folder itself is meant to be
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        images = Path(name, "images")
        shutil.copytree(world.images / "stripes", images / "stripes")
        closed = images / "stripes" if inner else images
        closed.chmod(0)
        with as_nobody():
            refused(world.run(Path(name) / "out", images=images), "permission is denied", "Ask for access")
        closed.chmod(0o755)


# --- models


def test_an_unknown_model(world: World, tmp_path: Path) -> None:
    refused(world.run(tmp_path, "--model", "ViT-B-23"), "There is no model named 'ViT-B-23'. Did you mean ViT-B-32")


def test_an_unknown_tag(world: World, tmp_path: Path) -> None:
    words = world.run(tmp_path, "--model", "RN50", "--pretrained", "opneai")
    refused(words, "no weights named 'opneai'", "openai")


def test_no_weights(world: World, tmp_path: Path) -> None:
    refused(world.run(tmp_path, "--model", "RN50"), "--pretrained TAG", "--allow-random-weights")


class Spring:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def with_weights(world: World, tmp_path: Path, write: Callable[[dict, Path], object], suffix: str) -> list[str]:
    """A command on a copy of the tiny model, whose weights `write(state, path)` has made anew."""
    folder = tmp_path / "model"
    shutil.copytree(world.model(), folder)
    stored = folder / "open_clip_model.safetensors"
    state = safetensors.torch.load_file(stored)
    stored.unlink()
    write(state, folder / f"open_clip_model.{suffix}")
    return world.run(tmp_path / "out", "--model", folder)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_in_it(legacy: bool, world: World, tmp_path: Path) -> None:
    ran = tmp_path / "the code ran"
    hostile = lambda state, path: torch.save(
        {"state_dict": state, "spring": Spring(ran)}, path, _use_new_zipfile_serialization=not legacy
    )
    words = with_weights(world, tmp_path, hostile, "bin")
    refused(words, "open_clip_model.bin is a pickle that could run code", "safetensors")
    assert not ran.exists()
    torch.load(tmp_path / "model" / "open_clip_model.bin", weights_only=False)
    assert ran.exists(), "the file was not a trap at all"


def test_a_plain_pickle_of_tensors_is_read(world: World, tmp_path: Path, vit_bundle: Path) -> None:
    words = with_weights(world, tmp_path, torch.save, "pt")
    assert call(words).bundle.name.split("-")[1] == vit_bundle.name.split("-")[1]  # the same numbers, the same digest


def test_truncated_weights(world: World, tmp_path: Path) -> None:
    def cut(state: dict, path: Path) -> None:
        data = safetensors.torch.save(state)
        path.write_bytes(data[: len(data) // 2])

    refused(
        with_weights(world, tmp_path, cut, "safetensors"),
        "open_clip_model.safetensors could not be read",
        "copy or download it again",
    )


def test_weights_of_another_architecture(world: World, tmp_path: Path) -> None:
    other = safetensors.torch.load_file(world.model("resnet") / "open_clip_model.safetensors")
    words = with_weights(world, tmp_path, lambda _, path: safetensors.torch.save_file(other, path), "safetensors")
    refused(words, "does not hold the weights of", "Missing key", "--model")


def test_weights_that_are_not_finite(world: World, tmp_path: Path) -> None:
    def break_one(state: dict, path: Path) -> None:
        state["visual.proj"][3, 4] = torch.nan
        safetensors.torch.save_file(state, path)

    words = with_weights(world, tmp_path, break_one, "safetensors")
    refused(words, "values that are not finite, in visual.proj")


def test_another_activation(world: World, tmp_path: Path) -> None:
    words = world.run(tmp_path, "--activation", "quickgelu")
    refused(words, "computes gelu", "were trained with quickgelu")


def test_weights_that_are_missing(world: World, tmp_path: Path) -> None:
    words = with_weights(world, tmp_path, lambda state, path: None, "safetensors")
    refused(words, "holds a model config but no weights file")


def test_a_config_that_is_none(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(world.model(), folder)
    (folder / "open_clip_config.json").write_text('{"vision_cfg": ')
    refused(world.run(tmp_path, "--model", folder), "is not an open_clip model config")


def test_layers_that_do_not_exist(world: World, tmp_path: Path) -> None:
    refused(world.run(tmp_path, "--layers", "2-5"), "attention layers 0 to 3", "[4, 5]")


# --- texts


def pools(tmp_path: Path, name: str, data: bytes | None) -> Path:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("empty.txt", b"", "has no text in it"),
        ("blank.txt", b" \n\n\t\n", "has no text in it"),
        ("binary.txt", bytes(range(256)) * 9, "is not"),
        ("missing.txt", None, "There is no text pool"),
    ],
)
def test_a_pool_that_is_none(name: str, data: bytes | None, expected: str, world: World, tmp_path: Path) -> None:
    refused(world.run(tmp_path, "--pool", pools(tmp_path, name, data)), expected, name.split(".")[0])


def test_a_pool_of_200_000_lines_is_planned(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, counted and named; embedding them would take minutes, so the trial of `estimate` is left out."""
    lines = "\n".join(f"text number {i}" for i in range(200_000))
    pool = pools(tmp_path, "many.txt", lines.encode())
    monkeypatch.setattr("precompute.estimate.estimate", lambda *_: Estimate(63, 8, 10**8, 10**8, 10**8, 1.0, 63.0))
    assert call(world.run(tmp_path, "--pool", pool, verb="estimate")).code == 0
    assert len(load_pool(pool)) == 200_000 and "embedding them takes long" in load_pool(pool).notes[0]


@pytest.mark.parametrize(
    ("option", "content", "expected"),
    [
        ("--templates", "a photo\n", "exactly once"),
        ("--class-names", "blue_sea waves\n", "folder<TAB>name"),
    ],
)
def test_texts_are_checked_before_any_work(
    option: str, content: str, expected: str, world: World, tmp_path: Path
) -> None:
    (tmp_path / "file.txt").write_text(content)
    refused(world.run(tmp_path / "out", option, tmp_path / "file.txt"), expected)
    refused(world.run(tmp_path / "out", option, tmp_path / "none.txt"), "There is no")
    assert not (tmp_path / "out").exists()


def test_unknown_wordnet_folders_are_told_before_any_work(world: World, tmp_path: Path) -> None:
    for name in ("n99999998", "n99999999"):
        shutil.copytree(world.images / "stripes", tmp_path / "images" / name)
    refused(world.run(tmp_path / "out", images=tmp_path / "images"), "look like WordNet ids but are unknown")
    assert not (tmp_path / "out").exists()


def test_a_pool_that_changed_before_the_merge(world: World, tmp_path: Path) -> None:
    pool = pools(tmp_path, "pool.txt", world.pool.read_bytes())
    done = call(world.run(tmp_path, "--pool", pool, "--shards", "1/1"))
    folder = done.out.strip().rsplit(" ", 1)[1]
    pool.write_text("other\ntexts\n")
    refused(["merge", folder, "--quiet"], "has changed since: pool", "Restore it")
    pool.write_bytes(world.pool.read_bytes())
    assert call(["merge", folder, "--quiet"]).code == 0


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


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes; SIGXFSZ is ignored by Python, so writes fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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
        resized = [word.format(5_000) for word in resize]
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
