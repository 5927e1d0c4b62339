"""`python -m precompute segment`: how well maps find what an image's class names, over images that have masks.

Pixel accuracy, mIoU and mAP by the ImageNet-Segmentation protocol (`core.methods.segmentation_scores`), at the size
that the model sees. A map is cut at its own mean, as the protocol does; those of neurons at 0.5, as paper N does.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from core.bundle.read import open_bundle
from core.images import DecodePolicy
from core.methods.segmentation import mask
from core.methods.segmentation_scores import SegmentationCounts, rate
from core.text.classes import class_names, load_templates, read_class_file
from core.text.embed import class_embeddings, default_cache_dir
from precompute.arguments import resources
from precompute.manifest import build_manifest
from precompute.reader import read_images
from precompute.recorded import model_of
from precompute.segment_data import Masks, as_seen, batches, choose
from precompute.segment_maps import METHODS, NEURON_METHODS, Maps, usable
from precompute.told import save_csv, tell_unusable


@dataclass(frozen=True)
class Texts:
    """The classes of the images: `of` their positions, `embedding_co` unit embeddings of their prompts."""

    of: dict[str, int]
    embedding_co: torch.Tensor


def segment(arguments: argparse.Namespace) -> int:
    """The command; prints a table, and writes it as CSV if asked to."""
    means = resources(arguments)
    bundle = open_bundle(arguments.bundle)
    masks = Masks(arguments.masks, arguments.ignore)
    manifest = build_manifest(arguments.images)
    given = read_class_file(Path(arguments.class_names)) if arguments.class_names else None
    templates = load_templates(arguments.templates)
    table = choose(manifest.table, masks, dict(arguments.where or ()), arguments.limit)
    methods, unable = usable(arguments.methods or tuple(METHODS), bundle, len(manifest.classes))
    for one in unable:
        print(f"{one.method} is left out: {one.reason}.", file=sys.stderr)
    names = class_names(manifest.classes, given)
    model = model_of(bundle, "Restore the weights it was made with, or make the bundle again.")
    embedded = class_embeddings(model, names, templates, cache_dir=default_cache_dir())
    texts = Texts({label: i for i, label in enumerate(manifest.classes)}, torch.from_numpy(embedded))
    cuts = {m: arguments.threshold if m in NEURON_METHODS else arguments.other_threshold for m in methods}
    maps = Maps(model, bundle, methods, arguments.neurons)
    counts = {method: SegmentationCounts() for method in methods}
    truth_of, bad, empty = as_seen(model.transform), [], 0
    with tqdm(total=table.num_rows, desc="segment", unit="image", disable=arguments.quiet) as bar:
        for rows in batches(table["class"].to_pylist(), arguments.batch):
            part = table.take(rows)
            seen, truths = [], []
            for read in read_images(manifest.root, part, DecodePolicy(), threads=means.threads):
                if read.image is None:
                    bad.append(read.message)
                    continue
                path = manifest.table["path"][read.image_id].as_py()
                truths.append(truth_of(masks.read(path, read.image.size)))
                seen.append(model.transform(read.image))
            if seen:
                text_o = texts.embedding_co[texts.of[part["class"][0].as_py()]]
                made = maps(torch.stack(seen), text_o, texts.embedding_co.mean(0))
                for method, map_byx in made.items():
                    cut_byx = mask(map_byx, cuts[method]).numpy()
                    for map_yx, truth_yx, guess_yx in zip(map_byx.numpy(), truths, cut_byx, strict=True):
                        counts[method] += rate(map_yx, truth_yx, guess_yx)
                empty += sum(not (truth_yx == 1).any() for truth_yx in truths)
            bar.update(len(rows))
    tell_unusable(bad)
    if empty:
        print(f"{empty} masks have no object where the model looks; they count as all background.", file=sys.stderr)
    _tell(counts, cuts, arguments.csv)
    return 0


def _tell(counts: dict[str, SegmentationCounts], cuts: dict[str, float | None], csv: Path | None) -> None:
    rows = pd.DataFrame(
        [
            {
                "method": method,
                "pixel_accuracy": count.pixel_accuracy,
                "mean_iou": count.mean_iou,
                "mean_precision": count.mean_precision,
                "images": count.images,
                "threshold": "mean" if cuts[method] is None else cuts[method],
            }
            for method, count in counts.items()
        ]
    )
    print(f"{'method':<16}{'pixel accuracy':>16}{'mIoU':>8}{'mAP':>8}{'images':>8}{'cut at':>8}")
    for row in rows.itertuples(index=False):
        print(
            f"{row.method:<16}{row.pixel_accuracy:>16.2%}{row.mean_iou:>8.2%}{row.mean_precision:>8.2%}"
            f"{row.images:>8,}{row.threshold!s:>8}"
        )
    save_csv(rows, csv)
