"""Compare our numbers with a directory of golden arrays: `python -m tests.golden DIR [--strict]`.

DIR holds inputs.npz (weights, images, texts, config), first_<activation>.npz and second_<activation>.npz, computed with
the papers' released code on a tiny random ViT; any sizes and seeds. One line an array: largest absolute and relative
error, tolerance, verdict. Exit code 1 if one exceeds its tolerance (or, with --strict, is not covered).

Tolerance of a float array: 30 x the reference's own float32 noise (stored beside it), at least 2e-6 of its largest
entry. Arrays decided by a choice must agree exactly, except where the golden itself calls it a tie.

A file tests/golden_<what>.py covers some arrays by a `Method`, and `Rules` for those that are no plain floats; both are
listed here.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tests import golden_first, golden_second
from tests.golden_set import GoldenSet, Method, Rules, Verdict, close

ACTIVATIONS = ("gelu", "quickgelu")
METHODS: list[Method] = [golden_first.first_order, golden_second.second_order]
RULES: Rules = {**golden_first.RULES, **golden_second.RULES}


def compare(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Judge one array by the rule of its name."""
    theirs = golden.arrays[name]
    if ours.shape != theirs.shape:
        return Verdict(False, np.nan, np.nan, None, f"shape {ours.shape}, expected {theirs.shape}")
    if not np.isfinite(ours).all():
        return Verdict(False, np.nan, np.nan, None, "not finite")
    rule = next((rule for start, rule in RULES.items() if name.startswith(start)), close)
    return rule(golden, name, ours)


def check(folder: Path, strict: bool = False) -> int:
    """Compare everything in a directory; returns how many arrays failed."""
    if not (folder / "inputs.npz").is_file():
        raise SystemExit(f"{folder} holds no inputs.npz, so it is not a golden directory of the ViT format.")
    failed = 0
    for activation in ACTIVATIONS:
        golden = GoldenSet.load(folder, activation)
        if not golden.arrays:
            continue
        print(f"== {folder} / {activation}")
        ours: dict[str, np.ndarray] = {}
        for method in METHODS:
            ours |= method(golden, activation)
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
