"""Runs a plan: its shards, here or in worker processes, then everything that needs all of them."""

import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from core.bundle.atomic import sweep
from core.bundle.lock import run_lock
from core.bundle.write import BundleWriter
from core.errors import InputError, StorageError
from core.methods.first_order import FirstOrder
from core.models.load import LoadedModel, load_model
from core.text.embed import embed_pool
from core.text.pools import load_pool
from precompute.characterise import Unfinished, write_characterisation
from precompute.config import ModelChoice, Resources
from precompute.finish import write_classes, write_indexes, write_manifest, write_parts
from precompute.label import label_heads
from precompute.merge import merge_partials
from precompute.neuron_finish import describe_neurons, neuron_labels, write_neurons
from precompute.neurons import MeasuredNeurons, lenses
from precompute.pair_scores_kept import keep_pair_scores
from precompute.pairs import describe_pairs, write_pairs
from precompute.plan import Plan, check_inputs, load_plan
from precompute.progress import Seen, bar
from precompute.sink import IMAGES as SINK_IMAGES
from precompute.sink import write_sink
from precompute.sparsity_finish import write_sparsity
from precompute.worker import ShardWorker


def load(choice: ModelChoice) -> LoadedModel:
    """The model of a plan."""
    return load_model(**asdict(choice))


def is_finished(plan: Plan) -> bool:
    """Whether the bundle is complete; a finished bundle is never touched again."""
    return (plan.folder / "bundle.json").exists()


def run_shards(plan: Plan, model: LoadedModel, resources: Resources) -> int:
    """Compute the missing shards (of this part, where the work is divided); returns how many were computed.

    Raises BundleBusy if another process is at the same part, and whatever a shard raises.
    """
    mine, of = resources.part or (0, 1)
    missing = [shard for shard in plan.missing() if shard % of == mine]
    done = sum(len(plan.rows(shard)) for shard in range(mine, plan.shards, of) if shard not in missing)
    total = done + sum(len(plan.rows(shard)) for shard in missing)
    plan.work.mkdir(parents=True, exist_ok=True)
    with run_lock(plan.work / f"part-{mine}-of-{of}.lock"), bar(total, "images", "img", resources, done) as seen:
        if is_finished(plan):  # another run has finished it while this one waited or planned
            return 0
        sweep(plan.work)
        if resources.jobs == 1 or len(missing) < 2:
            worker = ShardWorker(plan, model, resources)
            for shard in missing:
                worker.run(shard, seen)
        else:
            _in_processes(plan, missing, resources, seen)
    return len(missing)


def finish(plan: Plan, model: LoadedModel, resources: Resources) -> Path:
    """Merge, label, index, write bundle.json; returns the bundle's folder. Can be repeated after any interruption."""
    missing = plan.missing()
    if missing:
        raise InputError(
            f"{len(missing)} of {plan.shards} shards are not there yet (the first: {missing[0]}). Run the parts that "
            f"are missing, or copy their files into {plan.work}, then merge again."
        )
    with run_lock(plan.work / "finish.lock"), BundleWriter(plan.folder) as writer:
        check_inputs(plan, model)
        sweep(plan.folder)
        lens = FirstOrder(model.tower, plan.layers, plan.settings.layernorm)
        basis_lhoc = lens.basis_lhoc.cpu().numpy()
        pool = load_pool(plan.settings.pool)
        with bar(len(pool.texts), "texts", "text", resources) as seen:
            texts_wo = embed_pool(model, pool, cache_dir=resources.cache, progress=_steps(seen))
        with bar(plan.images, "merging", "img", resources) as seen:
            statistics = merge_partials(plan, writer, seen)
        writer.table("pool", pa.table({"text": list(pool.texts)}))
        writer.array("text_embeddings", texts_wo)
        writer.array("basis", basis_lhoc)
        write_parts(writer, lens, statistics)
        r_lhnc = np.load(plan.folder / "heads" / "r.npy", mmap_mode="r")
        ok_n = np.load(plan.folder / "ok.npy")
        heads = basis_lhoc.shape[0] * basis_lhoc.shape[1]
        with bar(heads, "labels", "head", resources) as seen:
            label_heads(writer, statistics, basis_lhoc, texts_wo, r_lhnc, ok_n, plan.settings, seen)
        neuron_axes: Mapping[str, Any] | None = None
        sink: Mapping[str, int] | None = None
        if plan.neuron_layers:
            # once for all that follows: folded weights and a QR a neuron are seconds, even of a small model
            made, measured = lenses(plan, model), MeasuredNeurons(plan)
            neurons = len(made) * model.tower.neurons
            with bar(neurons, "neurons", "neuron", resources) as seen:
                neuron_axes = write_neurons(plan, writer, made, measured, seen)
            with bar(neurons * plan.settings.neuron_texts, "describing", "text", resources) as seen:
                neuron_axes = {**neuron_axes, "atom": describe_neurons(plan, writer, texts_wo, _steps(seen))}
            if plan.pairs:
                with bar(neurons, "pairs", "neuron", resources) as seen:
                    neuron_axes = {**neuron_axes, **write_pairs(plan, writer, made, measured, seen)}
                with bar(0, "describing", "text", resources) as seen:
                    described, atoms = describe_pairs(plan, writer, texts_wo, _steps(seen))
                neuron_axes = {**neuron_axes, "pair_text": described, "pair_atom": atoms}
                with bar(described, "keeping", "pair", resources) as seen:
                    keep_pair_scores(plan, writer, made, measured, seen)
            if plan.is_resnet:
                with bar(min(SINK_IMAGES, len(measured.image_ids)), "sink", "img", resources) as seen:
                    sink = write_sink(plan, writer, model, measured.image_ids, seen, resources.threads)
        with bar(heads, "indexes", "head", resources) as seen:
            write_indexes(plan, writer, texts_wo, basis_lhoc, seen)
        with bar(0, "classes", "prompt", resources) as seen:
            zero_shot = write_classes(plan, writer, model, resources.cache, _steps(seen))
        if zero_shot is not None and plan.neuron_layers:
            with bar(len(plan.neuron_layers), "character", "layer", resources) as seen:
                write_characterisation(Unfinished(plan.folder), writer, pool.name, neuron_labels(plan), seen)
        if zero_shot is not None and plan.pairs:
            with bar(len(measured.image_ids), "sparsity", "img", resources) as seen:
                write_sparsity(plan, writer, made, measured, pool.name, seen)
        write_manifest(plan, writer, model, pool, statistics, zero_shot, neuron_axes, sink)
    clean_up(plan)  # only now: until bundle.json stands, everything can be made again
    return plan.folder


def clean_up(plan: Plan) -> None:
    """Remove the working state of a finished bundle, which a run that was killed at its very end may have left."""
    shutil.rmtree(plan.work, ignore_errors=True)


def _in_processes(plan: Plan, shards: list[int], resources: Resources, seen: Seen) -> None:
    """One model a process. Processes are spawned: a forked torch or FAISS can hang on the parent's threads."""
    threads = max(1, (os.cpu_count() or 1) // resources.jobs)
    context = multiprocessing.get_context("spawn")
    arguments = (plan.folder, Resources(jobs=1, threads=1), threads)
    with ProcessPoolExecutor(resources.jobs, context, _start_worker, arguments) as pool:
        futures = {pool.submit(_work, shard): shard for shard in shards}
        try:
            for future in as_completed(futures):
                future.result()
                seen(len(plan.rows(futures[future])))
        except BrokenProcessPool as error:
            raise StorageError(
                "A worker process was ended from outside, most often for want of memory. Finished shards are kept: run "
                "the same command again with fewer --jobs."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _steps(seen: Seen) -> Callable[[int, int], None]:
    """Turns a report of (done, total) into one of what was newly done."""
    before = 0

    def report(done: int, _total: int) -> None:
        nonlocal before
        seen(done - before)
        before = done

    return report


_worker: ShardWorker | None = None  # of this worker process


def _start_worker(folder: Path, resources: Resources, threads: int) -> None:
    global _worker
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    plan = load_plan(folder)
    model = load(plan.model)
    check_inputs(plan, model)
    _worker = ShardWorker(plan, model, resources)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever, with a model in memory."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(shard: int) -> None:
    assert _worker is not None
    _worker.run(shard)
