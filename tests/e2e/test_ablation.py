"""Zero-shot accuracy under mean-ablation against float64 written out, and however the work is divided."""

from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import Bundle, open_bundle
from core.store import Store
from precompute import ablation
from precompute.config import Settings
from precompute.finish import class_prompts
from tests.e2e.world import CLASSES, World, assert_same, call
from tests.reference.plain_run import PlainTexts, plain_run
from tests.reference.plain_text import plain_class_embeddings


def plain_ablations(world: World, bundle: Bundle, only: set[int] | None = None) -> dict[tuple, tuple[float, int]]:
    """(kind, layer) -> (top-1, images), with means over every ok image and accuracy over `only` (None: all)."""
    rows = [row for row in bundle.table("images").to_pylist() if row["status"] == "ok"]
    plain = plain_run(world.model(), [world.images / row["path"] for row in rows])
    names, templates = class_prompts(CLASSES, Settings())
    classes = plain_class_embeddings(PlainTexts(world.model()), list(names), list(templates))
    looked_at = [n for n, row in enumerate(rows) if only is None or row["image_id"] in only]
    layers = sum(name.startswith("attention") for name in plain.parts)
    ablated = {("none", None): [], ("mlps", None): [f"mlp L{i}" for i in range(layers)]}
    ablated |= {("attention", last): [f"attention L{i}" for i in range(last + 1)] for last in range(layers)}
    out = {}
    for key, parts in ablated.items():
        right = 0
        for n in looked_at:
            vector = plain.unit_no[n].copy()
            for name in parts:
                vector += plain.parts[name].mean(0) - plain.parts[name][n]
            right += CLASSES[int(np.argmax(classes @ vector))] == rows[n]["class"]
        out[key] = right / len(looked_at), len(looked_at)
    return out


def found(folder: Path) -> dict[tuple, tuple[float, int]]:
    return {(a.kind, a.layer): (a.top1, a.images) for a in Store(open_bundle(folder)).ablations()}


def test_against_a_plain_recomputation(world: World, vit_bundle: Path) -> None:
    bundle = open_bundle(vit_bundle)
    expected = plain_ablations(world, bundle)
    assert found(vit_bundle) == expected
    assert expected["none", None] == (pytest.approx(bundle.facts["zero_shot"]["top1"]), 58)


def test_over_some_of_the_images(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation.chosen, "__defaults__", (23,))
    folder = call(world.run(tmp_path)).bundle
    ids = set(ablation.chosen(63).tolist())
    assert len(ids) == 23 and {0, 62} <= ids
    bundle = open_bundle(folder)
    expected = plain_ablations(world, bundle, ids)
    assert found(folder) == expected
    assert 15 <= expected["none", None][1] < 23  # some of the chosen are in quarantine


def test_same_bytes_however_it_is_divided(world: World, vit_bundle: Path, tmp_path: Path) -> None:
    for part in ("2/2", "1/2"):
        assert call(world.run(tmp_path, "--shards", part)).code == 0
    folder = tmp_path / vit_bundle.name
    if not (folder / "bundle.json").exists():
        call(["merge", str(folder), "--quiet"])
    assert_same(folder, vit_bundle)


def test_none_without_classes_or_for_a_pool(world: World, resnet_bundle: Path, tmp_path: Path) -> None:
    assert found(resnet_bundle) == {}
    alone = call(world.run(tmp_path, images=world.images / CLASSES[0])).bundle
    assert found(alone) == {} and not open_bundle(alone).has("ablation")
