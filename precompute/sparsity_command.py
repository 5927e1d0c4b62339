"""`python -m precompute sparsity BUNDLE --images FOLDER`: sparsity and rank of pairs, neurons and heads, on any images.

A bundle keeps no scalars, so images are read again, by the model that made it. Means, scores and components are of all
images that are read, accuracy is over those of them that have one of the bundle's classes, among all of these classes.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from tqdm import tqdm

from core.bundle.read import Bundle, open_bundle
from core.errors import BundleMissing, InputError
from core.ids import traced
from core.images import DecodePolicy
from core.methods.neuron_head import NeuronHead
from core.methods.neuron_lens import neuron_lens
from core.methods.sparse_text import text_atoms
from core.models.load import LoadedModel
from precompute.ablation import chosen
from precompute.arguments import resources
from precompute.characterise_command import check_target
from precompute.manifest import Manifest, build_manifest
from precompute.reader import read_images
from precompute.recorded import model_of
from precompute.sparsity import Judged, Row, sparsity
from precompute.sparsity_fit import Grid, LayerFit, fitted
from precompute.sparsity_tell import tell, write_csv
from precompute.sparsity_texts import text_rows
from precompute.told import tell_unusable


@dataclass(frozen=True)
class Held:
    """Scalars of the images that were read, on disk (fp32): see `precompute.sparsity.Scalars`."""

    by_layer: dict[int, np.ndarray]
    factor: ClassVar[float] = 1.0

    def scalars(self, layer: int, neurons: slice) -> np.ndarray:
        return np.array(self.by_layer[layer][neurons])

    def shards(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        s_nim = self.by_layer[layer]
        yield slice(0, s_nim.shape[1]), s_nim


def sparsity_of_bundle(arguments: argparse.Namespace) -> list[Row]:
    """Read, compute, print, and write as CSV where asked; returns the rows. The bundle itself is never changed."""
    means = resources(arguments)
    bundle = open_bundle(arguments.bundle)
    check_target(arguments.csv, bundle)
    position = _classes(bundle)
    manifest = build_manifest(arguments.images)
    label_of = [position.get(label, -1) for label in manifest.table["class"].to_pylist()]
    rows = chosen(manifest.table.num_rows, arguments.limit)
    if not any(label_of[row] >= 0 for row in rows):
        raise InputError(
            f"None of the images in {arguments.images} has a class that bundle {bundle.id} knows, so there is no "
            "accuracy. Give --images the folder, or another one with folders of the same names."
        )
    model = model_of(
        bundle,
        "Name the right one with --model or --pretrained.",
        name=arguments.model,
        pretrained=arguments.pretrained,
        device=arguments.device,
    )
    lenses = [neuron_lens(model.tower, layer) for layer in traced(bundle.axes["neuron_layer"].labels or [])]
    with tempfile.TemporaryDirectory(prefix="unitscope-") as folder:
        held, unit_io, ids = _read(model, lenses, manifest, rows, Path(folder), arguments, means.threads)
        label_i = np.array([label_of[image_id] for image_id in ids])
        if not (label_i >= 0).any():
            raise InputError(f"No image in {arguments.images} that has a class can be read, so there is no accuracy.")
        judged = Judged(unit_io, label_i, np.asarray(bundle.array("class_embeddings")))
        found = _measure(bundle, lenses, held, judged, arguments)
    tell(found, lenses, len(position))
    if arguments.csv is not None:
        write_csv(arguments.csv, found)
    return found


def _classes(bundle: Bundle) -> dict[str, int]:
    """Positions of a bundle's classes. BundleMissing where it has not what the numbers need."""
    if not bundle.has("neuron_direction"):
        raise BundleMissing(
            f"Bundle {bundle.id} has no neurons, so there is nothing to take away. Make one with "
            "`python -m precompute run`, without --neuron-layers none."
        )
    if not (bundle.has("classes") and bundle.has("class_embeddings")):
        raise BundleMissing(
            f"Bundle {bundle.id} has no classes, so there is no accuracy. Make one of a folder with a subfolder for "
            "each class, or of a table with a column class."
        )
    return {name: at for at, name in enumerate(bundle.table("classes")["class"].to_pylist())}


def _read(
    model: LoadedModel,
    lenses: Sequence[NeuronHead],
    manifest: Manifest,
    rows: np.ndarray,
    folder: Path,
    arguments: argparse.Namespace,
    threads: int,
) -> tuple[Held, np.ndarray, list[int]]:
    """Scalars and unit representations of the images that can be used, and their rows in the manifest."""
    maps = {
        lens.layer: np.lib.format.open_memmap(
            folder / f"s{lens.layer}.npy", "w+", np.float32, (lens.neurons, len(rows), len(lens.pairs))
        )
        for lens in lenses
    }
    ids: list[int] = []
    units: list[np.ndarray] = []
    bad: list[str] = []
    reads = read_images(
        manifest.root, manifest.table.take(rows), DecodePolicy(), threads=threads, prepare=model.transform
    )
    with tqdm(total=len(rows), desc="images", unit="img", disable=arguments.quiet) as bar:
        while group := list(islice(reads, arguments.batch)):
            bad += [str(read.message) for read in group if read.code is not None]
            usable = [read for read in group if read.code is None]
            if usable:
                pixels = torch.stack([read.prepared for read in usable]).to(model.device)
                trace = model.tower.trace(pixels, (), neurons=tuple(maps))
                here = slice(len(ids), len(ids) + len(usable))
                for lens in lenses:
                    maps[lens.layer][:, here] = lens.scalars(trace).transpose(0, 1).cpu().numpy()
                units.append((trace.representation_bo / trace.norm_b[:, None]).cpu().numpy())
                ids += [read.image_id for read in usable]
            bar.update(len(group))
    tell_unusable(bad)
    if not ids:
        raise InputError(f"No image in {arguments.images} can be used.")
    held = Held({layer: s_nim[:, : len(ids)] for layer, s_nim in maps.items()})
    return held, np.concatenate(units), ids


def _measure(
    bundle: Bundle, lenses: Sequence[NeuronHead], held: Held, judged: Judged, arguments: argparse.Namespace
) -> list[Row]:
    grid = Grid(arguments.keep, arguments.components)
    images, neurons = len(judged.label_i), sum(lens.neurons for lens in lenses)
    bar = lambda total, what, unit: tqdm(total=total, desc=what, unit=unit, disable=arguments.quiet)
    with bar(neurons, "scores", "neuron") as seen:
        fits: list[LayerFit] = fitted(lenses, held, images, grid, seen=seen.update)
    with bar(images, "ablating", "img") as seen:
        found = sparsity(fits, held, judged, seen.update)
    if arguments.texts:
        texts_wo = np.array(bundle.array("text_embeddings"), np.float32)
        pool = bundle.facts["pool"]["name"]
        with bar(neurons, "texts", "neuron") as seen:
            atoms_wo = text_atoms(torch.from_numpy(texts_wo))
            found += text_rows(fits, held, judged, atoms_wo, arguments.texts, pool, seen.update)
    return found
