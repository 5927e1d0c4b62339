"""The released code's sparse text decompositions, where the golden arrays are at hand; and that they can differ."""

from pathlib import Path

import numpy as np
import pytest

from core.methods.sparse_text import AtomScaling
from tests import golden_text
from tests.golden import check, compare
from tests.golden_set import GoldenSet


def test_neurons_match(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(shared / "golden" / "vit", strict=True) == 0
    printed = capsys.readouterr().out.splitlines()
    covered = [line for line in printed if "ok " in line and " omp_" in line]
    assert len(covered) == 2 * 2 * 4, "supports and coefficients of both scalings, two layers, both activations"


def test_pairs_match(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(shared / "golden" / "resnet") == 0
    printed = capsys.readouterr().out
    for name in ("omp_dictionary", "omp_index", "omp_coef", "omp_unit_index", "omp_unit_coef", "sparse_direction"):
        assert any(f" {name} " in line and "ok " in line for line in printed.splitlines()), name


def test_the_other_scaling_fails(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = GoldenSet.load(shared / "golden" / "vit", "gelu")
    monkeypatch.setattr(golden_text, "SCALING", {"omp_ref": AtomScaling.UNIT, "omp_row": AtomScaling.PAPER})
    for name, wrong in golden_text.sparse_text(golden, "gelu").items():
        assert not compare(golden, name, wrong).good, name
    pairs = golden_text.load_resnet(shared / "golden" / "resnet")
    for name, other in (("omp_index", "omp_unit_index"), ("omp_coef", "omp_unit_coef")):
        assert not compare(pairs, name, pairs.arrays[other]).good


def test_one_wrong_text_or_coefficient_fails(shared: Path) -> None:
    golden = golden_text.load_resnet(shared / "golden" / "resnet")
    ours = golden_text.resnet_text(golden, "resnet")
    swapped = ours["omp_index"].copy()
    swapped[5, 0] = (swapped[5].max() + 1) % len(golden.texts)
    assert compare(golden, "omp_index", ours["omp_index"]).good and not compare(golden, "omp_index", swapped).good
    off = ours["omp_coef"].copy()
    off[5, 0] += 1e-3 * np.abs(off).max()
    assert not compare(golden, "omp_coef", off).good


def test_a_folder_of_neither_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"neither inputs\.npz nor clip_rn\.npz"):
        check(tmp_path)
