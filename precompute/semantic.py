"""`python -m precompute semantic`: a class for every pixel, without training, against label maps.

mIoU and pixel accuracy as on PASCAL-Context (`core.methods.semantic_scores`), at the size of the label maps, for
neuron-head pairs and what they are measured against (`core.methods.pair_segmentation`). Background is a class like any
other, found by its name; where it has none to speak of, leave its pixels out with --ignore.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from tqdm import tqdm

from core.bundle.read import Bundle, open_bundle
from core.errors import InputError
from core.ids import traced
from core.images import DecodePolicy
from core.methods import pair_segmentation as method
from core.methods.layernorm import Convention
from core.methods.semantic_maps import METHODS, NEEDS, SemanticMaps, choose, head_layers
from core.methods.semantic_scores import SemanticCounts, count
from core.models.load import LoadedModel
from core.models.whole import whole_image
from core.text.classes import load_templates
from core.text.embed import class_embeddings, default_cache_dir
from precompute.arguments import resources
from precompute.manifest import build_manifest
from precompute.reader import read_images
from precompute.recorded import model_of
from precompute.segment_data import limited
from precompute.semantic_data import LabelMaps, find, read_classes
from precompute.told import save_csv, tell_unusable


def semantic(arguments: argparse.Namespace) -> int:
    """The command; prints a table, and writes it, class by class, as CSV if asked to."""
    means = resources(arguments)
    bundle = open_bundle(arguments.bundle)
    if arguments.csv is not None and (arguments.csv.is_dir() or not arguments.csv.parent.is_dir()):
        raise InputError(f"The scores cannot be written to {arguments.csv}: give --csv a file in a folder that exists.")
    methods = usable(arguments.methods or tuple(METHODS), bundle)
    folder = find(arguments.images, arguments.labels, arguments.classes)
    ignore = arguments.ignore or ()
    names = read_classes(folder.classes, ignore)
    labels, templates = LabelMaps(folder.labels, names, ignore), load_templates(arguments.templates)
    manifest = build_manifest(folder.images)
    table = _with_labels(manifest.table, labels, arguments.limit)
    model = model_of(bundle, "Restore the weights it was made with, or make the bundle again.")
    texts_wo = class_embeddings(model, tuple(names.values()), templates, cache_dir=default_cache_dir())
    maps = _maps(model, bundle, torch.from_numpy(texts_wo), methods, arguments)
    crop = min(model.input_size) if arguments.crop is None else arguments.crop
    stride = max(1, round(method.STRIDE * crop)) if arguments.stride is None else arguments.stride
    short_side = round(arguments.short_side * crop) if isinstance(arguments.short_side, float) else arguments.short_side
    counts = {name: SemanticCounts.none(len(names)) for name in methods}
    bad: list[str | None] = []
    with tqdm(total=table.num_rows, desc="semantic", unit="image", disable=arguments.quiet) as bar:
        for read in read_images(manifest.root, table, DecodePolicy(), threads=means.threads):
            if read.image is None:
                bad.append(read.message)
            else:
                truth_yx = labels.read(manifest.table["path"][read.image_id].as_py(), read.image.size)
                image_cyx = whole_image(read.image, short_side, model.preprocessing).to(model.device)
                logits_vyx = method.slide(image_cyx, crop, stride, maps.stacked, arguments.batch)
                given = np.unique(truth_yx[truth_yx >= 0]).tolist() if arguments.present else None
                for name, logits_wyx in maps.split(logits_vyx).items():
                    counts[name] += _count(logits_wyx, truth_yx, given)
            bar.update()
    tell_unusable(bad)
    print(f"short side {short_side}, windows of {crop}, every {stride} pixels")
    tell(counts, tuple(names.values()), arguments.csv)
    return 0


def usable(asked: Sequence[str], bundle: Bundle) -> tuple[str, ...]:
    """Of the methods asked for those that the bundle has the arrays of; the others are named. InputError if none."""
    able = tuple(name for name in dict.fromkeys(asked) if name not in NEEDS or bundle.has(NEEDS[name]))
    unable = [name for name in asked if name not in able]
    told = f"{' and '.join(unable)} cannot be had: this bundle has no neurons. Make it anew with neuron layers."
    if not able:
        raise InputError(f"Nothing can be scored: {told}")
    if unable:
        print(told, file=sys.stderr)
    return able


def tell(counts: Mapping[str, SemanticCounts], names: Sequence[str], csv: Path | None) -> None:
    """Print a line a method; write a line a method and class, and one for all classes. StorageError."""
    print(f"{'method':<10}{'mIoU':>8}{'pixel accuracy':>16}{'classes':>9}{'images':>8}")
    rows = []
    for name, found in counts.items():
        somewhere = int(np.isfinite(found.iou_c).sum())
        print(f"{name:<10}{found.mean_iou:>8.2%}{found.pixel_accuracy:>16.2%}{somewhere:>9,}{found.images:>8,}")
        total = {"class": "", "iou": found.mean_iou, "pixels": int(found.pixels_c.sum())}
        rows.append({"method": name} | total | {"pixel_accuracy": found.pixel_accuracy, "images": found.images})
        for label, iou, pixels in zip(names, found.iou_c, found.pixels_c, strict=True):
            rows.append({"method": name, "class": label, "iou": float(iou), "pixels": int(pixels)})
    save_csv(pd.DataFrame(rows), csv)


def _with_labels(table: pa.Table, labels: LabelMaps, limit: int | None) -> pa.Table:
    """The images that have a label map, at most `limit` of them, spread evenly. InputError if there is none."""
    paths = table["path"].to_pylist()
    there = [labels.has(path) for path in paths]
    if not any(there):
        raise InputError(
            f"None of the {len(paths):,} images has a label map in {labels.folder}. The first, {paths[0]}, needs "
            f"{Path(paths[0]).with_suffix('.png')} there."
        )
    if not all(there):
        missing = there.count(False)
        print(f"{missing:,} images have no label map, such as {paths[there.index(False)]}; left out.", file=sys.stderr)
    return limited(table.filter(pa.array(there)), limit)


def _maps(
    model: LoadedModel, bundle: Bundle, texts_wo: torch.Tensor, methods: tuple[str, ...], asked: argparse.Namespace
) -> SemanticMaps:
    """The segmenter that the arguments ask for. InputError."""
    classes = choose(texts_wo.to(model.device), methods, bundle.array, asked.pairs, asked.neurons)
    heads = bundle.axes["later_head"].labels if "pairs" in methods else None
    resnet = model.tower.kind == "resnet"
    zeroed: tuple[int, ...] = ()
    if asked.zero_registers:
        if not bundle.has("sink_register_order"):
            raise InputError("This bundle has no list of register neurons, so --zero-registers has none to take.")
        zeroed = tuple(np.asarray(bundle.array("sink_register_order"))[: asked.zero_registers].tolist())
    measured = bundle.facts.get("sink")
    if asked.sink == "measured" and not measured:
        raise InputError("The sink of this bundle's model was not measured: take --sink last, none or a number.")
    sink = {"auto": method.LAST if resnet else None, "last": method.LAST, "none": None}
    if measured:
        sink["measured"] = measured["token"] - 1  # token 0 is the class token
    return SemanticMaps(
        model.tower,
        classes,
        methods,
        layers=head_layers(heads, bundle.axes["layer"].labels or []),
        neuron_layers=traced(bundle.axes["neuron_layer"].labels or ()) if {"pairs", "neurons"} & set(methods) else (),
        convention=Convention(asked.layernorm or bundle.facts["layernorm"]),
        sink=sink.get(asked.sink, asked.sink),
        zeroed=zeroed,
    )


def _count(logits_wyx: torch.Tensor, truth_yx: np.ndarray, given: list[int] | None) -> SemanticCounts:
    """One image, at the label map's size; `given` the only classes that may be answered."""
    method.check_size(len(logits_wyx), *truth_yx.shape)
    drawn_wyx = method.resize(logits_wyx[None], (truth_yx.shape[0], truth_yx.shape[1]))[0]
    if given == []:  # all of it is ignored
        return count(truth_yx, np.zeros_like(truth_yx), len(logits_wyx))
    return count(truth_yx, method.label(drawn_wyx, given).cpu().numpy(), len(logits_wyx))
