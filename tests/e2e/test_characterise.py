"""What second-order effects are worth: the stored table and the command, against effects written out; its refusals."""

import csv
from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import Bundle, open_bundle
from core.bundle.verify import verify
from core.store import Store
from precompute import neuron_totals
from precompute.config import Settings
from precompute.finish import class_prompts
from tests.e2e.world import CLASSES, World, call, refused
from tests.reference.plain_characterise import plain_characterisation
from tests.reference.plain_neurons import plain_neurons
from tests.reference.plain_run import PlainTexts
from tests.reference.plain_sparse_text import plain_atoms
from tests.reference.plain_text import plain_class_embeddings

COUNTS = (1, 2, 4)  # the stored table's: doublings up to the texts that are stored


@pytest.fixture(scope="module")
def bundle(vit_bundle: Path) -> Bundle:
    return open_bundle(vit_bundle)


def plain(world: World, bundle: Bundle, texts_wo: np.ndarray, counts: tuple[int, ...]) -> dict:
    """Every row, with φ of every neuron and image; directions are the bundle's, which other tests look at."""
    ok = [row for row in bundle.table("images").to_pylist() if row["status"] == "ok"]
    files = [world.images / row["path"] for row in ok]
    layers = bundle.axes["neuron_layer"].labels
    phi = {layer: plain_neurons(world.model(), files, layer).phi_ino for layer in layers}
    direction = dict(zip(layers, np.asarray(bundle.array("neuron_direction"), np.float64), strict=True))
    names, templates = class_prompts(CLASSES, Settings())
    classes_co = plain_class_embeddings(PlainTexts(world.model()), list(names), list(templates))
    unit_io = np.asarray(bundle.array("representations"), np.float64)[[row["image_id"] for row in ok]]
    label_i = np.array([CLASSES.index(row["class"]) for row in ok])
    atoms_wo = plain_atoms(np.asarray(texts_wo, np.float64), "unit")
    return plain_characterisation(unit_io, label_i, classes_co, phi, direction, atoms_wo, counts)


def test_the_stored_table_against_a_plain_recomputation(world: World, bundle: Bundle) -> None:
    expected = plain(world, bundle, np.asarray(bundle.array("text_embeddings")), COUNTS)
    found = Store(bundle).characterisation()
    assert {(row.kind, row.layer, row.texts) for row in found} == set(expected) and len(found) == len(expected)
    for row in found:
        # an untrained model's classes lie close together: half precision can turn one image
        assert row.top1 == pytest.approx(expected[row.kind, row.layer, row.texts], abs=1.5 / 58), row
        assert row.images == 58 and row.error == pytest.approx(np.sqrt(row.top1 * (1 - row.top1) / 58))
        assert row.pool == ("pool" if row.kind == "texts" else None)
    assert found[0].top1 == pytest.approx(bundle.facts["zero_shot"]["top1"])
    assert len({row.top1 for row in found}) > 3


def test_the_command_gives_the_stored_table(bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    done = call(["characterise", str(bundle.folder), "--texts", "1,2,4", "--csv", str(target), "--quiet"])
    assert done.code == 0 and not done.err
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stored = Store(bundle).characterisation()
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


def test_other_pools_and_more_texts(world: World, bundle: Bundle, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    texts = [f"a {thing} {place}" for thing in ("cat", "sea", "red dot") for place in ("here", "there", "far off")]
    other.write_text("\n".join(texts))
    words = ["characterise", str(bundle.folder), "--pools", f"bundle,{other}", "--texts", "1,3,500"]
    assert call([*words, "--csv", str(tmp_path / "t.csv"), "--quiet", "--torch-threads", "1"]).code == 0
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "texts"]
    own_most = min(bundle.axes["text"].size, bundle.axes["out"].size)
    layers = [*bundle.axes["neuron_layer"].labels, ""]
    assert [(row["pool"], int(row["texts"])) for row in rows] == [
        *[("pool", count) for _ in layers for count in (1, 3, own_most)],
        *[("other", count) for _ in layers for count in (1, 3, 9)],
    ]
    embedded = PlainTexts(world.model()).encode_texts(texts)
    for pool, texts_wo, counts in (
        ("other", embedded, (1, 3)),
        ("pool", np.asarray(bundle.array("text_embeddings")), (1, 3)),
    ):
        expected = plain(world, bundle, texts_wo, counts)
        for row in rows:
            key = "texts", int(row["layer"]) if row["layer"] else None, int(row["texts"])
            if row["pool"] == pool and key in expected:
                assert float(row["top1"]) == pytest.approx(expected[key], abs=1.5 / 58), row


def test_totals_do_not_depend_on_how_they_are_divided(
    world: World, vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuron_totals.totals, "__defaults__", (100,))
    folder = call(world.run(tmp_path)).bundle
    for name in ("total", "total_active"):
        few, all_at_once = (np.asarray(open_bundle(f).array(f"neuron_{name}"), float) for f in (folder, vit_bundle))
        # the order of a float32 sum, then rounding to half precision
        np.testing.assert_allclose(few, all_at_once, atol=2.0**-10 * np.abs(all_at_once).max())


def test_what_cannot_be_characterised_gets_a_sentence(
    world: World, bundle: Bundle, resnet_bundle: Path, tmp_path: Path
) -> None:
    words = ["characterise", str(bundle.folder), "--quiet"]
    refused(["characterise", str(tmp_path), "--quiet"], "no bundle")
    refused(["characterise", str(resnet_bundle), "--quiet"], "has no neurons")
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
