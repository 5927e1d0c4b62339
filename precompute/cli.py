"""`python -m precompute COMMAND`: from a folder of images to a bundle, and questions to a finished one."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from core.errors import PoolError, UnitscopeError
from core.models.load import LoadedModel
from precompute.arguments import build_parser, model_choice, resources, settings

REPOSITORY = Path(__file__).resolve().parents[1]
DEMO_BUNDLES = ("demo-rn", "demo-vit")  # of the models that ship, those that `precompute demo` makes bundles of


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. An error that the user can act on is one sentence, not a traceback."""
    arguments = build_parser(COMMANDS).parse_args(argv)
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
    result = estimate(plan, model, manifest, resources(arguments))
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
    means, computed = resources(arguments), 0
    if not run.is_finished(plan):
        check_room(plan, model)
        save_plan(plan, manifest)
        computed = run.run_shards(plan, model, means)
    if run.is_finished(plan):
        run.clean_up(plan)
        print("This bundle is finished already; the same model, images and settings always give the same one.")
        print_summary(plan.folder)
        return plan.folder
    if means.part is not None:
        i, n = means.part
        print(f"Part {i + 1} of {n} is done ({computed} shards). When every part is, finish the bundle with")
        print(f"  python -m precompute merge {plan.folder}")
        return plan.folder
    run.finish(plan, model, means)
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
        run.finish(plan, run.load(plan.model), resources(arguments))
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


def _segment(arguments: argparse.Namespace) -> int:
    from precompute.segment import segment

    return segment(arguments)


def _semantic(arguments: argparse.Namespace) -> int:
    from precompute.semantic import semantic

    return semantic(arguments)


def _characterise(arguments: argparse.Namespace) -> int:
    from precompute.characterise_command import characterise_bundle

    characterise_bundle(arguments)
    return 0


def _sparsity(arguments: argparse.Namespace) -> int:
    from precompute.sparsity_command import sparsity_of_bundle

    sparsity_of_bundle(arguments)
    return 0


def _drift(arguments: argparse.Namespace) -> int:
    from precompute.drift import drift

    drift(arguments)
    return 0


def _leaderboard(arguments: argparse.Namespace) -> int:
    from precompute.leaderboard import leaderboard_of_bundle

    leaderboard_of_bundle(arguments)
    return 0


def _rosetta(arguments: argparse.Namespace) -> int:
    from precompute.rosetta import rosetta

    rosetta(arguments)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    for name in DEMO_BUNDLES:
        words = ["run", "--model", name, "--images", str(REPOSITORY / "demo" / "images"), "--out", str(arguments.out)]
        words += ["--pool", "demo", *(["--quiet"] if arguments.quiet else [])]
        print(f"— {name}")
        make_bundle(build_parser(COMMANDS).parse_args(words))
    return 0


def _prepare(arguments: argparse.Namespace):  # type: ignore[no-untyped-def] # the types would import torch at start-up
    """Check the cheap things first, so that a typing error is told before a model is loaded."""
    from core.text.pools import load_pool
    from precompute import run
    from precompute.finish import class_prompts
    from precompute.manifest import build_manifest
    from precompute.plan import make_plan

    choice, wanted = model_choice(arguments), settings(arguments)
    pool = load_pool(wanted.pool)
    manifest = build_manifest(arguments.images)
    for note in manifest.notes:
        print(note, file=sys.stderr)
    class_prompts(manifest.classes if len(manifest.classes) > 1 else (), wanted)
    model: LoadedModel = run.load(choice)
    if model.random_weights:
        print("Random weights: nothing in this bundle means anything; every display says so.", file=sys.stderr)
    plan = make_plan(arguments.out, model, choice, manifest, wanted)
    if plan.neuron_layers and len(set(pool.texts)) < 2:
        raise PoolError(
            f"The pool {pool.name} has one text. Neurons are described by how texts differ from their mean: give at "
            "least two different texts, or add --neuron-layers none."
        )
    return plan, model, manifest


COMMANDS = {
    "estimate": _estimate,
    "run": _run,
    "merge": _merge,
    "verify": _verify,
    "segment": _segment,
    "semantic": _semantic,
    "characterise": _characterise,
    "sparsity": _sparsity,
    "drift": _drift,
    "leaderboard": _leaderboard,
    "rosetta": _rosetta,
    "demo": _demo,
}
