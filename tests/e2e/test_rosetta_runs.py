"""`python -m precompute rosetta` in good and bad luck: divided, killed, refused, repeated."""

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.bundle.dictionary import open_dictionary
from core.bundle.verify import verify
from core.models.zoo_member import TappedMember
from core.store.dictionary import Dictionary
from precompute import rosetta_match
from tests.e2e.rosetta_case import BATCH, assert_same, folder_in, made, words
from tests.e2e.world import World, call, file_size_limit, leftovers, refused
from tests.e2e.zygote import Zygote


def test_it_is_whole_and_made_only_once(world: World, rosetta_cnn: Path, rosetta_whole: Path) -> None:
    assert verify(rosetta_whole).problems == () and leftovers(rosetta_whole) == []
    again = call(words(world, rosetta_cnn, rosetta_whole.parent))
    assert again.code == 0 and "finished already" in again.out
    assert call(["verify", str(rosetta_whole), "--quiet"]).code == 0


def test_memory_divides_the_work_and_changes_nothing(
    world: World, rosetta_cnn: Path, rosetta_whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About one layer pair a pass, sums saved after every batch."""
    monkeypatch.setattr(rosetta_match, "CHECKPOINT_S", -1.0)
    given = words(world, rosetta_cnn, tmp_path, "--memory", "0.0003")
    done = call(given)
    assert done.code == 0 and int(done.out.split("passes")[1].split()[0]) > 5
    assert_same(rosetta_whole, tmp_path / rosetta_whole.name)


def test_batch_size_changes_rounding_alone(
    world: World, rosetta_cnn: Path, rosetta_whole: Path, tmp_path: Path
) -> None:
    other = open_dictionary(made(words(world, rosetta_cnn, tmp_path, "--batch", 32)))
    one = open_dictionary(rosetta_whole)
    assert other.id != one.id
    near, r = (np.asarray(one.array(name)) for name in ("neighbours", "neighbour_r"))
    near_2, r_2 = (np.asarray(other.array(name)) for name in ("neighbours", "neighbour_r"))
    assert np.allclose(
        r, r_2, rtol=0, atol=1e-5, equal_nan=True
    )  # what float32 passes over other batches round differently
    moved = near != near_2
    tied = np.abs(np.diff(r, axis=-1, append=-1)) < 1e-5
    assert not (moved & ~(tied | np.roll(tied, 1, -1))).any() and moved.mean() < 0.01
    assert one.axes["concept"].size == pytest.approx(other.axes["concept"].size, rel=0.02)


def die(zygote: Zygote, step: int, given: list[str]) -> None:
    """Run, with sums saved after every batch, until right before the step-th file gets its name."""
    assert zygote.run(given, step=2 * step - 1, eager=True) == -signal.SIGKILL, zygote.said()


def test_a_killed_pass_goes_on_where_its_sums_were_written(
    world: World,
    rosetta_cnn: Path,
    rosetta_whole: Path,
    zygote: Zygote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, starts = words(world, rosetta_cnn, tmp_path), []
    die(zygote, 2, given)
    real = rosetta_match.batches

    def batches(*arguments: Any, start: int = 0) -> Any:
        starts.append(start)
        return real(*arguments, start=start)

    monkeypatch.setattr(rosetta_match, "batches", batches)
    assert_same(rosetta_whole, made(given))
    assert starts == [BATCH]


def test_killed_again_and_again_it_comes_out_the_same(
    world: World, rosetta_cnn: Path, rosetta_whole: Path, zygote: Zygote, tmp_path: Path
) -> None:
    """In the second pass, right before matches are kept, and twice while arrays are written."""
    given, folder = words(world, rosetta_cnn, tmp_path, "--memory", "0.005"), tmp_path / rosetta_whole.name
    for step in (4, 3, 12, 20):
        die(zygote, step, given)
        assert (folder / ".work").is_dir() and not (folder / "rosetta.json").exists()
    assert made(given) == folder
    assert_same(rosetta_whole, folder)
    assert verify(folder).ok and leftovers(folder) == []


def test_a_damaged_checkpoint_is_left_alone(
    world: World, rosetta_cnn: Path, rosetta_whole: Path, tmp_path: Path
) -> None:
    work = tmp_path / rosetta_whole.name / ".work"
    work.mkdir(parents=True)
    (work / "sums.npz").write_bytes(b"PK no archive")
    assert_same(rosetta_whole, made(words(world, rosetta_cnn, tmp_path)))


def test_random_weights_are_used_on_purpose_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    wanted = words(world, tmp_path, tmp_path, "--models", world.model("vit"), "timm:resnet18")
    refused(wanted, "timm:resnet18 could not be downloaded", "127.0.0.1:9 cannot be reached", "Check the network")
    given = ["--models", world.model("vit"), "timm:test_vit", "--allow-random-weights", "--number", 34]
    done = call(words(world, tmp_path, tmp_path, *given))
    assert done.code == 0, done.err
    assert "Random weights: test_vit" in done.err
    dictionary = open_dictionary(folder_in(done.out))
    assert [facts["random_weights"] for facts in dictionary.facts["members"]] == [False, True]


def test_models_that_share_nothing_make_an_empty_dictionary(
    world: World, rosetta_cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member sees the same grey in place of every picture: shuffling images changes nothing, so nothing is above
    what that gives."""
    prepare = TappedMember.prepare

    def blind(member: TappedMember, picture: Image.Image) -> torch.Tensor:
        return torch.full_like(prepare(member, picture), 0.5) if member.name == "cnn" else prepare(member, picture)

    monkeypatch.setattr(TappedMember, "prepare", blind)
    done = call(words(world, rosetta_cnn, tmp_path, "--models", world.model("vit"), rosetta_cnn))
    assert done.code == 0, done.err
    assert "share nothing above the null level" in done.out and "a match is above" in done.out
    dictionary = open_dictionary(folder_in(done.out))
    assert dictionary.axes["concept"].size == 0 and verify(dictionary.folder).problems == ()
    store = Dictionary(dictionary)
    assert store.concepts("vit") == () and 0 < store.level("vit", "cnn") <= 1


def test_what_cannot_be_used_is_refused_in_a_sentence(world: World, rosetta_cnn: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(world.images.rglob("1?.png")):
        shutil.copy(path, few)
    refused(words(world, rosetta_cnn, tmp_path, "--images", few), "images can be used", "at least 32")
    refused(words(world, rosetta_cnn, tmp_path, "--number", 8), "at least 32")
    refused(words(world, rosetta_cnn, tmp_path, "--models", world.model("vit")), "at least two")
    refused(words(world, rosetta_cnn, tmp_path, "--models", world.model("vit"), world.model("vit")), "leave one out")
    refused(words(world, rosetta_cnn, tmp_path, "--models", world.model("vit"), "no-such-model"), "no-such-model")
    refused(words(world, rosetta_cnn, tmp_path, "--pool", "nothing.txt"), "nothing.txt")
    for wrong in (["--batch", "20"], ["--memory", "0"], ["--k", "0"]):
        with pytest.raises(SystemExit):
            call(words(world, rosetta_cnn, tmp_path, *wrong))


def test_a_disk_without_room_is_told_before_anything_is_made(
    world: World, rosetta_cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("precompute.rosetta.free_space", lambda folder: 1000)
    done = call(words(world, rosetta_cnn, tmp_path))
    assert done.code == 1 and "1.0 kB are free" in done.err and "Free some space" in done.err
    assert not any(tmp_path.iterdir())


def test_a_disk_that_fills_is_told_and_the_run_goes_on_later(
    world: World, rosetta_cnn: Path, rosetta_whole: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk."""
    given = words(world, rosetta_cnn, tmp_path)
    with file_size_limit(60_000):
        done = call(given)
    assert done.code == 1 and "allows no file this large" in done.err and "Traceback" not in done.err, done.err
    assert_same(rosetta_whole, made(given))
