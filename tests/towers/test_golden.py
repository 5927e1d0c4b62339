"""The released code's numbers, where the golden arrays are at hand; and that the comparison can fail."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.methods.layernorm import Convention
from core.models.openclip_vit import OpenClipViT
from core.models.tower import Trace
from tests.golden import check, compare
from tests.golden_first import first_order
from tests.golden_second import second_order
from tests.golden_set import GoldenSet


def test_public_goldens_match(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(shared / "golden" / "vit") == 0
    printed = capsys.readouterr().out
    first, second = 2 * 18, 2 * 2 * 7  # of both activations; second order for two layers
    assert printed.count("ok ") >= first + second, "every array of heads, TextSpan and second order is compared"


def test_own_centring_and_the_wrong_activation_fail(shared: Path) -> None:
    golden = GoldenSet.load(shared / "golden" / "vit", "gelu")
    wrong = first_order(golden, "quickgelu")
    assert not compare(golden, "attn_head", wrong["attn_head"]).good
    assert compare(golden, "attn_head", first_order(golden, "gelu")["attn_head"]).good


def test_picks_that_part_before_a_tie_fail(shared: Path) -> None:
    golden = GoldenSet.load(shared / "golden" / "vit", "gelu")
    name = next(n for n in golden.wanted if n.startswith("ts_idx"))
    swapped = golden.arrays[name].copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert not compare(golden, name, swapped).good
    assert not compare(golden, "rep", np.full_like(golden.arrays["rep"], np.nan)).good


@pytest.mark.parametrize("mistake", ["activation", "own", "no class token"])
def test_wrong_second_order_effects_fail(shared: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    golden = GoldenSet.load(shared / "golden" / "vit", "gelu")
    if mistake == "no class token":
        real = OpenClipViT.trace

        def trace(self: OpenClipViT, *of: Any) -> Trace:
            made = real(self, *of)
            return replace(made, neurons={layer: _without_class_token(p) for layer, p in made.neurons.items()})

        monkeypatch.setattr(OpenClipViT, "trace", trace)
    convention = Convention.OWN if mistake == "own" else Convention.EQUAL
    wrong = second_order(golden, "quickgelu" if mistake == "activation" else "gelu", convention)
    for name in ("phi_l1", "cnorm_all_l1", "topk_idx_l1", "pca_l1", "x_l1"):
        assert not compare(golden, name, wrong[name]).good, name


def _without_class_token(p_btn: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(p_btn[:, :1]), p_btn[:, 1:]], dim=1)


def test_one_flipped_sign_fails(shared: Path) -> None:
    golden = GoldenSet.load(shared / "golden" / "vit", "gelu")
    flipped = golden.arrays["pca_l2"].copy()
    assert compare(golden, "pca_l2", flipped).good
    flipped[int(np.flatnonzero(golden.arrays["pca_sign_safe_l2"])[0])] *= -1
    assert not compare(golden, "pca_l2", flipped).good
