"""kill -9 at any stage: what is finished is kept, and the bundle comes out the same, byte for byte."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from core.bundle.verify import verify
from tests.e2e.world import World, assert_same, call, leftovers
from tests.e2e.zygote import Zygote


def stage(folder: Path) -> str:
    """How far a run has come, by what lies in its folder."""
    names = [path.name for path in folder.rglob("*")] if folder.exists() else []
    if "bundle.json" in names:
        return "finished"
    for name, what in (("L0.H0.faiss", "indexes"), ("text_index.npy", "labels"), ("images.parquet", "merge")):
        if name in names:
            return what
    shards = sum(name.startswith("shard-") and name.endswith(".safetensors") for name in names)
    return f"shard {shards}" if shards else "plan" if "plan.json" in names else "start"


def test_kills_at_random_moments(zygote: Zygote, world: World, vit_bundle: Path, tmp_path: Path) -> None:
    """Killed from outside after random times, each run going on with what the last one left; then left alone."""
    rng = random.Random(20)
    words, folder = world.run(tmp_path / "out"), tmp_path / "out" / vit_bundle.name
    for name in ("first", "second"):  # the first also fills caches
        started = time.perf_counter()
        assert zygote.run(world.run(tmp_path / name)) == 0, zygote.said()
        whole = time.perf_counter() - started
    stages: list[str] = []
    while len(stages) < 5 or len(set(stages)) < 3:
        status = zygote.run(words, delay=rng.uniform(0.1, 0.8) * whole)
        if status == 0:  # it had come to its end before
            assert_same(folder, vit_bundle)
            shutil.rmtree(folder)
            whole *= 0.8
        else:
            assert status == -signal.SIGKILL, zygote.said()
            whole *= 1.3 if stage(folder) in stages else 1  # a busy machine is slower than it was when measured
            stages.append(stage(folder))
            assert len(stages) < 40, stages
    assert zygote.run(words) == 0, zygote.said()
    assert_same(folder, vit_bundle)
    assert verify(folder).ok and leftovers(folder) == []


def test_kills_on_both_sides_of_commits(zygote: Zygote, world: World, vit_bundle: Path, tmp_path: Path) -> None:
    """The end of a run starts over each time, so the kills are set further and further into it."""
    rng = random.Random(7)
    words, folder = world.run(tmp_path), tmp_path / vit_bundle.name
    stages, step = [], 3
    while zygote.run(words, step=step) == -signal.SIGKILL:
        stages.append(stage(folder))
        # shards are kept, so a few commits further is always further; what follows them is made again from its start
        at_the_end = not stages[-1].startswith(("start", "plan", "shard"))
        step = step + rng.randint(16, 30) if at_the_end else rng.randint(8, 44)
    assert {"merge", "labels", "indexes"} < set(stages), (stages, zygote.said())
    assert len({name for name in stages if name.startswith("shard")}) >= 3 and len(stages) >= 12, stages
    assert_same(folder, vit_bundle)
    assert verify(folder).ok and leftovers(folder) == []


def test_a_kill_between_the_last_file_and_tidying_up(
    zygote: Zygote, world: World, vit_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / vit_bundle.name
    assert zygote.run(world.run(tmp_path), name="bundle.json") == -signal.SIGKILL, zygote.said()
    assert stage(folder) == "finished" and leftovers(folder) == [".work"]
    assert "finished already" in call(world.run(tmp_path)).out
    assert_same(folder, vit_bundle)
    assert leftovers(folder) == []


def test_a_killed_merge_can_be_repeated(zygote: Zygote, world: World, vit_bundle: Path, tmp_path: Path) -> None:
    parts = [tmp_path / name / vit_bundle.name for name in ("a", "b")]
    for i, part in enumerate(parts, 1):
        assert zygote.run(world.run(part.parent, "--shards", f"{i}/2"), step=9) == -signal.SIGKILL
        assert zygote.run(world.run(part.parent, "--shards", f"{i}/2")) == 0, zygote.said()
    merge = ["merge", *map(str, parts), "--quiet", "--torch-threads", "1"]
    for step in (4, 11, 23, 40):  # while shards are copied, then while they are joined
        assert zygote.run(merge, step=step) == -signal.SIGKILL, zygote.said()
    assert zygote.run(merge) == 0, zygote.said()
    assert_same(parts[0], vit_bundle)


def test_workers_leave_with_a_killed_parent(zygote: Zygote, world: World, vit_bundle: Path, tmp_path: Path) -> None:
    """With worker processes of its own."""
    folder = tmp_path / vit_bundle.name
    parent = zygote.start(world.run(tmp_path, "--jobs", 2))
    try:
        wait_for(lambda: members(parent) >= 3 or not alive(parent), 120)  # itself and two workers
        wait_for(lambda: stage(folder).startswith("shard") or not alive(parent), 120)
        os.kill(parent, signal.SIGKILL)
        assert zygote.ended() == -signal.SIGKILL, zygote.said()
        wait_for(lambda: not alive(parent), 30)
    finally:
        if alive(parent):
            os.killpg(parent, signal.SIGKILL)
    assert_same(call(world.run(tmp_path)).bundle, vit_bundle)


def alive(group: int) -> bool:
    """Whether any process of the group still runs."""
    return members(group) > 0


def members(group: int) -> int:
    """How many of its processes run; those that ended and were not waited for don't count."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = status.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        found += int(member_of) == group and state != "Z"
    return found


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
