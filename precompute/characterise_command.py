"""`python -m precompute characterise BUNDLE`: the table of a finished bundle, for any pools and numbers of texts."""

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from core.bundle.atomic import atomic_file
from core.bundle.read import Bundle, open_bundle
from core.errors import BundleMissing, InputError
from core.methods.characterise import TEXTS, Accuracy
from core.methods.sparse_text import pursue, text_atoms
from core.models.load import LoadedModel
from core.text.embed import embed_pool
from core.text.pools import TextPool, load_pool
from precompute.arguments import resources
from precompute.characterise import Neurons
from precompute.recorded import model_of

OWN = "bundle"
_HEADER = ("kind", "layer", "texts", "pool", "top1", "standard_error", "images")
_Progress = Callable[[int, int], None]


def characterise_bundle(arguments: argparse.Namespace) -> list[Accuracy]:
    """Compute, print, and write as CSV where asked; returns the rows. The bundle itself is never changed."""
    resources(arguments)
    bundle = open_bundle(arguments.bundle)
    check_target(arguments.csv, bundle)
    pools = {name: None if name == OWN else load_pool(name) for name in arguments.pools}
    names = [bundle.facts["pool"]["name"] if pool is None else pool.name for pool in pools.values()]
    if len(set(names)) < len(names):
        raise InputError(f"Two of the pools have the same name ({', '.join(names)}), so rows could not be told apart.")
    neurons = open_neurons(bundle)
    with _bar("layers", "layer", arguments) as report:
        done = iter(range(1, len(neurons.layers) + 1))
        rows = neurons.without_texts(lambda n: report(next(done), len(neurons.layers)))
    model: LoadedModel | None = None
    for name, pool in zip(names, pools.values(), strict=True):
        if pool is not None and model is None:
            model = model_of(
                bundle,
                "Name the right one with --model or --pretrained.",
                name=arguments.model,
                pretrained=arguments.pretrained,
                device=arguments.device,
            )
        rows += _of_pool(neurons, name, pool, model, arguments)
    _print(rows, bundle)
    if arguments.csv is not None:
        write_csv(arguments.csv, rows)
    return rows


def open_neurons(bundle: Bundle) -> Neurons:
    """The neurons of a bundle. BundleMissing where it has not what the numbers need."""
    if not bundle.has("neuron_direction"):
        raise BundleMissing(
            f"Bundle {bundle.id} has no neurons, so there is nothing to characterise. Make one of a vision transformer "
            "with `python -m precompute run`, without --neuron-layers none."
        )
    if not bundle.has("neuron_total"):
        raise BundleMissing(
            f"Bundle {bundle.id} was made before sums over neurons were kept. Make it again with "
            "`python -m precompute run`."
        )
    neurons = None
    if bundle.has("classes") and bundle.has("class_embeddings"):
        neurons = Neurons(bundle, bundle.axes["neuron_layer"].labels or [])
    if neurons is None or neurons.labelled is None:
        raise BundleMissing(
            f"The images of bundle {bundle.id} whose neurons were measured have no classes, so there is no accuracy to "
            "compare. Make a bundle of a folder with a subfolder for each class, or of a table with a column class."
        )
    return neurons


def write_csv(path: Path, rows: Sequence[Accuracy]) -> None:
    """One line a row, in full precision; empty where a column does not apply. Raises StorageError."""
    with atomic_file(path) as temporary, temporary.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for row in rows:
            told = (getattr(row, name) for name in _HEADER)
            writer.writerow(["" if value is None else value for value in told])


def check_target(path: Path | None, bundle: Bundle) -> None:
    """Say before the work what would fail after it."""
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"The table cannot be written to {path}: give --csv a file in a folder that exists.")
    if bundle.folder.resolve() in path.resolve().parents:
        raise InputError("A finished bundle never changes: give --csv a file outside of the bundle's folder.")


def _of_pool(
    neurons: Neurons, name: str, pool: TextPool | None, model: LoadedModel | None, arguments: argparse.Namespace
) -> list[Accuracy]:
    """The rows of one pool, None being the bundle's own."""
    if pool is None:
        texts_wo = neurons.own_texts()
    else:
        assert model is not None
        with _bar(f"{name}: texts", "text", arguments) as report:
            texts_wo = embed_pool(model, pool, progress=report)
    atoms_wo = text_atoms(torch.from_numpy(texts_wo))
    most = min(max(arguments.texts), *atoms_wo.shape)
    counts = [count for count in arguments.texts if count < most] + [most]
    if pool is None and most <= neurons.picks:
        index_nm = neurons.stored_index()
    else:
        with _bar(f"{name}: describing", "text", arguments) as report:
            index_nm = pursue(neurons.directions(), atoms_wo, most, progress=report).index_nm
    return neurons.with_texts(atoms_wo, index_nm, counts, name)


def _print(rows: Sequence[Accuracy], bundle: Bundle) -> None:
    chance = 1 / max(1, bundle.axes["class"].size)
    print(f"zero-shot top-1 of {rows[0].images:,} images ± one standard error; at random {chance:.1%}")
    width = max([len(TEXTS), *(len(_what(row)) for row in rows)])
    for row in rows:
        layer = "" if row.kind == "none" else "all layers" if row.layer is None else f"layer {row.layer}"
        print(f"  {_what(row):{width}s}  {layer:10s}  {row.top1:6.1%} ± {row.standard_error:.1%}")


def _what(row: Accuracy) -> str:
    fixed = {"none": "nothing changed", "first component": "first components alone"}
    if row.kind == TEXTS:
        return f"{row.texts} text{'s' if row.texts != 1 else ''} of {row.pool}"
    return fixed.get(row.kind) or f"{row.kind} mean-ablated"


@contextmanager
def _bar(what: str, unit: str, arguments: argparse.Namespace) -> Iterator[_Progress]:
    with tqdm(desc=what, unit=unit, disable=arguments.quiet) as bar:

        def report(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        yield report
