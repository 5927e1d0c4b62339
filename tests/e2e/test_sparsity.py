"""Sparsity and rank: the table that a run stores, the command that reads images again, and what it refuses."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import Bundle, open_bundle
from core.bundle.verify import verify
from core.store import Sparse, Store
from tests.e2e.world import BROKEN, CLASSES, World, call, refused

JUDGED = 58
NEAR = 1.5 / JUDGED  # half precision of what a run keeps can turn a near-tie, of one image


@pytest.fixture(scope="module", params=["vit", "resnet"])
def telling(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with class embeddings that tell its images apart, as an untrained model's do not."""
    made = open_bundle(request.getfixturevalue(f"{request.param}_bundle"))
    folder = shutil.copytree(made.folder, tmp_path_factory.mktemp("telling") / made.folder.name)
    unit_io = np.asarray(made.array("representations"), np.float64)
    names = np.array(made.table("images")["class"].to_pylist())
    ok = np.asarray(made.array("ok"))
    class_co = np.stack([unit_io[ok & (names == name)].mean(0) for name in CLASSES]) - unit_io[ok].mean(0)
    np.save(folder / "class_embeddings.npy", (class_co / np.linalg.norm(class_co, axis=1)[:, None]).astype(np.float32))
    return open_bundle(folder)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _key(row: dict[str, str] | Sparse) -> tuple[str, str, str, float]:
    told = row if isinstance(row, dict) else {name: getattr(row, name) for name in ("kind", "unit", "layer", "amount")}
    text = lambda name: "" if told[name] in (None, "") else str(told[name])
    return text("kind"), text("unit"), text("layer"), float(told["amount"] or 0)


def test_the_stored_table_and_the_command_agree(world: World, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    for kind in ("vit", "resnet"):
        bundle = open_bundle(request.getfixturevalue(f"{kind}_bundle"))
        stored = Store(bundle).sparsity()
        assert verify(bundle.folder).ok and {row.images for row in stored} == {JUDGED}
        assert stored[0].top1 == pytest.approx(bundle.facts["zero_shot"]["top1"])
        words = ["sparsity", str(bundle.folder), "--images", str(world.images), "--keep", "50,20,10,5,2,1"]
        done = call(
            [*words, "--texts", "1,2", "--csv", str(tmp_path / f"{kind}.csv"), "--quiet", "--torch-threads", "1"]
        )
        assert done.code == 0 and f"{len(BROKEN)} images could not be used" in done.err
        rows = {_key(row): row for row in _read(tmp_path / f"{kind}.csv")}
        asked = (None, 1, 2, 4, 8, 50, 20, 10, 5, 2, 1)  # not the share of what is described
        compared = [row for row in stored if row.kind != "texts" and row.amount in asked]
        assert len(compared) >= 24
        for row in compared:
            told = rows.pop(_key(row))
            assert float(told["top1"]) == pytest.approx(row.top1, abs=NEAR) and int(told["images"]) == JUDGED, row
            assert told["units"] == ("" if row.units is None else str(row.units)), row
        assert {(key[0], key[1], key[3]) for key in rows} == {
            ("texts", unit, count) for unit in ("pairs", "neurons") for count in (1, 2)
        }
        assert f"{JUDGED} images" in done.out and "mean-ablated" in done.out


def test_everything_kept_changes_nothing_and_nothing_kept_does(world: World, telling: Bundle, tmp_path: Path) -> None:
    words = ["sparsity", str(telling.folder), "--images", str(world.images), "--keep", "100,1", "--texts", "none"]
    assert call([*words, "--csv", str(tmp_path / "t.csv"), "--quiet", "--torch-threads", "1"]).code == 0
    rows = _read(tmp_path / "t.csv")
    base = float(rows[0]["top1"])
    assert base > 0.75
    for row in rows:
        if row["amount"] == "100.0" or (row["kind"], row["unit"]) == ("components", "pairs"):
            assert float(row["top1"]) == pytest.approx(base, abs=NEAR), row
    everything = [float(row["top1"]) for row in rows if row["kind"] == "all"]
    if telling.facts["model"]["tower"] == "resnet":  # where nothing else is left
        assert min(everything) < base - 0.2
    assert everything and "texts" not in {row["kind"] for row in rows}


def test_few_images_are_spread_evenly(world: World, resnet_bundle: Path, tmp_path: Path) -> None:
    words = ["sparsity", str(resnet_bundle), "--images", str(world.images), "--limit", "9", "--texts", "none"]
    done = call([*words, "--csv", str(tmp_path / "t.csv"), "--quiet", "--torch-threads", "1"])
    usable = {int(row["images"]) for row in _read(tmp_path / "t.csv")}
    assert done.code == 0 and len(usable) == 1 and 5 <= usable.pop() <= 9


def test_what_it_cannot_do_gets_a_sentence(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    words = ["sparsity", str(vit_bundle), "--images", str(world.images), "--quiet"]
    refused(["sparsity", str(tmp_path), "--images", str(world.images), "--quiet"], "This makes a bundle")
    bare = call(world.run(tmp_path / "bare", "--neuron-layers", "none")).bundle
    assert not open_bundle(bare).has("sparsity")
    refused(["sparsity", str(bare), *words[2:]], "has no neurons")
    alone = call(world.run(tmp_path, images=world.images / CLASSES[0])).bundle
    assert not open_bundle(alone).has("sparsity") and verify(alone).ok
    refused(["sparsity", str(alone), *words[2:]], "has no classes")
    refused(
        [*words, "--images", str(world.images / CLASSES[0])], "has a class that bundle", "folders of the same names"
    )
    broken = tmp_path / "broken" / CLASSES[0]
    broken.mkdir(parents=True)
    (broken / "a.jpg").write_bytes(b"no image")
    refused([*words, "--images", str(broken.parent)], "can be used")
    refused([*words, "--csv", str(vit_bundle / "x.csv")], "never changes")
    refused([*words, "--model", str(world.model("resnet"))], "other weights")
    for bad in (["--keep", "0"], ["--keep", "101"], ["--keep", "a"], ["--texts", "0"], ["--components", "x"]):
        with pytest.raises(SystemExit):
            call([*words, *bad])
