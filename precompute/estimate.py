"""What a run will need, from a short trial, before anything starts."""

import math
import resource
import shutil
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from core.bundle.atomic import human
from core.errors import StorageError
from core.methods.first_order import FirstOrder
from core.models.load import LoadedModel
from core.text.pools import load_pool
from precompute.config import QUANTILES, Resources
from precompute.finish import class_prompts
from precompute.manifest import Manifest
from precompute.neurons import lenses
from precompute.plan import Plan
from precompute.reader import read_images

_TRIAL_IMAGES = 48
_THUMBNAIL_BYTES = 4_500  # a 128 px thumbnail, measured on photographs
_TRIAL_TEXTS = 64
_SLACK = 1.05


@dataclass(frozen=True)
class Estimate:
    """`disk_bytes` of the finished bundle, `peak_disk_bytes` while it is made, `memory_bytes` of one process, `seconds`
    for all images with one process, and `text_seconds` for `texts` labels and class prompts the first time (they are
    cached)."""

    images: int
    shards: int
    disk_bytes: int
    peak_disk_bytes: int
    memory_bytes: int
    seconds: float
    rate: float
    texts: int
    text_seconds: float


def disk_bytes(plan: Plan, model: LoadedModel) -> tuple[int, int]:
    """Bytes of the finished bundle, and at the peak, when partials and arrays are both there."""
    tower = model.tower
    coords = plan.images * len(plan.layers) * tower.heads * tower.head_width * 2
    units = plan.images * tower.out_dim * 2
    thumbnails = plan.images * _THUMBNAIL_BYTES
    texts = len(load_pool(plan.settings.pool).texts) * tower.out_dim * 6
    neurons, kept = neuron_bytes(plan, model)
    finished = 2 * (coords + units) + thumbnails + texts + 300 * plan.images + neurons
    return int(finished * _SLACK), int((finished + coords + units + thumbnails + kept) * _SLACK)


def neuron_bytes(plan: Plan, model: LoadedModel) -> tuple[int, int]:
    """Bytes of the bundle's arrays of neurons (core/bundle/schema_neurons.py), and of what the pass keeps for them."""
    if not plan.neuron_layers:
        return 0, 0
    tower, settings = model.tower, plan.settings
    width = tower.neurons
    neurons, measured = width * len(plan.neuron_layers), min(plan.images, settings.neuron_images)
    later = [1] if plan.is_resnet else [tower.layers - 1 - layer for layer in plan.neuron_layers]
    carriers = [layers * tower.heads for layers in later]
    # an image: norm and coefficient of each neuron in fp16, two sums a layer, and 2 % of the neurons as active
    an_image = 4.08 * neurons + 4 * len(plan.neuron_layers) * tower.out_dim + 16
    # a neuron: direction and its index, two numbers a carrier, texts, six lists of images, quantiles, token means
    a_neuron = 6 * tower.out_dim + 8 * max(carriers) + 12 * settings.neuron_texts + 72 * settings.top_images + 200
    a_neuron += 4 * (1 + math.prod(tower.grid))
    if plan.pairs:
        # a pair (those of heads that are not later keep their place): direction and its index, numbers, images
        a_pair = 6 * min(tower.head_width, tower.out_dim) + 4 * (6 + len(QUANTILES)) + 16 * settings.top_images + 320
        a_neuron += max(carriers) * a_pair
        an_image += 2 * min(settings.pair_texts, width * sum(carriers))  # the described pairs' coefficients, fp16
    kept = measured * (2 * width * sum(carriers) + 12 * neurons)
    return int(measured * an_image + neurons * a_neuron), kept


def check_room(plan: Plan, model: LoadedModel) -> None:
    """Raise StorageError before the run starts, rather than in the middle of it."""
    _, needed = disk_bytes(plan, model)
    folder = next(path for path in [plan.folder, *plan.folder.parents] if path.exists())
    free = shutil.disk_usage(folder).free
    there = sum(path.stat().st_size for path in plan.folder.rglob("*") if path.is_file()) if plan.folder.exists() else 0
    if free + there < needed:
        raise StorageError(
            f"This bundle needs {human(needed)} while it is made, and {human(free)} are free at {folder}. Free some "
            "space, choose another folder with --out, or fewer layers with --layers."
        )


def estimate(plan: Plan, model: LoadedModel, manifest: Manifest, resources: Resources) -> Estimate:
    """Time a few dozen of the images, spread over the data set, through the whole path except writing."""
    count = min(_TRIAL_IMAGES, plan.images)
    chosen = [i * plan.images // count for i in range(count)]
    lens = FirstOrder(model.tower, plan.layers, plan.settings.layernorm)
    neuron_lenses = lenses(plan, model)
    rows = manifest.table.take(chosen)
    started, timed, batch = time.perf_counter(), 0, plan.settings.batch
    reads = read_images(
        manifest.root,
        rows,
        plan.settings.policy,
        threads=resources.threads,
        prepare=lambda image: model.transform(image),
    )
    while group := list(islice(reads, min(batch, max(1, count // 3)))):
        pixels = [read.prepared for read in group if read.code is None]
        if pixels:
            with torch.inference_mode():
                batch_images = torch.stack(pixels).to(model.device)
                trace = model.tower.trace(batch_images, lens.layers, neurons=plan.neuron_layers)
                lens.parts(trace)
                for each in neuron_lenses:
                    each.scalars(trace)
        if timed == 0:
            started = time.perf_counter()  # the first batch pays for start-up
        timed += len(group)
    measured = timed - min(timed - 1, min(batch, max(1, count // 3)))
    seconds_each = (time.perf_counter() - started) / max(1, measured)
    finished, peak = disk_bytes(plan, model)
    texts, text_seconds = _texts(plan, model, manifest)
    return Estimate(
        images=plan.images,
        shards=plan.shards,
        disk_bytes=finished,
        peak_disk_bytes=peak,
        memory_bytes=peak_memory(),
        seconds=plan.images * seconds_each,
        rate=1 / seconds_each,
        texts=texts,
        text_seconds=text_seconds,
    )


def _texts(plan: Plan, model: LoadedModel, manifest: Manifest) -> tuple[int, float]:
    """How many texts will be embedded, and how long that takes by a trial of a few."""
    pool = load_pool(plan.settings.pool).texts
    names, templates = class_prompts(manifest.classes if len(manifest.classes) > 1 else (), plan.settings)
    count = len(pool) + len(names) * len(templates)
    trial = pool[:: max(1, len(pool) // _TRIAL_TEXTS)][:_TRIAL_TEXTS]
    model.encode_texts(trial[:4])  # the first call pays for start-up
    started = time.perf_counter()
    model.encode_texts(trial)
    return count, count * (time.perf_counter() - started) / len(trial)


def peak_memory() -> int:
    """Largest resident size of this process so far, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes


def duration(seconds: float) -> str:
    """4000 -> '1 h 7 min'."""
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{hours} h {minutes - 60 * hours} min"


def free_space(folder: Path) -> int:
    """Bytes free where the bundle would go."""
    return shutil.disk_usage(next(path for path in [folder, *folder.parents] if path.exists())).free
