"""The end of a run: indexes, zero-shot accuracy, tables of parts, and bundle.json, which makes the bundle one."""

import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.bundle.faiss_store import build_flat_fp16, build_quantised
from core.bundle.schema import head_key
from core.bundle.write import BundleWriter
from core.methods.first_order import FirstOrder
from core.models.load import LoadedModel
from core.text.classes import class_names, load_templates, read_class_file
from core.text.embed import class_embeddings
from core.text.pools import TextPool
from core.text.zeroshot import zero_shot_accuracy
from precompute.ablation import write_ablation
from precompute.config import QUANTILES, Settings
from precompute.neuron_finish import ACTIVE
from precompute.pairs import PAIR_FACTS
from precompute.plan import Plan
from precompute.statistics import HeadStatistics
from precompute.worker import CLOSING

_LIBRARIES = ("torch", "open_clip_torch", "faiss-cpu", "numpy", "pillow", "pyarrow", "safetensors")

_QUERIES = 256  # texts with which the recall of a quantised index is measured


def write_parts(writer: BundleWriter, lens: FirstOrder, statistics: HeadStatistics) -> None:
    """The summands other than heads: embedding, each layer's attention and MLP, offset."""
    layer_of = lambda name: int(name.rsplit(" L", 1)[1]) if " L" in name else None
    table = {
        "name": lens.names,
        "kind": [name.split(" ")[0] for name in lens.names],
        "layer": pa.array([layer_of(name) for name in lens.names], pa.int32()),
        "mean_norm": statistics.part_norms.mean[:, 0],
        "share": statistics.part_share,
    }
    writer.table("parts", pa.table(table))
    writer.array("parts_mean", statistics.parts.mean_x)


def write_indexes(
    plan: Plan, writer: BundleWriter, texts_wo: np.ndarray, basis_lhoc: np.ndarray, seen: Callable[[int], None]
) -> None:
    """One index a head over the images, one over all representations, one over the pool.

    Exact by default; "sq8" measures its recall on real queries, texts of the pool in the head's coordinates.
    """
    labels = layer_labels(plan)
    r_lhnc = np.load(plan.folder / "heads" / "r.npy", mmap_mode="r")
    for i, layer in enumerate(labels):
        for head in range(r_lhnc.shape[1]):
            queries_qc = texts_wo[:_QUERIES] @ basis_lhoc[i, head]
            _write_index(plan, writer, head_key(layer, head), r_lhnc[i, head], queries_qc)
            seen(1)
    units = np.load(plan.folder / "representations.npy", mmap_mode="r")
    _write_index(plan, writer, "images", units, texts_wo[:_QUERIES])
    writer.index("text", build_flat_fp16(texts_wo))


def _write_index(plan: Plan, writer: BundleWriter, key: str, vectors: np.ndarray, queries: np.ndarray) -> None:
    if plan.settings.index == "exact":
        writer.index(key, build_flat_fp16(vectors))
        return
    made = build_quantised(vectors, np.ascontiguousarray(queries, np.float32), plan.settings.index)
    writer.index(key, made.index, made.recall_at_10)


def layer_labels(plan: Plan) -> list[int | None]:
    """Numbers of the analysed layers; a ResNet's attention pool has none."""
    return [None] if plan.is_resnet else list(plan.layers)


def class_prompts(classes: Sequence[str], settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A readable name for each class, and the templates. Raises PoolError for a file that cannot be used."""
    given = read_class_file(Path(settings.class_names)) if settings.class_names else None
    return class_names(classes, given), load_templates(settings.templates)


def write_classes(
    plan: Plan,
    writer: BundleWriter,
    model: LoadedModel,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any] | None:
    """Zero-shot accuracy where the images have classes. Population: decoded images that have a class.

    `progress` is called with (done, total) prompts.
    """
    labels = pq.read_table(plan.folder / "images.parquet", columns=["class"])["class"].to_pylist()
    classes = sorted({label for label in labels if label is not None})
    if len(classes) < 2:
        return None
    names, templates = class_prompts(classes, plan.settings)
    embeddings = class_embeddings(model, names, templates, cache_dir=cache, progress=progress)
    position = {label: i for i, label in enumerate(classes)}
    ok_n = np.load(plan.folder / "ok.npy")
    label_n = np.array([-1 if label is None else position[label] for label in labels])
    label_n[~ok_n] = -1
    if not (label_n >= 0).any():  # every image of a class is in quarantine
        return None
    units = np.load(plan.folder / "representations.npy", mmap_mode="r")
    score = zero_shot_accuracy(units, label_n, embeddings)
    counts = np.bincount(label_n[label_n >= 0], minlength=len(classes))
    accuracy = pa.array(score["per_class"], from_pandas=True)  # NaN, a class without images, becomes null
    writer.table("classes", pa.table({"class": classes, "name": list(names), "count": counts, "accuracy": accuracy}))
    writer.array("class_embeddings", embeddings)
    parts = pq.read_table(plan.folder / "parts.parquet")["name"].to_pylist()
    write_ablation(plan, writer, parts, np.load(plan.folder / "parts_mean.npy"), units, label_n, embeddings)
    return {
        "top1": score["top1"],
        "top5": score["top5"],
        "images": score["n"],
        "classes": len(classes),
        "templates": len(templates),
    }


def write_manifest(
    plan: Plan,
    writer: BundleWriter,
    model: LoadedModel,
    pool: TextPool,
    statistics: HeadStatistics,
    zero_shot: dict[str, Any] | None,
    neuron_axes: Mapping[str, Any] | None,
    sink: Mapping[str, int] | None = None,
) -> None:
    """bundle.json, last: from here on the bundle is finished and never changes."""
    ok_n = np.load(plan.folder / "ok.npy")
    facts = {
        "id": plan.id,
        "command": command_line(),
        "model": model.facts(),
        "decode": plan.settings.policy.to_dict(),
        "layernorm": str(plan.settings.layernorm),
        "manifest": {
            "source": plan.source,
            "digest": plan.manifest_digest,
            "images": plan.images,
            "ok": int(ok_n.sum()),
            "quarantined": int((~ok_n).sum()),
        },
        "pool": {"name": pool.name, "digest": pool.digest, "texts": len(pool.texts)},
        "settings": _without_folders(plan.settings),
        "worst_residual": statistics.worst_residual,
        "residual_tolerance": CLOSING[model.precision],
        "versions": versions(),
    }
    if zero_shot is not None:
        facts["zero_shot"] = zero_shot
    sizes = {name: np.load(plan.folder / path, mmap_mode="r").shape for name, path in _AXIS_SOURCES.items()}
    axes: dict[str, Any] = {
        "image": plan.images,
        "layer": layer_labels(plan),
        "head": sizes["r"][1],
        "coord": sizes["r"][3],
        "out": sizes["text"][1],
        "text": sizes["text"][0],
        "pick": sizes["top"][2],
        "end": ["+", "-"],
        "rank": sizes["top"][4],
        "quantile": list(QUANTILES),
        "part": pq.read_table(plan.folder / "parts.parquet")["name"].to_pylist(),
    }
    if zero_shot is not None:
        axes["class"] = zero_shot["classes"]
    if neuron_axes is not None:
        axes |= neuron_axes
        facts["neurons"] = {
            "images": neuron_axes["neuron_image"],
            "largest_norms": plan.settings.neuron_largest,
            "active_quantile": ACTIVE,
            "atoms": "unit",
        }
    if plan.pairs and neuron_axes is not None:
        facts["pairs"] = {**PAIR_FACTS, "described": neuron_axes["pair_text"]}
    if sink is not None:
        facts["sink"] = dict(sink)
    writer.finish(facts, axes)


_AXIS_SOURCES = {"r": "heads/r.npy", "text": "text/embeddings.npy", "top": "heads/text_top_ids.npy"}


def _without_folders(settings: Settings) -> dict[str, Any]:
    """Files of texts by name alone: where they lay on this machine is no one else's concern."""
    plain = settings.to_dict()
    return plain | {key: plain[key] and Path(plain[key]).name for key in ("pool", "templates", "class_names")}


def versions() -> dict[str, str]:
    """Those of Python and the libraries that decide numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def command_line() -> str:
    """How this process was started, without the folders of the machine it ran on."""
    shown = [re.sub(r"(^|=)/(?:.*/)?(?=[^/]+/*$)", r"\1", word) for word in sys.argv[1:]]
    return " ".join(["python -m precompute", *shown])
