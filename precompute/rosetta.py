"""`python -m precompute rosetta`: from models and images to a dictionary of what the models share (paper R)."""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.bundle.atomic import human, sweep
from core.bundle.dictionary import DictionaryWriter, open_dictionary
from core.bundle.lock import run_lock
from core.bundle.read import Bundle
from core.errors import InputError, StorageError
from core.methods.rosetta import tile_bytes
from core.models.load import DEMO_MODELS
from core.models.zoo import Member, load_zoo
from core.text.pools import TextPool, load_pool
from precompute.arguments import resources
from precompute.config import Resources
from precompute.estimate import free_space
from precompute.manifest import build_manifest
from precompute.progress import bar
from precompute.rosetta_clip import kept_bytes
from precompute.rosetta_describe import describe
from precompute.rosetta_found import find_concepts
from precompute.rosetta_match import match
from precompute.rosetta_plan import RosettaPlan, RosettaSettings, choose_images, make_plan
from precompute.rosetta_units import Units, all_tiles, has_null, passes
from precompute.rosetta_write import write_dictionary
from precompute.told import tell_unusable

DEMO_ZOO = ("demo-vit", "demo-rn", "demo-vit-2", "demo-cnn", "demo-mae")
_GB = 1e9
_THUMBNAIL_BYTES = 4_500
_MAP_BYTES = 100_000  # maps, matrices and peaks of a concept, a generous guess: 8 images of some ten units


def rosetta(arguments: argparse.Namespace) -> Path:
    """The command: makes the dictionary, goes on with an interrupted one, or says that it is finished."""
    started, means = time.perf_counter(), resources(arguments)
    manifest = build_manifest(arguments.images)
    for note in manifest.notes:
        print(note, file=sys.stderr)
    specs = arguments.models or [name for name in DEMO_ZOO if (DEMO_MODELS / name).is_dir()]
    if len(specs) < 2:
        raise InputError("A dictionary is of what several models share: give at least two with --models.")
    pool_name = arguments.pool or ("demo" if all(spec in DEMO_ZOO for spec in specs) else "general")
    pool = load_pool(pool_name)  # before models are loaded: a typing error is told at once
    settings = RosettaSettings(
        number=arguments.number, k=arguments.k, seed=arguments.seed, pool=pool_name, batch=arguments.batch
    )
    members = load_zoo(specs, device=arguments.device, allow_random_weights=arguments.allow_random_weights)
    _tell_random(members)
    with bar(min(settings.number, manifest.table.num_rows), "images", "img", means) as seen:
        images = choose_images(manifest, settings, means.threads, seen)
    plan = make_plan(arguments.out, members, manifest, images, settings)
    if plan.finished:
        print("This dictionary is finished already; the same models, images and settings always give the same one.")
    else:
        tell_unusable(images.unusable)
        _estimate(plan, Units(tuple(members)), len(pool), arguments.memory * _GB)
        make(plan, members, pool, arguments.memory * _GB, means)
        print(f"made in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    shutil.rmtree(plan.work, ignore_errors=True)  # only now: until rosetta.json stands, a killed run goes on from it
    summarise(open_dictionary(plan.folder))
    return plan.folder


def make(plan: RosettaPlan, members: Sequence[Member], pool: TextPool, room: float, means: Resources) -> None:
    """Everything that is not done yet, with at most `room` bytes of sums at a time."""
    units = Units(tuple(members))
    plan.work.mkdir(parents=True, exist_ok=True)
    with run_lock(plan.work / "rosetta.lock"):
        if plan.finished:  # another run has finished it while this one waited
            return
        sweep(plan.folder)
        matches = match(plan, units, plan.settings.k, room, means)
        found = find_concepts(matches)
        with DictionaryWriter(plan.folder) as writer:
            made = describe(plan, units, found, pool, room, means)
            write_dictionary(plan, writer, matches, made, pool, means)


def summarise(dictionary: Bundle) -> None:
    """What is in a dictionary, and at last its folder."""
    members = dictionary.axes["member"].labels or []
    table = dictionary.table("concepts")
    hub, models, sizes = (table[name].to_numpy() for name in ("hub", "models", "members"))
    units = np.bincount(_owners(dictionary), minlength=len(members))
    print(f"members    {', '.join(f'{name} ({count:,} units)' for name, count in zip(members, units, strict=True))}")
    print(f"images     {dictionary.axes['image'].size:,}")
    levels = np.asarray(dictionary.array("levels"), np.float64)
    if not np.isnan(levels).all():
        low, high = np.nanmin(levels), np.nanmax(levels)
        print(f"null       a match is above {low:.2f} to {high:.2f}, by the pair of models")
    for m, name in enumerate(members):
        here = hub == m
        by_models = ", ".join(f"{(models[here] == n).sum()} in {n}" for n in range(2, len(members) + 1))
        largest = f"; at most {sizes[here].max()} units each" if here.any() else ""
        print(f"concepts   {here.sum():,} of {name}: {by_models} models{largest}")
    if not len(hub):
        print("concepts   none: these models share nothing above the null level")
    print(f"dictionary {dictionary.folder}")


def _owners(dictionary: Bundle) -> np.ndarray:
    layers = dictionary.table("layers")
    return np.repeat(layers["member"].to_numpy(), layers["units"].to_numpy())


def _tell_random(members: Sequence[Member]) -> None:
    random = [member.name for member in members if member.facts()["random_weights"]]
    if random:
        print(f"Random weights: {', '.join(random)} never learned anything; every display says so.", file=sys.stderr)


def _estimate(plan: RosettaPlan, units: Units, texts: int, room: float) -> None:
    """Says what the run needs. StorageError before it starts, rather than in the middle of it."""
    sizes = {key: layer.units for key, layer in units.layers.items()}
    tiles = all_tiles(units)
    todo = passes(tiles, sizes, room)
    used = [sum(tile_bytes(sizes[a], sizes[b], has_null((a, b))) for a, b in each) for each in todo]
    tables = units.count * len(units.members) * (12 * plan.settings.k + 4)
    images = plan.images.rows.num_rows
    disk = 2 * texts * images + tables + images * _THUMBNAIL_BYTES + units.count * (_MAP_BYTES // 10 + 2 * images)
    # while sums are written, those written before still lie there
    peak = disk + max(2 * max(used), images * sum(kept_bytes(member) for member in units.members))
    free = free_space(plan.folder)
    print(f"passes     {len(todo)} over {images:,} images, then one or more for what is found")
    print(f"memory     {human(max(used))} of sums, beside models and one batch of maps")
    print(f"disk       {human(disk)} at most, {human(peak)} while it is made ({human(free)} are free)")
    if free < peak:
        raise StorageError(
            f"This dictionary may need {human(peak)} while it is made, and {human(free)} are free at {plan.folder}. "
            "Free some space, choose another folder with --out, or use less --memory."
        )
