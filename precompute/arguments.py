"""The words of the command line, and what they ask for."""

import argparse
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.methods.drift import PAIRS
from core.methods.layernorm import Convention
from core.methods.segmentation import THRESHOLD, TOP_NEURONS
from core.models.load import DEVICES, PRECISIONS
from precompute import rosetta_arguments, semantic_arguments
from precompute.config import ModelChoice, Resources, Settings
from precompute.segment_maps import METHODS

Command = Callable[[argparse.Namespace], int]


def model_choice(arguments: argparse.Namespace) -> ModelChoice:
    """Which model."""
    return ModelChoice(
        name=arguments.model,
        pretrained=arguments.pretrained,
        device=arguments.device,
        precision=arguments.precision,
        activation=arguments.activation,
        allow_random_weights=arguments.allow_random_weights,
    )


def settings(arguments: argparse.Namespace) -> Settings:
    """What to compute. Raises InputError."""
    if arguments.class_names and not Path(arguments.class_names).is_file():
        raise InputError(f"There is no file {arguments.class_names} with class names.")
    return Settings(
        layers=arguments.layers,
        layernorm=Convention(arguments.layernorm),
        pool=arguments.pool,
        picks=arguments.picks,
        top_images=arguments.top_images,
        templates=arguments.templates,
        class_names=arguments.class_names,
        batch=arguments.batch,
        shard=arguments.shard,
        thumb=arguments.thumb,
        index=arguments.index,
        neuron_layers=arguments.neuron_layers,
        neuron_images=arguments.neuron_images,
        neuron_largest=arguments.neuron_largest,
        neuron_texts=arguments.neuron_texts,
        pairs=not arguments.no_pairs,
        pair_texts=arguments.pair_texts,
    )


def resources(arguments: argparse.Namespace) -> Resources:
    """How much of the machine; sets torch's threads."""
    torch.set_num_threads(arguments.torch_threads or os.cpu_count() or 1)
    return Resources(
        jobs=getattr(arguments, "jobs", 1),
        threads=getattr(arguments, "decode_threads", 1),
        part=getattr(arguments, "shards", None),
        progress=not arguments.quiet,
    )


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the defaults that there are; "(default: None)" tells nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


def build_parser(commands_by_name: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser; each command's function is found by its name, under `command`."""
    parser = argparse.ArgumentParser(prog="python -m precompute", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for name, text in (
        ("estimate", "say what a run will need: images, disk, memory, time"),
        ("run", "make a bundle, or go on with one that was interrupted"),
    ):
        run = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        run.set_defaults(command=commands_by_name[name])
        _add_model(run)
        _add_settings(run)
        _add_resources(run)
        if name == "run":
            run.add_argument("--jobs", type=_positive, default=1, help="worker processes, each with the model")
            run.add_argument("--shards", type=_part, metavar="I/N", help="compute part I of N only; then use merge")

    merge = commands.add_parser("merge", help="finish a bundle whose shards were computed in parts")
    merge.set_defaults(command=commands_by_name["merge"])
    merge.add_argument("bundle", type=Path, help="the bundle's folder")
    merge.add_argument(
        "parts", type=Path, nargs="*", help="the same bundle's folders on other disks, to copy shards from"
    )
    _add_resources(merge)

    verify = commands.add_parser("verify", help="check a bundle: checksums, closing sums, sizes; exit code 1 on damage")
    verify.set_defaults(command=commands_by_name["verify"])
    verify.add_argument("bundle", type=Path)
    verify.add_argument("--quiet", action="store_true", help="no progress bar")

    _add_segment(commands, commands_by_name["segment"])
    semantic_arguments.add(commands, commands_by_name["semantic"], _Help, _add_resources)
    _add_characterise(commands, commands_by_name["characterise"])
    _add_sparsity(commands, commands_by_name["sparsity"])
    _add_drift(commands, commands_by_name["drift"])
    _add_leaderboard(commands, commands_by_name["leaderboard"])
    rosetta_arguments.add(commands, commands_by_name["rosetta"], _Help, _add_resources)

    demo = commands.add_parser("demo", help="make the demo world's bundles")
    demo.set_defaults(command=commands_by_name["demo"])
    demo.add_argument("--out", type=Path, default=Path("bundles"))
    demo.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


def _add_segment(commands: Any, command: Command) -> None:
    text = "score how well a bundle's heads and neurons find objects, over images with masks"
    parser = commands.add_parser("segment", help=text, description=text, formatter_class=_Help)
    parser.set_defaults(command=command)
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--images", type=Path, required=True, help="images with classes, as for run")
    parser.add_argument(
        "--masks", type=Path, required=True, help="folder of PNG files named as the images, or Parquet of path and mask"
    )
    parser.add_argument("--ignore", type=int, help="value of a mask's pixels that count nowhere, such as 255")
    parser.add_argument("--limit", type=_positive, help="most images, spread evenly (default: all that have a mask)")
    parser.add_argument(
        "--where", type=_pair, action="append", metavar="COLUMN=VALUE",
        help="only images with this value in a column of their manifest; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, metavar="METHOD",
        help="; ".join(f"{name}: {told}" for name, told in METHODS.items()) + " (default: all)",
    )  # fmt: skip
    parser.add_argument("--neurons", type=_positive, default=TOP_NEURONS, help="neurons averaged for a class")
    parser.add_argument("--threshold", type=_cut, default=THRESHOLD, help="cut of neurons' maps: 0 to 1, or mean")
    parser.add_argument("--other-threshold", type=_cut, default="mean", help="cut of all other maps")
    parser.add_argument("--templates", default="simple", help="class prompts: simple (7), openai (80), or a file")
    parser.add_argument("--class-names", help="file of `folder<TAB>name` lines")
    parser.add_argument("--batch", type=_positive, default=16, help="images of one class a forward pass")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table to a file too")
    _add_resources(parser)


def _add_characterise(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", command: Command) -> None:
    text = "zero-shot accuracy when neurons' second-order effects are ablated, or rebuilt from texts of any pool"
    parser = commands.add_parser("characterise", help=text, description=text, formatter_class=_Help)
    parser.set_defaults(command=command)
    parser.add_argument("bundle", type=Path, help="a finished bundle with classes and neurons")
    parser.add_argument(
        "--pools",
        type=_words,
        default="bundle",
        help="text pools, with commas between: bundle (its own, which needs no model), general, english, or files",
    )
    parser.add_argument(
        "--texts", type=_counts, default="1,2,4,8,16,32,64,128", help="numbers of texts that a neuron is rebuilt from"
    )
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    _add_recorded_model(parser)
    parser.add_argument("--torch-threads", type=_positive, help="default: all cores")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_sparsity(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", command: Command) -> None:
    text = "zero-shot accuracy with few pairs, neurons or heads, or with each rebuilt from components or texts"
    parser = commands.add_parser("sparsity", help=text, description=text, formatter_class=_Help)
    parser.set_defaults(command=command)
    parser.add_argument("bundle", type=Path, help="a finished bundle with classes and neurons")
    parser.add_argument("--images", type=Path, required=True, help="images with the bundle's classes, as for run")
    parser.add_argument("--limit", type=_positive, default=2_000, help="most images, spread evenly")
    parser.add_argument("--keep", type=_percents, default="100,50,20,10,5,2,1", help="percentages of units to keep")
    parser.add_argument("--components", type=_counts, default="1,2,4,8", help="principal components of a neuron")
    parser.add_argument(
        "--texts", type=_texts, default="1,2,4,8,16", help="texts of the bundle's pool a pair and neuron, or none"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table to a file too")
    parser.add_argument("--batch", type=_positive, default=32, help="images a forward pass")
    _add_recorded_model(parser)
    _add_resources(parser)


def _add_drift(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", command: Command) -> None:
    text = "follow concepts over groups of images: what their pairs write, against what a column says"
    parser = commands.add_parser("drift", help=text, description=text, formatter_class=_Help)
    parser.set_defaults(command=command)
    parser.add_argument("bundle", type=Path, help="a finished bundle with neuron-head pairs")
    parser.add_argument("--images", type=Path, required=True, help="images with a manifest, these or newer ones")
    parser.add_argument(
        "--concepts", type=Path, required=True,
        help="file of one concept a line; `concept<TAB>COLUMN=VALUE` says what it is compared with (default: the "
        "column one of whose values it names)",
    )  # fmt: skip
    parser.add_argument("--by", required=True, metavar="COLUMN", help="column of the manifest that groups the images")
    parser.add_argument("--pairs", type=_positive, default=PAIRS, help="pairs of a concept, of all the bundle has")
    parser.add_argument("--centred", action="store_true", help="choose them by the text less the mean of the pool")
    parser.add_argument("--batch", type=_positive, default=32, help="images a forward pass")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every concept and group to a file too")
    _add_recorded_model(parser)
    _add_resources(parser)


def _add_leaderboard(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", command: Command) -> None:
    text = "compare ways of labelling units by how well their labels predict, on images they were not made from"
    parser = commands.add_parser("leaderboard", help=text, description=text, formatter_class=_Help)
    parser.set_defaults(command=command)
    parser.add_argument("bundle", type=Path, help="a finished bundle")
    parser.add_argument("--units", type=_positive, default=200, help="most units of a kind, spread over all ranks")
    parser.add_argument("--seed", type=_counted, default=0, help="of the draw of units and random texts")
    parser.add_argument("--labels", metavar="URL", help="database of labels by hand (default: the app's own)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table to a file too")
    _add_recorded_model(parser)
    parser.add_argument("--torch-threads", type=_positive, help="default: all cores")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_recorded_model(parser: argparse.ArgumentParser) -> None:
    """Where the model of a finished bundle is now."""
    parser.add_argument("--model", help="where the model of the bundle is, if its folder was moved")
    parser.add_argument("--pretrained", help="where its weights file is, if it was made from one")
    parser.add_argument("--device", default="auto", choices=DEVICES)


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--model", required=True, help="open_clip name, demo-vit, demo-rn, or a folder with a config")
    group.add_argument("--pretrained", help="open_clip tag or weights file (safetensors, or a plain state dict)")
    group.add_argument("--activation", choices=["gelu", "quickgelu"], help="what a weights file was trained with")
    group.add_argument("--device", default="auto", choices=DEVICES)
    group.add_argument("--precision", default="fp32", choices=PRECISIONS, help="of the forward pass; parts are fp32")
    group.add_argument("--allow-random-weights", action="store_true", help="look at an untrained model on purpose")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to compute (these change the bundle)")
    group.add_argument(
        "--images", type=Path, required=True, help="folder of class folders, flat folder, CSV or Parquet"
    )
    group.add_argument("--out", type=Path, default=Path("bundles"), help="folder of bundles")
    group.add_argument(
        "--layers", type=_layers, help="attention layers, such as 8-11 or 3,5,11 (default: the last four)"
    )
    group.add_argument(
        "--neuron-layers",
        type=_neuron_layers,
        help="layers of MLP neurons to analyse, or none (default: the three that write most through later attention; a "
        "ResNet has one, its last map)",
    )
    group.add_argument(
        "--neuron-images", type=_positive, default=10_000, help="most images that neurons are measured on"
    )
    group.add_argument("--neuron-largest", type=_positive, default=100, help="images that a direction is taken from")
    group.add_argument("--neuron-texts", type=_positive, default=32, help="texts in a neuron's sparse decomposition")
    group.add_argument("--no-pairs", action="store_true", help="leave out the pairs of neurons with later heads")
    group.add_argument("--pair-texts", type=_positive, default=3_000, help="pairs described by texts, largest first")
    group.add_argument("--layernorm", default="own", choices=[str(c) for c in Convention])
    group.add_argument(
        "--pool", default="general", help="text pool: general, english, demo, or a file, one text a line"
    )
    group.add_argument("--picks", type=_positive, default=60, help="texts a head")
    group.add_argument("--top-images", type=_positive, default=24, help="images kept at each end of each text")
    group.add_argument("--templates", default="simple", help="class prompts: simple (7), openai (80), or a file")
    group.add_argument("--class-names", help="file of `folder<TAB>name` lines")
    group.add_argument("--batch", type=_positive, default=32, help="images a forward pass")
    group.add_argument("--shard", type=_positive, default=512, help="images a shard, the grain of resuming")
    group.add_argument("--thumb", type=_positive, default=128, help="longest side of thumbnails, px")
    group.add_argument("--index", default="exact", choices=["exact", "sq8"], help="sq8: half the size, recall measured")


def _add_resources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how fast (these change nothing else)")
    group.add_argument("--decode-threads", type=_positive, default=2)
    group.add_argument("--torch-threads", type=_positive, help="default: all cores")
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def _positive(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return value


def _counted(text: str) -> int:
    if not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 999999999")
    return int(text)


def _layers(text: str) -> tuple[int, ...]:
    layers: list[int] = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", word)
        if match is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of layers such as 8-11 or 3,5,11")
        layers += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(layers)


def _words(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names no pool")
    return found


def _counts(text: str) -> tuple[int, ...]:
    return tuple(sorted({_positive(word.strip()) for word in text.split(",")}))


def _texts(text: str) -> tuple[int, ...]:
    return () if text.strip() == "none" else _counts(text)


def _percents(text: str) -> tuple[float, ...]:
    try:
        found = {float(word) for word in text.split(",")}
    except ValueError:
        found = set()
    if not found or not all(0 < percent <= 100 for percent in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of percentages above 0, such as 100,50,20,10")
    return tuple(sorted(found, reverse=True))


def _neuron_layers(text: str) -> tuple[int, ...]:
    return () if text.strip() == "none" else _layers(text)


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form COLUMN=VALUE")
    return column, value


def _cut(text: str) -> float | None:
    if text == "mean":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 0 to 1 nor mean")
    return value


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 2/4 (the second of four)")
    return int(match[1]) - 1, int(match[2])
