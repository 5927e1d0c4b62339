"""Rosetta matching against its golden arrays, where they are at hand; on a set of other models and sizes; and that the
comparison can fail."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.methods.rosetta_resize import Resize
from tests.golden import check, compare
from tests.golden_rosetta import ROSETTA, load_rosetta, rosetta
from tests.golden_set import GoldenSet
from tests.reference import plain_rosetta as plain

COVERED = ("pearson_", "table_ref_", "mean_", "std_", "bb_", "rosetta_", "cluster_")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def golden(shared: Path) -> GoldenSet:
    return load_rosetta(shared / "golden" / "rosetta")


def test_every_array_matches(shared: Path, golden: GoldenSet, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(shared / "golden" / "rosetta") == 0
    good = {line.split()[1] for line in capsys.readouterr().out.splitlines() if line.split()[0] == "ok"}
    assert good == {name for name in golden.arrays if name.startswith(COVERED)} and len(good) == 44


def test_another_resize_and_the_class_token_fail(golden: GoldenSet, monkeypatch: pytest.MonkeyPatch) -> None:
    mistaken = GoldenSet(**{**golden.__dict__, "inputs": {**golden.inputs}})
    mistaken.inputs["act_D_1"] = np.roll(golden.inputs["act_D_1"], 1, axis=1)
    assert not compare(golden, "pearson_AD", rosetta(mistaken, "")["pearson_AD"]).good
    monkeypatch.setattr(Resize, "adjoint", lambda self, m: torch.nn.functional.adaptive_avg_pool2d(
        m.flatten(0, 1), (self.u_Yy.shape[1], self.u_Xx.shape[1])).unflatten(0, m.shape[:2]))  # fmt: skip
    assert not compare(golden, "pearson_AB", rosetta(golden, "")["pearson_AB"]).good


def test_the_released_numbers_are_others(golden: GoldenSet) -> None:
    """Not Pearson's, and another rule: neither is taken for the other."""
    theirs = golden.arrays
    assert not compare(golden, "pearson_AB", theirs["table_ref_AB"]).good
    assert not compare(golden, "std_global_B", theirs["std_ref_B"].astype(float)).good
    assert not compare(golden, "bb_mutual_AB_K5", theirs["bb_code_AB_K5"]).good
    swapped = theirs["rosetta_mutual_K5"].copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert not compare(golden, "rosetta_mutual_K5", swapped).good


def test_a_set_of_other_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three models, of one and of two layers, one a ViT; made by the twin, so that the format alone is at stake."""
    rng = np.random.default_rng(5)
    draw = lambda *shape: np.maximum(rng.standard_normal(shape, np.float32), 0)
    stored = {"act_A_1": draw(7, 9, 6, 6), "act_B_1": draw(7, 6, 3, 3), "act_B_2": draw(7, 5, 12, 12),
              "act_C_1": draw(7, 17, 8)}  # fmt: skip
    stored["act_B_1"][:, 2] = 0
    layers = {
        name: [torch.from_numpy(stored[f"act_{name}_{i}"]) for i in range(1, n)] for name, n in (("A", 2), ("B", 3))
    }
    layers["C"] = [torch.from_numpy(stored["act_C_1"])[:, 1:].transpose(1, 2).unflatten(2, (4, 4))]
    for k in (2,):
        for other in "ABC":
            table = stored[f"pearson_A{other}"] = plain.plain_table(layers["A"], layers[other])
            stored[f"table_ref_A{other}"] = plain.released_table(layers["A"], layers[other], 3)
            if other != "A":
                stored[f"bb_mutual_A{other}_K{k}"] = np.array(plain.plain_mutual(table, k), np.int32)
        buddies = [stored[f"bb_mutual_A{other}_K{k}"].tolist() for other in "BC"]
        stored[f"rosetta_mutual_K{k}"] = np.array(plain.plain_tuples(buddies), np.int32).reshape(-1, 3)
    stored |= {"images_u8": np.zeros((7, 8, 8, 3), np.uint8), "config_json": np.array(json.dumps({"batch_size": 3}))}
    np.savez(tmp_path / ROSETTA, **stored)
    assert check(tmp_path, strict=True) == 0 and capsys.readouterr().out.count("ok ") == 9
    stored["pearson_AC"] = stored["pearson_AC"] + 2e-5
    np.savez(tmp_path / ROSETTA, **stored)
    assert check(tmp_path) == 1
