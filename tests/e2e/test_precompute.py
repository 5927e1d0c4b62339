"""`python -m precompute`: one folder and model, one bundle, however the work was divided."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from core.bundle.faiss_store import search
from core.bundle.read import open_bundle
from core.bundle.verify import verify
from tests.e2e.world import BROKEN, PICKS, SHARD, World, assert_same, call, contents, facts, leftovers
from tests.hostile import hostile_files
from tests.towers.saved import build_in

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_a_run_makes_a_bundle_that_verifies(kind: str, world: World, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"{kind}_bundle")
    assert verify(folder).problems == ()
    bundle = open_bundle(folder)
    assert bundle.facts["id"] == folder.name
    assert bundle.axes["layer"].labels == ([0, 1, 2, 3] if kind == "vit" else [None])
    assert bundle.facts["model"]["tower"] == kind and not bundle.facts["model"]["random_weights"]
    assert bundle.facts["command"].startswith("python -m precompute")
    assert leftovers(folder) == []


def test_verify_says_so(vit_bundle: Path) -> None:
    done = call(["verify", str(vit_bundle), "--quiet"])
    assert (done.code, done.out.startswith("all is well"), done.err) == (0, True, "")


def test_as_a_program(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    """What a user types, in a process of its own; --jobs starts two more."""
    command = [sys.executable, "-m", "precompute", *world.run(tmp_path, "--jobs", 2, f"--pool={world.pool}")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert_same(tmp_path / vit_bundle.name, vit_bundle)
    recorded = facts(tmp_path / vit_bundle.name)["command"]
    assert recorded.startswith("python -m precompute run --model vit --images images") and "/" not in recorded


def test_broken_images_keep_their_ids_and_count_nowhere(world: World, vit_bundle: Path) -> None:
    bundle = open_bundle(vit_bundle)
    images = bundle.table("images").to_pylist()
    assert [image["image_id"] for image in images] == list(range(len(images)))
    assert [image["path"] for image in images] == sorted(image["path"] for image in images)
    expected = hostile_files()
    bad = {image["path"].split("-", 1)[1]: image for image in images if image["status"] != "ok"}
    assert {name: image["status"] for name, image in bad.items()} == {name: expected[name][1] for name in BROKEN}
    ids = sorted(image["image_id"] for image in bad.values())
    quarantine = bundle.table("quarantine").to_pylist()
    assert [row["image_id"] for row in quarantine] == ids and all(row["message"] for row in quarantine)
    assert np.flatnonzero(~bundle.array("ok")).tolist() == ids
    assert not bundle.array("r")[:, :, ids].any() and not bundle.array("representations")[ids].any()
    assert bundle.facts["manifest"] | {"digest": ""} == {
        "source": "images",
        "digest": "",
        "images": 63,
        "ok": 63 - len(BROKEN),
        "quarantined": len(BROKEN),
    }
    top = bundle.array("text_top_ids")
    assert not np.isin(top, ids).any() and (top >= 0).all()


def test_a_second_run_finds_the_bundle_finished(world: World, vit_bundle: Path) -> None:
    stamps = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in vit_bundle.rglob("*")}
    done = call(world.run(vit_bundle.parent))
    assert "finished already" in done.out and done.bundle == vit_bundle
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in vit_bundle.rglob("*")} == stamps


def test_other_work_goes_into_another_folder(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    made = call(world.run(tmp_path, "--layers", "1,3", "--picks", 3)).bundle
    assert made.name != vit_bundle.name
    bundle = open_bundle(made)
    assert bundle.axes["layer"].labels == [1, 3] and bundle.array("text_index").shape == (2, 4, 3)
    whole = open_bundle(vit_bundle)
    np.testing.assert_array_equal(bundle.array("r"), whole.array("r")[[1, 3]])
    np.testing.assert_array_equal(bundle.array("text_index"), whole.array("text_index")[[1, 3], :, :3])


def test_equal_layernorm_shares(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    bundle = open_bundle(call(world.run(tmp_path, "--layernorm", "equal", "--layers", "3")).bundle)
    assert verify(bundle.folder).ok and bundle.facts["layernorm"] == "equal"
    assert bundle.axes["coord"].size == 12 + 3  # head width, and the shares of b_O, μ and β
    assert "offset" not in bundle.table("parts")["name"].to_pylist()
    whole = open_bundle(vit_bundle)
    np.testing.assert_array_equal(bundle.array("representations"), whole.array("representations"))
    assert sum(bundle.table("parts")["share"].to_pylist()) == pytest.approx(1, abs=1e-6)


def test_parts_on_one_disk_give_the_same_bytes(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / vit_bundle.name
    for part in ("2/3", "3/3"):
        assert f"merge {folder}" in call(world.run(tmp_path, "--shards", part)).out
    early = call(["merge", str(folder), "--quiet"])
    assert early.code == 1 and "3 of 8 shards are not there yet (the first: 0)" in early.err
    call(world.run(tmp_path, "--shards", "1/3"))
    assert not (folder / "bundle.json").exists()
    assert call(["merge", str(folder), "--quiet", "--torch-threads", "1"]).bundle == folder
    assert_same(folder, vit_bundle)
    assert leftovers(folder) == []
    assert "finished already" in call(["merge", str(folder)]).out


def test_parts_on_three_disks_give_the_same_bytes(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    parts = [tmp_path / name / vit_bundle.name for name in ("a", "b", "c")]
    for i, part in enumerate(parts, 1):
        call(world.run(part.parent, "--shards", f"{i}/3"))
    stranger = call(world.run(tmp_path, "--picks", 3, "--shards", "1/3")).out.split("merge ")[1].strip()
    wrong = call(["merge", str(parts[0]), stranger, "--quiet"])
    assert wrong.code == 1 and "belongs to the bundle" in wrong.err
    call(["merge", *map(str, parts), "--quiet", "--torch-threads", "1"])
    assert_same(parts[0], vit_bundle)


def test_parts_overtaken_by_a_whole_run(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    call(world.run(tmp_path, "--shards", "2/2"))
    assert_same(call(world.run(tmp_path)).bundle, vit_bundle)


def test_speed_settings_change_nothing(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    assert_same(call(world.run(tmp_path, "--decode-threads", 3)).bundle, vit_bundle)


def test_images_that_moved_are_the_same_images(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(world.images)
    assert_same(call(world.run(tmp_path / "out", images=tmp_path / "images")).bundle, vit_bundle)


def table_of(world: World) -> pa.Table:
    paths = sorted(p.relative_to(world.images).as_posix() for p in world.images.rglob("*.*"))[::-1]
    n = len(paths)
    return pa.table(
        {
            "path": paths,
            "caption": [f'“{path}”, said "he",\nwith a line break' for path in paths],
            "year": pa.array([None if i % 7 == 0 else 1900 + i for i in range(n)], pa.int64()),
            "class": ["even" if i % 2 == 0 else "odd" for i in range(n)],
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_manifests_columns_arrive(suffix: str, world: World, vit_bundle: Path, tmp_path: Path) -> None:
    table = table_of(world)
    (tmp_path / "data").mkdir()
    for child in world.images.iterdir():
        (tmp_path / "data" / child.name).symlink_to(child)  # links out of the folder: refused below
    source = tmp_path / "data" / f"list.{suffix}"
    pcsv.write_csv(table, source) if suffix == "csv" else pq.write_table(table, source)
    refused = call(world.run(tmp_path, images=source))
    assert refused.code == 1 and "None of the 63 images could be used" in refused.err
    source = world.root / f"list-{suffix}" / f"list.{suffix}"
    source.parent.mkdir()
    copied = table.set_column(0, "path", pa.array([f"images/{path}" for path in table["path"].to_pylist()]))
    (source.parent / "images").mkdir()
    for path in world.images.rglob("*.*"):
        target = source.parent / "images" / path.relative_to(world.images)
        target.parent.mkdir(exist_ok=True)
        target.hardlink_to(path)
    pcsv.write_csv(copied, source) if suffix == "csv" else pq.write_table(copied, source)
    bundle = open_bundle(call(world.run(tmp_path, images=source)).bundle)
    found = {row["path"]: row for row in bundle.table("images").to_pylist()}
    for row in copied.to_pylist():
        assert {key: found[row["path"]][key] for key in row} == row
    assert bundle.table("images").column_names[-2:] == ["caption", "year"]
    assert bundle.table("classes")["class"].to_pylist() == ["even", "odd"]
    # the same pictures in the same order: the same numbers, whatever is said about them
    np.testing.assert_array_equal(bundle.array("r"), open_bundle(vit_bundle).array("r"))


def test_a_flat_folder_has_no_classes(world: World, tmp_path: Path) -> None:
    bundle = open_bundle(call(world.run(tmp_path, images=world.images / "stripes")).bundle)
    assert "zero_shot" not in bundle.facts and not bundle.has("classes") and not bundle.has("class_embeddings")
    assert bundle.table("images")["class"].null_count == bundle.facts["manifest"]["images"]


def test_classes_of_broken_images_alone(world: World, tmp_path: Path) -> None:
    """Two classes, but no picture that belongs to either can be opened: a bundle without accuracy, not an error."""
    folder = tmp_path / "images"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        (folder / name / "broken.jpg").write_bytes(b"no picture")
    for i, path in enumerate(sorted((world.images / "stripes").glob("0[0-4].*"))):
        (folder / f"{i}{path.suffix}").write_bytes(path.read_bytes())
    bundle = open_bundle(call(world.run(tmp_path, images=folder)).bundle)
    assert bundle.facts["manifest"]["quarantined"] == 2 and "zero_shot" not in bundle.facts


def test_a_quantised_index_stores_its_recall(world: World, tmp_path: Path) -> None:
    bundle = open_bundle(call(world.run(tmp_path, "--index", "sq8", "--layers", "3")).bundle)
    assert verify(bundle.folder).ok
    entry = bundle.facts["indexes"]["heads/L3.H1"]
    assert entry["kind"] == "sq8"
    queries = bundle.array("text_embeddings") @ bundle.array("basis")[0, 1]
    r = np.asarray(bundle.array("r")[0, 1], np.float32)
    exact = np.argsort(-(queries @ r.T), axis=1, kind="stable")[:, :10]
    _, found = search(bundle.index("heads/L3.H1"), np.ascontiguousarray(queries), 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), found.tolist(), strict=True)])
    assert entry["recall_at_10"] == pytest.approx(recall)
    assert bundle.facts["indexes"]["text"] | {"recall_at_10": None, "kind": "fp16"} == bundle.facts["indexes"]["text"]


def test_named_classes_and_templates_enter_by_their_contents(world: World, tmp_path: Path) -> None:
    bundles = []
    for place, name in (("here", "waves"), ("there", "waves"), ("elsewhere", "clouds")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "names.txt").write_text(f"blue_sea\t{name}\n")
        (tmp_path / place / "templates.txt").write_text("a {}\nsome {}\n")
        more = ["--class-names", tmp_path / place / "names.txt", "--templates", tmp_path / place / "templates.txt"]
        bundles.append(call(world.run(tmp_path / place, *more, "--layers", "3")).bundle)
    assert open_bundle(bundles[0]).table("classes")["name"].to_pylist() == ["waves", "red brick", "stripes"]
    assert bundles[0].name == bundles[1].name != bundles[2].name
    assert_same(bundles[0], bundles[1])


def test_estimate_starts_nothing(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    done = call(world.run(tmp_path, verb="estimate"))
    assert done.code == 0, done.err
    assert list(tmp_path.iterdir()) == []
    lines = dict(line.split(maxsplit=1) for line in done.out.strip().splitlines())
    assert list(lines) == ["bundle", "images", "time", "texts", "memory", "disk"]
    assert lines["bundle"].endswith(vit_bundle.name)
    assert lines["images"] == f"63 in {-(-63 // SHARD)} shards"
    number, unit = lines["disk"].split()[:2]
    promised = float(number) * {"kB": 1e3, "MB": 1e6}[unit.rstrip(",")]
    actual = sum(len(data) for data in contents(vit_bundle).values() if isinstance(data, bytes))
    # tables, file headers and per-text arrays do not grow with the images; beside them the estimate holds
    assert actual < 10 * promised
    plain = call(world.run(tmp_path, "--neuron-layers", "none", verb="estimate")).out
    fewer = (
        float(plain.split("disk")[1].split()[0]) * {"kB": 1e3, "MB": 1e6}[plain.split("disk")[1].split()[1].rstrip(",")]
    )
    neurons = sum(len(data) for name, data in contents(vit_bundle).items() if name.startswith(("neurons/", "pairs/")))
    assert (
        0.5 * neurons < promised - fewer < 2 * neurons
    )  # file headers are half of what is there in such a tiny bundle


def test_random_weights_are_said(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ["--model", build_in(monkeypatch), "--allow-random-weights", "--batch", 2]
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((world.images / "stripes").glob("0[0-2].*")):
        (images / path.name).write_bytes(path.read_bytes())
    done = call(world.run(tmp_path, *tiny, images=images))
    assert "RANDOM WEIGHTS" in done.out and "nothing in this bundle means anything" in done.err
    bundle = open_bundle(done.bundle)
    assert bundle.facts["model"]["random_weights"] and bundle.facts["model"]["pretrained"] is None
    assert bundle.axes["head"].size == 8 and bundle.axes["pick"].size == PICKS


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_closes_within_its_bound(precision: str, world: World, vit_bundle: Path, tmp_path: Path) -> None:
    bundle = open_bundle(call(world.run(tmp_path, "--precision", precision)).bundle)
    assert verify(bundle.folder).ok and bundle.folder.name != vit_bundle.name
    assert 1e-5 < bundle.facts["worst_residual"] < bundle.facts["residual_tolerance"]
    whole = open_bundle(vit_bundle)
    distance = np.abs(np.asarray(bundle.array("representations"), float) - whole.array("representations")).max()
    assert distance < 2 * bundle.facts["residual_tolerance"]
