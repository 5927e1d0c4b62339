"""The words of `python -m precompute rosetta`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.methods.rosetta import BLOCK, K
from core.models.load import DEVICES

MEMORY_GB = 2.0


def add(
    commands: Any, command: Callable[[argparse.Namespace], int], help_formatter: Any,
    add_resources: Callable[[argparse.ArgumentParser], None],
) -> None:  # fmt: skip
    """Add the command to the others."""
    text = "find the units that models share, and make a dictionary of their concepts (paper R)"
    parser = commands.add_parser("rosetta", help=text, description=text, formatter_class=help_formatter)
    parser.set_defaults(command=command)
    parser.add_argument(
        "--models", nargs="+", metavar="MODEL",
        help="names of the zoo, timm:NAME, ARCH:TAG of open_clip, or folders; NAME=FILE brings its weights (default: "
        "the demo models)",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=Path, required=True, help="folder of class folders, flat folder, CSV or Parquet"
    )
    parser.add_argument("--out", type=Path, default=Path("bundles"), help="folder of bundles")
    parser.add_argument("--number", type=_whole(1), default=1_600, help="most images, drawn at random")
    parser.add_argument("--seed", type=_whole(0), default=0, help="draws which images")
    parser.add_argument("--k", type=_whole(1), default=K, help="nearest neighbours a unit has in another model")
    parser.add_argument(
        "--pool", help="text pool: general, english, demo, or a file (default: demo for demo models, else general)"
    )
    parser.add_argument("--device", default="auto", choices=DEVICES)
    parser.add_argument("--allow-random-weights", action="store_true", help="look at untrained models on purpose")
    parser.add_argument("--batch", type=_blocks, default=64, help=f"images a forward pass, a multiple of {BLOCK}")
    parser.add_argument(
        "--memory", type=_amount, default=MEMORY_GB, metavar="GB", help="for sums; with less there are more passes"
    )
    add_resources(parser)


def _whole(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text) if text.isdigit() else -1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return value

    return number


def _blocks(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if value < BLOCK or value % BLOCK:
        raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of {BLOCK}, within which the null mixes images")
    return value


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of gigabytes, such as 2")
    return value
