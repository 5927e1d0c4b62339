"""What second-order effects are worth: the stored table and the command, against effects written out; its refusals."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import Bundle, open_bundle
from core.bundle.verify import verify
from core.store import Store
from precompute import neuron_totals
from tests.e2e.world import ATOMS, CLASSES, World, call, refused
from tests.reference.plain_characterise import plain_characterisation
from tests.reference.plain_neurons import PlainNeurons
from tests.reference.plain_run import PlainTexts
from tests.reference.plain_sparse_text import plain_atoms


@pytest.fixture(scope="module")
def bundle(vit_bundle: Path) -> Bundle:
    return open_bundle(vit_bundle)


@pytest.fixture(scope="module")
def telling(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle with class embeddings that tell its images apart by neurons' effects (an untrained model's do not tell
    them apart at all): where these lie from class to class, in the dimensions in which the rest varies least."""
    folder = shutil.copytree(bundle.folder, tmp_path_factory.mktemp("telling") / bundle.folder.name)
    np.save(folder / "class_embeddings.npy", telling_classes(bundle).astype(np.float32))
    return open_bundle(folder)


def telling_classes(bundle: Bundle) -> np.ndarray:
    ids = np.asarray(bundle.array("neuron_image_ids"))
    total_io = np.asarray(bundle.array("neuron_total"), np.float64).sum(0)
    rest_io = np.asarray(bundle.array("representations"), np.float64)[ids] - total_io
    quiet_ko = np.linalg.svd(rest_io)[2][rest_io.shape[1] // 2 :]
    names = np.array(bundle.table("images")["class"].to_pylist())[ids]
    class_co = np.stack([total_io[names == name].mean(0) for name in CLASSES]) @ quiet_ko.T @ quiet_ko
    return class_co / np.linalg.norm(class_co, axis=1)[:, None]


Plain = Callable[[np.ndarray, tuple[int, ...]], dict]


@pytest.fixture(scope="module")
def plain(vit_neurons: dict[int, PlainNeurons], telling: Bundle) -> Plain:
    """Every row for texts and counts, with φ of every neuron and image. Directions are the bundle's: other tests look
    at these."""
    ok = [row for row in telling.table("images").to_pylist() if row["status"] == "ok"]
    phi = {layer: neurons.phi_ino for layer, neurons in vit_neurons.items()}
    direction = dict(zip(phi, np.asarray(telling.array("neuron_direction"), np.float64), strict=True))
    unit_io = np.asarray(telling.array("representations"), np.float64)[[row["image_id"] for row in ok]]
    label_i = np.array([CLASSES.index(row["class"]) for row in ok])
    classes_co = np.asarray(telling.array("class_embeddings"), np.float64)

    def rows(texts_wo: np.ndarray, counts: tuple[int, ...]) -> dict:
        atoms_wo = plain_atoms(np.asarray(texts_wo, np.float64), "unit")
        return plain_characterisation(unit_io, label_i, classes_co, phi, direction, atoms_wo, counts)

    return rows


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_number_of_the_command_against_effects_written_out(plain: Plain, telling: Bundle, tmp_path: Path) -> None:
    words = ["characterise", str(telling.folder), "--texts", "1,2,4,7", "--csv", str(tmp_path / "t.csv"), "--quiet"]
    assert call(words).code == 0  # more than the 4 that are stored
    expected = plain(np.asarray(telling.array("text_embeddings")), (1, 2, 4, 7))
    rows = read(tmp_path / "t.csv")
    assert len(rows) == len(expected)
    for row in rows:
        key = row["kind"], *(int(row[name]) if row[name] else None for name in ("layer", "texts"))
        # half precision can turn near-ties, and scores are small here: two images of 58 at most
        assert float(row["top1"]) == pytest.approx(expected[key], abs=2.5 / 58), row
        assert int(row["images"]) == 58
    together = [expected[kind, None, None] for kind in ("all", "small norm", "large norm")]
    assert min(np.diff(together)) > 0.15 and expected["none", None, None] > 0.8, expected


def test_the_command_gives_the_stored_table(bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    done = call(["characterise", str(bundle.folder), "--texts", "1,2,4", "--csv", str(target), "--quiet"])
    assert done.code == 0 and not done.err
    rows, stored = read(target), Store(bundle).characterisation()
    assert stored[0].top1 == pytest.approx(bundle.facts["zero_shot"]["top1"]) and stored[-1].texts == ATOMS
    assert [(row["kind"], row["layer"], row["texts"], row["pool"]) for row in rows] == [
        tuple("" if value is None else str(value) for value in (row.kind, row.layer, row.texts, row.pool))
        for row in stored
    ]
    for row, kept in zip(rows, stored, strict=True):
        assert (float(row["top1"]), float(row["standard_error"]), int(row["images"])) == (
            kept.top1,
            kept.error,
            kept.images,
        )
        assert f"{kept.top1:.1%} ± {kept.error:.1%}" in done.out
    assert "58 images" in done.out and "all layers" in done.out and "33.3%" in done.out


def test_other_pools_and_more_texts(world: World, plain: Plain, telling: Bundle, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    texts = [f"a {thing} {place}" for thing in ("cat", "sea", "red dot") for place in ("here", "there", "far off")]
    other.write_text("\n".join(texts))
    words = ["characterise", str(telling.folder), "--pools", f"bundle,{other}", "--texts", "1,3,500"]
    assert call([*words, "--csv", str(tmp_path / "t.csv"), "--quiet", "--torch-threads", "1"]).code == 0
    rows = [row for row in read(tmp_path / "t.csv") if row["kind"] == "texts"]
    own_most = min(telling.axes["text"].size, telling.axes["out"].size)
    layers = [*telling.axes["neuron_layer"].labels, ""]
    assert [(row["pool"], int(row["texts"])) for row in rows] == [
        *[("pool", count) for _ in layers for count in (1, 3, own_most)],
        *[("other", count) for _ in layers for count in (1, 3, 9)],
    ]
    expected = plain(PlainTexts(world.model()).encode_texts(texts), (1, 3))
    for row in rows:
        key = "texts", int(row["layer"]) if row["layer"] else None, int(row["texts"])
        if row["pool"] == "other" and key in expected:
            assert float(row["top1"]) == pytest.approx(expected[key], abs=2.5 / 58), row


def test_totals_do_not_depend_on_how_they_are_divided(
    world: World, vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuron_totals.totals, "__defaults__", (100,))
    folder = call(world.run(tmp_path)).bundle
    for name in ("total", "total_active"):
        few, all_at_once = (np.asarray(open_bundle(f).array(f"neuron_{name}"), float) for f in (folder, vit_bundle))
        # the order of a float32 sum, then rounding to half precision
        np.testing.assert_allclose(few, all_at_once, atol=2.0**-10 * np.abs(all_at_once).max())


def test_what_cannot_be_characterised_gets_a_sentence(world: World, bundle: Bundle, tmp_path: Path) -> None:
    words = ["characterise", str(bundle.folder), "--quiet"]
    refused(["characterise", str(tmp_path), "--quiet"], "This makes a bundle")
    bare = call(world.run(tmp_path / "bare", "--neuron-layers", "none")).bundle
    refused(["characterise", str(bare), "--quiet"], "has no neurons")
    alone = call(world.run(tmp_path, images=world.images / CLASSES[0])).bundle
    assert not open_bundle(alone).has("characterisation") and verify(alone).ok
    refused(["characterise", str(alone), "--quiet"], "have no classes")
    refused([*words, "--csv", str(bundle.folder / "x.csv")], "never changes")
    refused([*words, "--csv", str(tmp_path / "nowhere" / "x.csv")], "a folder that exists")
    refused([*words, "--pools", "nonsense"], "no text pool")
    one, same = tmp_path / "one.txt", tmp_path / "pool.txt"
    one.write_text("a dog\n")
    same.write_text("a dog\na cat\n")
    refused([*words, "--pools", f"{one}"], "at least two different texts")
    refused([*words, "--pools", f"bundle,{same}"], "the same name")
    refused([*words, "--pools", f"{same}", "--model", str(world.model("resnet"))], "other weights")
    for bad in (["--texts", "0"], ["--texts", "1,x"], ["--pools", ","]):
        with pytest.raises(SystemExit):
            call([*words, *bad])
