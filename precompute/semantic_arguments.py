"""The words of `python -m precompute semantic`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.methods.layernorm import Convention
from core.methods.pair_segmentation import PAIR_SHARE, SHORT_SIDES
from core.methods.semantic_maps import METHODS


def add(
    commands: Any, command: Callable[[argparse.Namespace], int], help_formatter: Any,
    add_resources: Callable[[argparse.ArgumentParser], None],
) -> None:  # fmt: skip
    """Add the command to the others."""
    text = "give every pixel one of several classes, without training, and score it against label maps"
    parser = commands.add_parser("semantic", help=text, description=text, formatter_class=help_formatter)
    parser.set_defaults(command=command)
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--images", type=Path, required=True, help="folder of images, or one that holds images/")
    parser.add_argument("--labels", type=Path, help="folder of label maps, PNG named as the images (default: beside)")
    parser.add_argument("--classes", type=Path, help="file of `id<TAB>name` lines (default: classes.txt beside)")
    parser.add_argument(
        "--ignore", type=_number(0), action="append", metavar="ID", help="pixels of this id count nowhere; repeatable"
    )
    parser.add_argument("--limit", type=_number(1), help="most images, spread evenly (default: all with a label map)")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, metavar="METHOD",
        help="; ".join(f"{name}: {told}" for name, told in METHODS.items()) + " (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--pairs",
        type=_number(1),
        metavar="K",
        help=f"pairs a class (default: {100 * PAIR_SHARE:.1f} %% of all, as the paper)",
    )
    parser.add_argument("--neurons", type=_number(1), metavar="K", help="neurons a class (default: the same share)")
    parser.add_argument(
        "--short-side", type=_short_side, default="paper",
        help="pixels of an image's short side; paper: 512/384 of a window's, code: a window's, as its released code",
    )  # fmt: skip
    parser.add_argument("--crop", type=_number(1), help="side of a window (default: the model's input)")
    parser.add_argument("--stride", type=_number(1), help="from one window to the next (default: half a window)")
    parser.add_argument(
        "--layernorm", choices=[str(c) for c in Convention],
        help="own: the output bias is nobody's; equal: heads share it, as in the released code (default: the bundle's)",
    )  # fmt: skip
    parser.add_argument(
        "--sink", type=_sink, default="auto",
        help="patch replaced by the mean of its neighbours: last, measured (as the bundle has it), none, or its number "
        "(auto: last for a ResNet)",
    )  # fmt: skip
    parser.add_argument("--zero-registers", type=_number(0), default=0, metavar="N", help="register neurons set to 0")
    parser.add_argument("--present", action="store_true", help="of each image only the classes that it shows compete")
    parser.add_argument("--templates", default="simple", help="class prompts: simple (7), openai (80), or a file")
    parser.add_argument("--batch", type=_number(1), default=16, help="windows a forward pass")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the scores of every class to a file")
    add_resources(parser)


def _number(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
        return int(text)

    return read


def _short_side(text: str) -> int | float:
    """Pixels, or as a fraction of the window's side."""
    return SHORT_SIDES[text] if text in SHORT_SIDES else _number(16)(text)


def _sink(text: str) -> int | str:
    return text if text in ("auto", "last", "measured", "none") else _number(0)(text)
