"""`python -m precompute {estimate,run,merge,verify,demo}`: from a folder of images to a bundle."""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from core.errors import InputError, UnitscopeError
from core.methods.layernorm import Convention
from core.models.load import DEVICES, PRECISIONS, LoadedModel
from precompute.config import ModelChoice, Resources, Settings

REPOSITORY = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. An error that the user can act on is one sentence, not a traceback."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.command(arguments)
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:  # of a folder on the way to one of ours; what is in them is told by its reader
        print(f"error: Permission is denied: {error.filename}. Ask for access, or use another folder.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Finished shards are kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0  # the reader of our output (head, less) has seen enough


def _estimate(arguments: argparse.Namespace) -> int:
    from core.bundle.atomic import human
    from precompute.estimate import duration, estimate, free_space

    plan, model, manifest = _prepare(arguments)
    result = estimate(plan, model, manifest, _resources(arguments))
    print(f"bundle   {plan.folder}")
    print(f"images   {result.images:,} in {result.shards} shards")
    print(f"time     {duration(result.seconds)} with one process ({result.rate:.1f} images/s in a short trial)")
    print(f"texts    {duration(result.text_seconds)} more, once, to embed {result.texts:,} labels and class prompts")
    print(f"memory   {human(result.memory_bytes)} a process, whatever the number of images")
    print(f"disk     {human(result.disk_bytes)}, {human(result.peak_disk_bytes)} while it is made", end="")
    print(f" ({human(free_space(plan.folder))} are free)")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    make_bundle(arguments)
    return 0


def make_bundle(arguments: argparse.Namespace) -> Path:
    """Plan, compute what is missing, finish; prints and returns the bundle's folder."""
    from precompute import run
    from precompute.estimate import check_room
    from precompute.plan import save_plan
    from precompute.summary import print_summary

    started = time.perf_counter()
    plan, model, manifest = _prepare(arguments)
    if run.is_finished(plan):
        run.clean_up(plan)
        print("This bundle is finished already; the same model, images and settings always give the same one.")
        print_summary(plan.folder)
        return plan.folder
    check_room(plan, model)
    save_plan(plan, manifest)
    resources = _resources(arguments)
    computed = run.run_shards(plan, model, resources)
    if resources.part is not None:
        i, n = resources.part
        print(f"Part {i + 1} of {n} is done ({computed} shards). When every part is, finish the bundle with")
        print(f"  python -m precompute merge {plan.folder}")
        return plan.folder
    run.finish(plan, model, resources)
    print_summary(plan.folder)
    print(f"made in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return plan.folder


def _merge(arguments: argparse.Namespace) -> int:
    from precompute import run
    from precompute.collect import collect
    from precompute.plan import load_plan
    from precompute.summary import print_summary

    folder: Path = arguments.bundle
    if (folder / "bundle.json").exists():
        print("This bundle is finished already.")
    else:
        plan = load_plan(folder)
        collect(plan, arguments.parts)
        run.finish(plan, run.load(plan.model), _resources(arguments))
    print_summary(folder)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from core.bundle.verify import verify

    with tqdm(desc="verify", unit="check", disable=arguments.quiet) as bar:
        report = verify(arguments.bundle, lambda done, total, what: _show(bar, done, total, what))
    for problem in report.problems:
        print(problem)
    print("damaged" if report.problems else "all is well: checksums, shapes, closing sums and indexes agree")
    return 1 if report.problems else 0


def _show(bar: tqdm, done: int, total: int, what: str) -> None:
    bar.total, bar.n = total, done
    bar.set_postfix_str(what)


def _demo(arguments: argparse.Namespace) -> int:
    from core.models.load import demo_models

    for name in demo_models():
        words = ["run", "--model", name, "--images", str(REPOSITORY / "demo" / "images"), "--out", str(arguments.out)]
        words += ["--pool", "demo", *(["--quiet"] if arguments.quiet else [])]
        print(f"— {name}")
        make_bundle(_parser().parse_args(words))
    return 0


def _prepare(arguments: argparse.Namespace):  # type: ignore[no-untyped-def] # the types would import torch at start-up
    """Check the cheap things first, so that a typing error is told before a model is loaded."""
    from core.text.pools import load_pool
    from precompute import run
    from precompute.finish import class_prompts
    from precompute.manifest import build_manifest
    from precompute.plan import make_plan

    choice, settings = _choice(arguments), _settings(arguments)
    load_pool(settings.pool)
    manifest = build_manifest(arguments.images)
    for note in manifest.notes:
        print(note, file=sys.stderr)
    class_prompts(manifest.classes if len(manifest.classes) > 1 else (), settings)
    model: LoadedModel = run.load(choice)
    if model.random_weights:
        print("Random weights: nothing in this bundle means anything; every display says so.", file=sys.stderr)
    return make_plan(arguments.out, model, choice, manifest, settings), model, manifest


def _choice(arguments: argparse.Namespace) -> ModelChoice:
    return ModelChoice(
        name=arguments.model,
        pretrained=arguments.pretrained,
        device=arguments.device,
        precision=arguments.precision,
        activation=arguments.activation,
        allow_random_weights=arguments.allow_random_weights,
    )


def _settings(arguments: argparse.Namespace) -> Settings:
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
    )


def _resources(arguments: argparse.Namespace) -> Resources:
    torch.set_num_threads(arguments.torch_threads or os.cpu_count() or 1)
    return Resources(
        jobs=getattr(arguments, "jobs", 1),
        threads=arguments.decode_threads,
        part=getattr(arguments, "shards", None),
        progress=not arguments.quiet,
    )


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the defaults that there are; "(default: None)" tells nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m precompute", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="{estimate,run,merge,verify,demo}")

    for name, command, text in (
        ("estimate", _estimate, "say what a run will need: images, disk, memory, time"),
        ("run", _run, "make a bundle, or go on with one that was interrupted"),
    ):
        run = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        run.set_defaults(command=command)
        _add_model(run)
        _add_settings(run)
        _add_resources(run)
        if name == "run":
            run.add_argument("--jobs", type=_positive, default=1, help="worker processes, each with the model")
            run.add_argument("--shards", type=_part, metavar="I/N", help="compute part I of N only; then use merge")

    merge = commands.add_parser("merge", help="finish a bundle whose shards were computed in parts")
    merge.set_defaults(command=_merge)
    merge.add_argument("bundle", type=Path, help="the bundle's folder")
    merge.add_argument(
        "parts", type=Path, nargs="*", help="the same bundle's folders on other disks, to copy shards from"
    )
    _add_resources(merge)

    verify = commands.add_parser("verify", help="check a bundle: checksums, closing sums, sizes; exit code 1 on damage")
    verify.set_defaults(command=_verify)
    verify.add_argument("bundle", type=Path)
    verify.add_argument("--quiet", action="store_true", help="no progress bar")

    demo = commands.add_parser("demo", help="make the demo world's bundles")
    demo.set_defaults(command=_demo)
    demo.add_argument("--out", type=Path, default=Path("bundles"))
    demo.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


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


def _layers(text: str) -> tuple[int, ...]:
    layers: list[int] = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", word)
        if match is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of layers such as 8-11 or 3,5,11")
        layers += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(layers)


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 2/4 (the second of four)")
    return int(match[1]) - 1, int(match[2])
