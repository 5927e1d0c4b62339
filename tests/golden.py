"""Compare our numbers with a directory of golden arrays: `python -m tests.golden DIR [--strict]`.

DIR holds inputs.npz (weights, images, texts, config), first_<activation>.npz and second_<activation>.npz, computed with
the papers' released code on a tiny random ViT; any sizes and seeds. One line an array: largest absolute and relative
error, tolerance, verdict. Exit code 1 if one exceeds its tolerance (or, with --strict, is not covered).

Tolerance of a float array: 30 x the reference's own float32 noise (stored beside it), at least 2e-6 of its largest
entry. Arrays decided by a choice must agree exactly, except where the golden itself calls it a tie.

A directory with clip_rn.npz instead (a tiny random ResNet's neuron-head pairs) or rosetta.npz (units of several tiny
models) is compared in what is covered of it.

A file tests/golden_<what>.py covers some arrays by a `Method`, and `Rules` for those that are no plain floats; both are
listed here.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests import (
    golden_drift,
    golden_first,
    golden_pairs,
    golden_pairs_rules,
    golden_rosetta,
    golden_second,
    golden_segmentation,
    golden_text,
)
from tests.golden_set import GoldenSet, Method, Rules, Verdict, close

ACTIVATIONS = ("gelu", "quickgelu")
METHODS: list[Method] = [golden_first.first_order, golden_second.second_order, golden_text.sparse_text]
RESNET_METHODS: list[Method] = [
    golden_pairs.resnet_pairs,
    golden_text.resnet_text,
    golden_segmentation.segmentation,
    golden_drift.drift,
    golden_drift.sink,
]
ROSETTA_METHODS: list[Method] = [golden_rosetta.rosetta]
RULES: Rules = {
    **golden_first.RULES,
    **golden_second.RULES,
    **golden_text.RULES,
    **golden_pairs_rules.RULES,
    **golden_segmentation.RULES,
    **golden_drift.RULES,
    **golden_rosetta.RULES,
}


def compare(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Judge one array by the rule of its name."""
    theirs = golden.arrays[name]
    if ours.shape != theirs.shape:
        return Verdict(False, np.nan, np.nan, None, f"shape {ours.shape}, expected {theirs.shape}")
    if not np.isfinite(ours).all():
        return Verdict(False, np.nan, np.nan, None, "not finite")
    rule = next((rule for start, rule in RULES.items() if name.startswith(start)), close)
    return rule(golden, name, ours)


def sets(folder: Path) -> Iterator[tuple[str, GoldenSet, list[Method]]]:
    """What a directory holds: the activation or kind, its arrays, and what is compared with them."""
    if (folder / golden_text.RESNET).is_file():
        yield "resnet", golden_text.load_resnet(folder), RESNET_METHODS
    elif (folder / golden_rosetta.ROSETTA).is_file():
        yield "rosetta", golden_rosetta.load_rosetta(folder), ROSETTA_METHODS
    elif (folder / "inputs.npz").is_file():
        for activation in ACTIVATIONS:
            yield activation, GoldenSet.load(folder, activation), METHODS
    else:
        raise SystemExit(
            f"{folder} holds neither inputs.npz nor {golden_text.RESNET} nor {golden_rosetta.ROSETTA}, so it is no "
            "golden directory of a ViT, a ResNet or several models."
        )


def check(folder: Path, strict: bool = False) -> int:
    """Compare everything in a directory; returns how many arrays failed."""
    failed = 0
    for kind, golden, methods in sets(folder):
        if not golden.arrays:
            continue
        print(f"== {folder} / {kind}")
        ours: dict[str, np.ndarray] = {}
        for method in methods:
            ours |= method(golden, kind)
        for name in golden.wanted:
            if name not in ours:
                failed += strict
                print(f"  {'FAIL' if strict else '--'}  {name:24s} not yet covered")
                continue
            verdict = compare(golden, name, ours[name])
            failed += not verdict.good
            bound = "exact" if verdict.tolerance is None else f"{verdict.tolerance:.1e}"
            print(
                f"  {'ok' if verdict.good else 'FAIL':4s}  {name:24s} abs {verdict.error:.2e}  "
                f"rel {verdict.relative:.2e}  tolerance {bound}  {verdict.remark}"
            )
    print("all within tolerance" if not failed else f"{failed} arrays failed")
    return failed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strict", action="store_true", help="arrays of methods not yet covered count as failures")
    arguments = parser.parse_args(argv)
    return 1 if check(arguments.folder, arguments.strict) else 0


if __name__ == "__main__":
    sys.exit(main())
