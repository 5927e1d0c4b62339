"""`python -m precompute rosetta` from end to end: against plain passes, killed, divided, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.bundle.dictionary import open_dictionary
from core.bundle.read import Bundle
from core.bundle.verify import verify
from core.images import DecodePolicy, decode
from core.methods.first_order import FirstOrder
from core.methods.heatmaps import text_heatmaps
from core.methods.rosetta import SELF_R
from core.models.zoo import load_zoo
from core.models.zoo_member import TappedMember
from core.store.dictionary import Dictionary
from core.text.embed import embed_pool
from core.text.pools import load_pool
from precompute import rosetta_match
from precompute.plan import choose_layers
from tests.e2e.world import World, call, leftovers, refused
from tests.reference.plain_rosetta import plain_clusters, to_larger
from tests.towers.zoo_models import save_timm

ROOT = Path(__file__).parents[2]
NUMBER, BATCH = 40, 16


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_timm(tmp_path_factory.mktemp("zoo") / "cnn")


def words(world: World, cnn: Path, out: Path, *more: object) -> list[str]:
    """Three tiny models, later options win."""
    given = ["rosetta", "--models", world.model("vit"), world.model("resnet"), cnn, "--images", world.images]
    given += ["--out", out, "--number", NUMBER, "--batch", BATCH, "--pool", world.pool]
    return [str(word) for word in [*given, "--torch-threads", 1, "--quiet", *more]]


def made(given: list[str]) -> Path:
    done = call(given)
    assert done.code == 0, done.err
    return folder_in(done.out)


def folder_in(out: str) -> Path:
    """The dictionary's folder, which a run says last."""
    return Path(out.strip().rsplit("\n", 1)[-1].removeprefix("dictionary").strip())


@pytest.fixture(scope="module")
def whole(world: World, cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run, for reading only."""
    return made(words(world, cnn, tmp_path_factory.mktemp("rosetta")))


def contents(folder: Path) -> dict[str, object]:
    """Every file by its relative path, but when and how it was made."""
    found: dict[str, object] = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    facts = json.loads((folder / "rosetta.json").read_text("utf-8"))
    return found | {"rosetta.json": {k: v for k, v in facts.items() if k not in ("created", "command")}}


def assert_same(a: Path, b: Path) -> None:
    first, second = contents(a), contents(b)
    assert first.keys() == second.keys() and [name for name in first if first[name] != second[name]] == []


class Plain:
    """Every map of every member in the images used, by itself; correlations of whole tables at the larger size."""

    def __init__(self, world: World, cnn: Path, dictionary: Bundle) -> None:
        self.members = load_zoo([str(world.model("vit")), str(world.model("resnet")), str(cnn)], device="cpu")
        paths = dictionary.table("images")["path"].to_pylist()
        self.pictures = [decode((world.images / path).read_bytes(), DecodePolicy()) for path in paths]
        self.inputs = {m.name: torch.stack([m.prepare(picture) for picture in self.pictures]) for m in self.members}
        self.maps: list[torch.Tensor] = []
        self.owner: list[int] = []
        for i, member in enumerate(self.members):
            for maps_bcyx in member.maps(self.inputs[member.name]).values():
                self.maps.append(maps_bcyx.double())
                self.owner += [i] * maps_bcyx.shape[1]

    def table(self, order: list[int] | None = None) -> np.ndarray:
        """(unit, unit); `order` of the images of the second. 0 of units that are dead."""
        rows = []
        for a in self.maps:
            row = []
            for b in self.maps:
                x, y = to_larger(a, b if order is None else b[order])
                x, y = (m.transpose(0, 1).flatten(1).numpy() for m in (x, y))
                x, y = (m - m.mean(1, keepdims=True) for m in (x, y))
                scale = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
                row.append(np.where(scale > 1e-9, x @ y.T / np.where(scale > 0, scale, 1), 0))
            rows.append(row)
        return np.block(rows)


@pytest.fixture(scope="module")
def plain(world: World, cnn: Path, whole: Path) -> Plain:
    return Plain(world, cnn, open_dictionary(whole))


def test_neighbours_and_null_are_those_of_whole_tables(whole: Path, plain: Plain) -> None:
    dictionary, owner = open_dictionary(whole), np.array(plain.owner)
    near, r = np.asarray(dictionary.array("neighbours")), np.asarray(dictionary.array("neighbour_r"))
    shuffled, best = np.asarray(dictionary.array("neighbour_shuffled")), np.asarray(dictionary.array("null_best"))
    next_one = [i + 1 if (i + 1) % 16 and i + 1 < NUMBER else i // 16 * 16 for i in range(NUMBER)]
    table, chance = plain.table(), plain.table(next_one)
    order = {"vit": 0, "resnet": 1, "cnn": 2}
    assert dictionary.axes["member"].labels == list(order) and near.shape == (len(owner), 3, 5)
    # of two members, the one whose name comes first is the one whose images stay
    first = np.array([sorted(order).index(name) for name in order])[owner]
    stays = first[:, None] <= first[None, :]
    chance = np.where(stays, chance, chance.T)
    np.fill_diagonal(table, -2)
    alive = np.asarray(dictionary.array("unit_std")) > 0
    assert np.array_equal(~alive, ~plain.table().any(1)) and (~alive).any()  # a dead unit is nobody's neighbour
    assert (near[~alive] == -1).all() and np.isnan(r[~alive]).all() and np.isnan(best[~alive]).all()
    for m in range(3):
        there = np.flatnonzero((owner == m) & alive)
        expected = -np.sort(-table[np.ix_(alive, there)], axis=1)[:, :5]
        # float32 maps in batches of other sizes; ties within that come in either order
        assert np.allclose(r[alive, m], expected, rtol=0, atol=2e-5)
        assert np.allclose(np.take_along_axis(table[alive], near[alive, m], 1), r[alive, m], rtol=0, atol=2e-5)
        assert np.isin(near[alive, m], there).all()
        others = (owner != m) & alive
        taken = np.take_along_axis(chance[others], near[others, m], 1)
        assert np.allclose(shuffled[others, m], taken, rtol=0, atol=2e-5)
        assert np.allclose(best[others, m], chance[np.ix_(others, there)].max(1), rtol=0, atol=2e-5)
    levels = np.asarray(dictionary.array("levels"))
    for a in range(3):
        for b in set(range(3)) - {a}:
            sides = (best[owner == a, b], best[owner == b, a])
            assert levels[a, b] == pytest.approx(
                max(np.nanquantile(side.astype(float), 0.99) for side in sides), abs=1e-6
            )


def test_concepts_follow_from_neighbours(whole: Path, plain: Plain) -> None:
    """Unit by unit, by the rule."""
    dictionary, owner = open_dictionary(whole), plain.owner
    near, r = np.asarray(dictionary.array("neighbours")), np.asarray(dictionary.array("neighbour_r"), float)
    shuffled, levels = np.asarray(dictionary.array("neighbour_shuffled")), np.asarray(dictionary.array("levels"))
    stored = dictionary.table("concepts").to_pylist()
    rows = dictionary.table("concept_members").to_pylist()
    assert len(stored) > 10
    for hub in range(3):
        units = [u for u in range(len(owner)) if owner[u] == hub]
        excess: dict[int, dict[int, float]] = {}
        matched: dict[int, set[int]] = {}
        for u in units:
            for m in set(range(3)) - {hub}:
                for j, value, chance in zip(near[u, m], r[u, m], shuffled[u, m], strict=True):
                    null = max(float(levels[hub, m]), float(chance))
                    if j >= 0 and u in near[j, hub] and value > null:
                        excess.setdefault(u, {})[m] = max(excess.get(u, {}).get(m, 0.0), value - null)
                        matched.setdefault(u, set()).add(int(j))
        anchors = sorted(excess)
        alike = [
            (u, int(j)) for u in anchors for j, value in zip(near[u, hub], r[u, hub], strict=True)
            if value >= SELF_R and int(j) in excess and u in near[j, hub]
        ]  # fmt: skip
        labels = plain_clusters(anchors, alike)
        expected = {}
        for label in set(labels):
            own = [u for u, of in zip(anchors, labels, strict=True) if of == label]
            by_model = {m: max(excess[u].get(m, 0.0) for u in own) for m in set(range(3)) - {hub}}
            members = frozenset(own) | {j for u in own for j in matched[u]}
            expected[members] = (sum(by_model.values()) / 2, 1 + sum(value > 0 for value in by_model.values()))
        found = {}
        for one in (one for one in stored if one["hub"] == hub):
            units_of = rows[one["first"] : one["first"] + one["members"]]
            found[frozenset(row["unit"] for row in units_of)] = (one["strength"], one["models"])
        assert found.keys() == expected.keys()
        for members, (strength, models) in expected.items():
            assert found[members][1] == models and found[members][0] == pytest.approx(strength, abs=1e-9)


def test_what_is_shown_of_concepts(whole: Path, plain: Plain) -> None:
    """Peaks, images, maps and correlations are those of the plain maps."""
    dictionary = open_dictionary(whole)
    described = np.asarray(dictionary.array("described"))
    by_unit = [maps_bcyx[:, c].float().numpy() for maps_bcyx in plain.maps for c in range(maps_bcyx.shape[1])]
    peak = np.array([by_unit[row].max((1, 2)) for row in described])
    assert np.allclose(dictionary.array("peak"), peak, rtol=1e-3, atol=1e-5)  # half precision
    table, values = plain.table(), np.asarray(dictionary.array("maps"), np.float32)
    corr, shown = np.asarray(dictionary.array("concept_corr")), np.asarray(dictionary.array("concept_images"))
    rows = dictionary.table("concept_members").to_pylist()
    for c, one in enumerate(dictionary.table("concepts").to_pylist()):
        own = rows[one["first"] : one["first"] + one["members"]]
        units = [row["unit"] for row in own]
        n = len(units)
        matrix = corr[one["corr"] : one["corr"] + n * n].reshape(n, n)
        assert np.allclose(matrix, table[np.ix_(units, units)], rtol=0, atol=2e-5)
        assert len(set(shown[c])) == 8
        for row in own:
            expected = by_unit[row["unit"]][shown[c]]
            assert (row["height"], row["width"]) == expected.shape[1:]
            stored = values[row["maps"] : row["maps"] + expected.size].reshape(expected.shape)
            assert np.allclose(stored, expected, rtol=1e-3, atol=1e-5)


def test_texts_by_map_are_those_whose_heatmap_it_follows_best(world: World, whole: Path, plain: Plain) -> None:
    """Of the last layer of the ViT, whose neurons no head reads, and of all but the last of the ResNet."""
    dictionary, pool = open_dictionary(whole), load_pool(world.pool)
    texts = dictionary.table("unit_texts").to_pylist()
    hows = {(plain.owner[row["unit"]], row["how"]) for row in texts}
    assert hows == {(0, "second-order direction"), (0, "map"), (1, "pool direction"), (1, "map")}
    first = {row["layer"]: row["first"] for row in dictionary.table("layers").to_pylist() if row["member"] < 2}
    for m, last in ((0, "L3"), (1, "layer3")):
        member = plain.members[m]
        assert member.clip is not None
        embedded = torch.from_numpy(embed_pool(member.clip, pool))
        lens = FirstOrder(member.clip.tower, choose_layers(member.clip.tower, None))
        trace = member.clip.tower.trace(plain.inputs[member.name], lens.layers)
        heat = text_heatmaps(lens, trace, embedded, average_o=embedded.mean(0)).total().double()
        maps = member.maps(plain.inputs[member.name], [last])[last].double()
        checked = 0
        for unit in range(maps.shape[1]):
            mine = sorted((row for row in texts if row["unit"] == first[last] + unit), key=lambda row: row["rank"])
            if not mine:
                continue
            x, y = to_larger(maps[:, unit : unit + 1], heat)
            every = np.concatenate([x.transpose(0, 1).flatten(1).numpy(), y.transpose(0, 1).flatten(1).numpy()])
            r = np.corrcoef(every)[0, 1:]
            assert [row["how"] for row in mine] == ["map"] * 5
            assert np.allclose([row["value"] for row in mine], -np.sort(-r)[:5], rtol=0, atol=1e-4)
            assert all(abs(r[pool.texts.index(row["text"])] - row["value"]) < 1e-4 for row in mine)
            checked += 1
        assert checked


def test_it_is_whole_and_made_only_once(world: World, cnn: Path, whole: Path) -> None:
    assert verify(whole).problems == () and leftovers(whole) == []
    again = call(words(world, cnn, whole.parent))
    assert again.code == 0 and "finished already" in again.out
    assert call(["verify", str(whole), "--quiet"]).code == 0


def test_memory_divides_the_work_and_changes_nothing(
    world: World, cnn: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About one layer pair a pass, sums saved after every batch."""
    monkeypatch.setattr(rosetta_match, "CHECKPOINT_S", -1.0)
    given = words(world, cnn, tmp_path, "--memory", "0.0003")
    done = call(given)
    assert done.code == 0 and int(done.out.split("passes")[1].split()[0]) > 5
    assert_same(whole, tmp_path / whole.name)


def test_batch_size_changes_rounding_alone(world: World, cnn: Path, whole: Path, tmp_path: Path) -> None:
    other = open_dictionary(made(words(world, cnn, tmp_path, "--batch", 32)))
    one = open_dictionary(whole)
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


DIE = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from precompute import rosetta_match
from precompute.cli import main
rosetta_match.CHECKPOINT_S = -1.0
real, left = os.replace, int(sys.argv[1])
def replace(a, b):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(a, b)
os.replace = replace
sys.exit(main(sys.argv[2:]))
"""


def die(step: int, given: list[str]) -> None:
    """Run until right before the step-th file gets its name."""
    command = [sys.executable, "-c", DIE, str(step), *given]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr


def test_a_killed_pass_goes_on_where_its_sums_were_written(
    world: World, cnn: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, starts = words(world, cnn, tmp_path), []
    die(2, given)
    real = rosetta_match.batches

    def batches(*arguments: Any, start: int = 0) -> Any:
        starts.append(start)
        return real(*arguments, start=start)

    monkeypatch.setattr(rosetta_match, "batches", batches)
    assert_same(whole, made(given))
    assert starts == [BATCH]


def test_killed_again_and_again_it_comes_out_the_same(world: World, cnn: Path, whole: Path, tmp_path: Path) -> None:
    """In the second pass, right before matches are kept, and twice while arrays are written."""
    given, folder = words(world, cnn, tmp_path, "--memory", "0.005"), tmp_path / whole.name
    for step in (4, 3, 12, 20):
        die(step, given)
        assert (folder / ".work").is_dir() and not (folder / "rosetta.json").exists()
    assert made(given) == folder
    assert_same(whole, folder)
    assert verify(folder).ok and leftovers(folder) == []


def test_a_damaged_checkpoint_is_left_alone(world: World, cnn: Path, whole: Path, tmp_path: Path) -> None:
    work = tmp_path / whole.name / ".work"
    work.mkdir(parents=True)
    (work / "sums.npz").write_bytes(b"PK no archive")
    assert_same(whole, made(words(world, cnn, tmp_path)))


def test_random_weights_are_used_on_purpose_alone(world: World, tmp_path: Path) -> None:
    refused(
        words(world, tmp_path, tmp_path, "--models", world.model("vit"), "timm:resnet18"), "could not be downloaded"
    )
    given = ["--models", world.model("vit"), "timm:test_vit", "--allow-random-weights", "--number", 34]
    done = call(words(world, tmp_path, tmp_path, *given))
    assert done.code == 0, done.err
    assert "Random weights: test_vit" in done.err
    dictionary = open_dictionary(folder_in(done.out))
    assert [facts["random_weights"] for facts in dictionary.facts["members"]] == [False, True]


def test_models_that_share_nothing_make_an_empty_dictionary(
    world: World, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member sees the same grey in place of every picture: shuffling images changes nothing, so nothing is above
    what that gives."""
    prepare = TappedMember.prepare

    def blind(member: TappedMember, picture: Image.Image) -> torch.Tensor:
        return torch.full_like(prepare(member, picture), 0.5) if member.name == "cnn" else prepare(member, picture)

    monkeypatch.setattr(TappedMember, "prepare", blind)
    done = call(words(world, cnn, tmp_path, "--models", world.model("vit"), cnn))
    assert done.code == 0, done.err
    assert "share nothing above the null level" in done.out and "a match is above" in done.out
    dictionary = open_dictionary(folder_in(done.out))
    assert dictionary.axes["concept"].size == 0 and verify(dictionary.folder).problems == ()
    store = Dictionary(dictionary)
    assert store.concepts("vit") == () and 0 < store.level("vit", "cnn") <= 1


def test_what_cannot_be_used_is_refused_in_a_sentence(world: World, cnn: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(world.images.rglob("1?.png")):
        shutil.copy(path, few)
    refused(words(world, cnn, tmp_path, "--images", few), "images can be used", "at least 32")
    refused(words(world, cnn, tmp_path, "--number", 8), "at least 32")
    refused(words(world, cnn, tmp_path, "--models", world.model("vit")), "at least two")
    refused(words(world, cnn, tmp_path, "--models", world.model("vit"), world.model("vit")), "leave one out")
    refused(words(world, cnn, tmp_path, "--models", world.model("vit"), "no-such-model"), "no-such-model")
    refused(words(world, cnn, tmp_path, "--pool", "nothing.txt"), "nothing.txt")
    for wrong in (["--batch", "20"], ["--memory", "0"], ["--k", "0"]):
        with pytest.raises(SystemExit):
            call(words(world, cnn, tmp_path, *wrong))


def test_a_disk_without_room_is_told_before_anything_is_made(
    world: World, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("precompute.rosetta.free_space", lambda folder: 1000)
    done = call(words(world, cnn, tmp_path))
    assert done.code == 1 and "1.0 kB are free" in done.err and "Free some space" in done.err
    assert not any(tmp_path.iterdir())


def test_a_disk_that_fills_is_told_and_the_run_goes_on_later(
    world: World, cnn: Path, whole: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk."""
    given = words(world, cnn, tmp_path)
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); import signal; "
    limit += (
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from precompute.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.run(
        [sys.executable, "-c", limit, *given], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.returncode == 1 and "allows no file this large" in process.stderr, process.stderr
    assert "Traceback" not in process.stderr
    assert_same(whole, made(given))
