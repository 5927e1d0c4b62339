"""The released code's segmentation with pairs, where the golden arrays are at hand; and that it can differ."""

from pathlib import Path

import numpy as np
import pytest

from core.methods import pair_segmentation
from core.methods.layernorm import Convention
from tests import golden_segmentation
from tests.golden import check, compare
from tests.golden_text import load_resnet

FOLDER = Path("golden") / "resnet"


def test_everything_of_segmentation_matches(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(shared / FOLDER) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " seg_" in line or " slide_" in line]
    assert len(lines) == 9 and all("ok " in line for line in lines)


def test_another_bias_or_an_unrepaired_sink_fails(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = load_resnet(shared / FOLDER)
    with monkeypatch.context() as patch:
        patch.setattr(pair_segmentation, "repair", lambda x, grid: x)
        wrong = golden_segmentation.segmentation(golden, "resnet")
    for name in ("seg_head_similarity_image0", "seg_logits_image0_grid", "slide_logits"):
        assert not compare(golden, name, wrong[name]).good, name
    wrong = golden_segmentation.segmentation(golden, "resnet", Convention.OWN)
    for name in ("seg_head_similarity_image0", "seg_logits_image0_grid", "slide_logits"):
        assert not compare(golden, name, wrong[name]).good, name


def test_one_wrong_pair_or_label_fails(shared: Path) -> None:
    golden = load_resnet(shared / FOLDER)
    ours = golden_segmentation.segmentation(golden, "resnet")
    for name in ("seg_heads", "seg_neurons"):
        wrong = ours[name].copy()
        wrong[1, 3] = (wrong[1, 3] + 1) % 4
        assert compare(golden, name, ours[name]).good and not compare(golden, name, wrong).good
    labels = ours["slide_labels"].copy()
    best = np.sort(golden.arrays["slide_logits"], axis=0)
    y, x = np.unravel_index(np.argmax(best[-1] - best[-2]), labels.shape)
    labels[y, x] = (labels[y, x] + 1) % len(best)
    assert compare(golden, "slide_labels", ours["slide_labels"]).good
    assert not compare(golden, "slide_labels", labels).good
