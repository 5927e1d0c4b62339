"""The released code's numbers, where the golden arrays are at hand; and that the comparison can fail."""

from pathlib import Path

import numpy as np
import pytest

from tests.golden import GoldenSet, check, compare, first_order


def test_public_goldens_match(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(shared / "golden" / "vit") == 0
    printed = capsys.readouterr().out
    assert printed.count("ok ") >= 36, "every first-order and TextSpan array of both activations is compared"


def test_own_centring_and_the_wrong_activation_fail(shared: Path) -> None:
    golden = GoldenSet.load(shared / "golden" / "vit", "gelu")
    wrong = first_order(golden, "quickgelu")
    assert not compare(golden, "attn_head", wrong["attn_head"])[0]
    assert compare(golden, "attn_head", first_order(golden, "gelu")["attn_head"])[0]


def test_picks_that_part_before_a_tie_fail(shared: Path) -> None:
    golden = GoldenSet.load(shared / "golden" / "vit", "gelu")
    name = next(n for n in golden.wanted if n.startswith("ts_idx"))
    swapped = golden.arrays[name].copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert not compare(golden, name, swapped)[0]
    assert not compare(golden, "rep", np.full_like(golden.arrays["rep"], np.nan))[0]
