"""What goes wrong outside of us: each gets exit code 1 and a sentence that says what to do, and nothing is lost."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from core.errors import StorageError
from core.text.pools import load_pool
from precompute.plan import Plan
from tests.e2e.world import World, as_nobody, call, refused
from tests.hostile import hostile_files

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
    """Read, counted and named; embedding them would take minutes, so it ends where `estimate` would begin its trial."""
    lines = "\n".join(f"text number {i}" for i in range(200_000))
    pool = pools(tmp_path, "many.txt", lines.encode())

    def planned(plan: Plan, *_: object) -> None:
        raise StorageError(f"this far: {plan.settings.pool} for {plan.images} images")

    monkeypatch.setattr("precompute.estimate.estimate", planned)
    refused(world.run(tmp_path, "--pool", pool, verb="estimate"), f"this far: {pool} for 63 images")
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
