"""A small, complete, consistent bundle out of random numbers, written through BundleWriter in a second or less."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core.bundle import schema
from core.bundle.faiss_store import build_flat_fp16
from core.bundle.write import BundleWriter
from core.ids import parse

SIZES = {"image": 40, "layer": 2, "head": 2, "coord": 4, "out": 16, "text": 12, "pick": 3, "end": 2, "rank": 5}
SIZES |= {"quantile": 3, "part": 4, "class": 2}
SIZES |= {"neuron_layer": 2, "neuron": 6, "neuron_image": 30, "neuron_list": len(schema.LISTS), "neuron_rank": 4}
SIZES |= {"neuron_token": 5, "later_head": 4, "atom": 3, "active": 12, "active_offset": 31}
SIZES |= {"pair_coord": 4, "pair_rank": 4, "pair_interval": 2, "pair_sample": 3, "pair_text": 10, "pair_atom": 3}
AXES: dict[str, Any] = SIZES | {"layer": [2, 3], "end": ["+", "-"], "quantile": [0.05, 0.5, 0.95]}
AXES |= {"neuron_layer": [1, 2], "neuron_list": list(schema.LISTS), "later_head": ["L2.H0", "L2.H1", "L3.H0", "L3.H1"]}
AXES |= {"pair_interval": [[0.5, 1.0], [0.0, 0.5]]}
QUARANTINED = (7, 31)
CHARACTER = ("all", "large norm", "small norm", "first component")


def facts() -> dict[str, Any]:
    """The facts that `finish` wants, with made-up values."""
    return {
        "id": "0123abcd",
        "command": "python -m precompute run",
        "model": {
            "name": "tiny",
            "pretrained": None,
            "weights_digest": "00",
            "random_weights": True,
            "activation": "gelu",
            "tower": "vit",
            "preprocessing": {"size": 64},
            "layers": 4,
            "heads": 2,
            "head_width": 4,
            "width": 8,
            "out": 16,
            "precision": "fp32",
        },
        "decode": {},
        "layernorm": "own",
        "manifest": {"source": "images", "digest": "00", "images": 40, "ok": 38, "quarantined": 2},
        "pool": {"name": "words", "digest": "00", "texts": 12},
        "settings": {},
        "worst_residual": 1e-7,
        "residual_tolerance": 1e-5,
        "versions": {},
        "sink": {"images": 20, "token": 2},
    }


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Every array of the schema, consistent with each other as `verify` demands."""
    rng = np.random.default_rng(seed)
    shape = {spec.name: tuple(SIZES[axis] for axis in spec.axes) for spec in schema.ARRAYS}
    optional = np.random.default_rng([seed, 1])  # their own, so that they leave the other numbers as they are
    draws = {s.name: optional if s.name.startswith(("neuron_", "pair_", "sink_")) else rng for s in schema.ARRAYS}
    made = {s.name: draws[s.name].standard_normal(shape[s.name]) for s in schema.ARRAYS}
    ok = np.ones(SIZES["image"], bool)
    ok[list(QUARANTINED)] = False
    made["ok"] = ok
    for name in ("representations", "text_embeddings", "class_embeddings"):
        made[name] /= np.linalg.norm(made[name], axis=1, keepdims=True)
    made["representations"][~ok] = made["representation_norm"][~ok] = 0
    made["r"] = made["r"].astype(np.float16)
    made["r"][:, :, ~ok] = 0
    used = made["r"][:, :, ok].astype(np.float64)
    made["mean"] = used.mean(2)
    made["cov"] = np.einsum("lhik,lhij->lhkj", used, used) / ok.sum() - np.einsum("lhk,lhj->lhkj", *[made["mean"]] * 2)
    made["variance"] = np.trace(made["cov"], axis1=2, axis2=3)
    made["basis"] = np.linalg.qr(made["basis"])[0]
    made["text_index"] = rng.integers(-1, SIZES["text"], shape["text_index"])
    made["text_top_ids"] = rng.choice(np.flatnonzero(ok), shape["text_top_ids"])
    scores = np.sort(made["text_top_scores"], axis=-1)
    made["text_top_scores"] = np.stack([scores[..., 0, ::-1], scores[..., 1, :]], axis=-2)
    made["text_top_ids"][..., -1], made["text_top_scores"][..., -1] = -1, np.nan
    made |= _neurons(made, ok, optional)
    made |= _pairs(made, optional)
    made |= _sink(made)
    return {s.name: made[s.name].astype(s.dtype) for s in schema.ARRAYS}


def _neurons(made: dict[str, np.ndarray], ok: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The arrays of neurons, made to agree with each other."""
    ids = np.flatnonzero(ok)[: SIZES["neuron_image"]]
    direction = made["neuron_direction"] / np.linalg.norm(made["neuron_direction"], axis=-1, keepdims=True)
    coef = made["neuron_coef"] - made["neuron_coef"].mean(-1, keepdims=True)
    norm = np.abs(coef) * 1.5
    scale = norm.max(-1)
    coef, norm = coef / scale[..., None], norm / scale[..., None]
    share = np.abs(made["neuron_later_share"])
    order = np.argsort(-made["neuron_top_scores"], axis=-1)
    scores = np.take_along_axis(made["neuron_top_scores"], order, -1)
    scores[:, :, 1] = scores[:, :, 1, ::-1]
    top = rng.choice(ids, scores.shape)
    scores[..., -1], top[..., -1] = np.nan, -1
    text_index = rng.integers(0, SIZES["text"], made["neuron_text_index"].shape)
    threshold = np.quantile(norm * scale[..., None], 0.98, axis=-1)
    large = norm * scale[..., None] > threshold[..., None]
    image, unit = np.nonzero(large.reshape(-1, SIZES["neuron_image"]).T)
    x = coef * scale[..., None]
    return {
        "neuron_image_ids": ids,
        "neuron_total": np.einsum("lni,lno->lio", x, direction),
        "neuron_total_active": np.einsum("lni,lno->lio", x * large, direction),
        "neuron_threshold": threshold,
        "neuron_direction": direction,
        "neuron_coef": coef,
        "neuron_norm": norm,
        "neuron_scale": scale,
        "neuron_coef_std": coef.std(-1) * scale,
        "neuron_later_share": share / share.sum(-1, keepdims=True),
        "neuron_concepts": rng.integers(1, 4, made["neuron_concepts"].shape),
        "neuron_top_ids": top,
        "neuron_top_scores": scores,
        "neuron_text_index": text_index,
        "neuron_text_error": -np.sort(-np.abs(made["neuron_text_error"]), axis=-1),
        "neuron_active_units": unit,
        "neuron_active_offsets": np.append(0, np.cumsum(np.bincount(image, minlength=SIZES["neuron_image"]))),
    }


def _pairs(made: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The arrays of pairs, made to agree: all four heads read layer 1, the last two read layer 2."""
    unread = np.zeros(made["pair_length"].shape, bool)
    unread[1, :, :2] = True
    coords = made["pair_coords"] / np.linalg.norm(made["pair_coords"], axis=-1, keepdims=True)
    score, share = np.abs(made["pair_score"]), np.abs(made["pair_share"])
    share[unread] = 0
    top = -np.sort(-made["pair_top_scores"], axis=-1)
    top[..., 1, :] = top[..., 1, ::-1]
    ids = {kind: rng.choice(made["neuron_image_ids"], made[f"pair_{kind}_ids"].shape) for kind in ("top", "interval")}
    scores = {"top": top, "interval": -np.sort(-made["pair_interval_scores"], axis=-1)}
    for kind, absent in (("top", unread[..., None, None]), ("interval", unread[..., None, None])):
        ids[kind], scores[kind] = np.where(absent, -1, ids[kind]), np.where(absent, np.nan, scores[kind])
        ids[kind][..., -1], scores[kind][..., -1] = -1, np.nan
    score = np.where(unread, 0, score).astype(np.float32)
    absent = lambda name: np.where(unread, 0, made[name])
    return {
        "pair_basis": np.linalg.qr(made["pair_basis"])[0],
        "pair_coords": np.where(unread[..., None], 0, coords),
        "pair_length": absent("pair_length"),
        "pair_std": np.abs(absent("pair_std")),
        "pair_score": score,
        "pair_share": share / share.sum(-1, keepdims=True),
        "pair_quantiles": np.sort(np.where(unread[..., None], 0, made["pair_quantiles"]), axis=-1),
        "pair_inertia": np.abs(absent("pair_inertia")),
        "pair_neuron_inertia": np.abs(made["pair_neuron_inertia"]),
        **_kept(made, np.argsort(-score.ravel(), kind="stable")[: SIZES["pair_text"]], np.abs(absent("pair_std"))),
        "pair_text_rows": np.argsort(-score.ravel(), kind="stable")[: SIZES["pair_text"]],
        "pair_text_index": rng.integers(0, SIZES["text"], made["pair_text_index"].shape),
        "pair_text_error": -np.sort(-np.abs(made["pair_text_error"]), axis=-1),
        **{f"pair_{kind}_ids": ids[kind] for kind in ids},
        **{f"pair_{kind}_scores": scores[kind] for kind in scores},
    }


def _kept(made: dict[str, np.ndarray], rows: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Coefficients of the described pairs, of mean zero and the stored deviation."""
    x = made["pair_text_scores"] - made["pair_text_scores"].mean(1, keepdims=True)
    x *= (std.ravel()[rows] / x.std(1))[:, None]
    scale = np.abs(x).max(1)
    return {"pair_text_scores": x / np.where(scale > 0, scale, 1)[:, None], "pair_text_scale": scale}


def _sink(made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of the attention sink: token 2, in 14 of 20 images."""
    attention, change = np.exp(made["sink_attention"]), np.abs(made["sink_change"]).astype(np.float32)
    return {
        "sink_attention": attention / attention.sum(-1, keepdims=True),
        "sink_most": np.array([0, 3, 14, 0, 3]),
        "sink_change": change,
        "sink_signed": np.clip(made["sink_signed"], -change, change),
        "sink_register_order": np.argsort(-change, kind="stable"),
    }


def tables() -> dict[str, pa.Table]:
    """Every table of the schema; images.parquet with one column of the manifest's own."""
    n, bad = SIZES["image"], QUARANTINED
    paths = [f"class{i % 2}/{i}.jpg" for i in range(n)]
    images = {
        "image_id": np.arange(n),
        "path": paths,
        "class": [f"class{i % 2}" for i in range(n)],
        "width": [8] * n,
        "height": [None if i in bad else 6 for i in range(n)],
        "sha256": ["00"] * n,
        "status": ["truncated" if i in bad else "ok" for i in range(n)],
        "caption": [f"image {i}" for i in range(n)],
    }
    message = ["The file ends before the image does."] * 2
    quarantine = {"image_id": bad, "path": [paths[i] for i in bad], "code": ["truncated"] * 2, "message": message}
    names = ["embedding", "attention L2", "mlp L2", "offset"]
    parts = {"name": names, "kind": [name.split()[0] for name in names]}
    parts |= {"layer": [None, 2, 2, None], "mean_norm": [1.0] * 4, "share": [0.25] * 4}
    classes = {"class": ["class0", "class1"], "name": ["cat", "dog"], "count": [20, 18], "accuracy": [0.5, None]}
    ablation = {"kind": ["none", "mlps", "attention"], "layer": [None, None, 0], "top1": [0.5, 0.4, 0.3]}
    ablation |= {"images": [38] * 3}
    character = {
        "kind": ["none", *CHARACTER, *CHARACTER, "texts", "texts"],
        "layer": [None, *[1] * 4, *[None] * 4, 1, None],
        "texts": [None] * 9 + [2, 2],
        "pool": [None] * 9 + ["<b>words</b>"] * 2,
        "top1": [0.75, 0.5, 0.625, 0.6875, 0.7, 0.4, 0.6, 0.65, 0.72, 0.55, 0.45],
        "images": [28] * 11,
    }
    kept = [("kept", unit, amount) for unit in ("pairs", "neurons", "heads") for amount in (50.0, 10.0)]
    rebuilt = [("components", "neurons", 1.0), ("components", "neurons", 2.0), ("components", "pairs", 1.0)]
    described = [("kept", "pairs", 41.7), ("texts", "pairs", 1.0), ("texts", "pairs", 2.0)]
    of_layer = [("all", None, None), *kept, *rebuilt, *described]
    rows = [("none", None, None, None), *((*row, layer) for layer in (1, 2, None) for row in of_layer)]
    sparsity = {
        "kind": [row[0] for row in rows],
        "unit": [row[1] for row in rows],
        "layer": pa.array([row[3] for row in rows], pa.int32()),
        "amount": [row[2] for row in rows],
        "units": [10 if row[2] == 41.7 or row[0] == "texts" else 3 if row[0] == "kept" else None for row in rows],
        "pool": ["<b>words</b>" if row[0] == "texts" else None for row in rows],
        "top1": [round(0.75 - 0.01 * at, 2) for at in range(len(rows))],
        "images": [28] * len(rows),
    }
    pool = {"text": [f"text {i}" for i in range(SIZES["text"])]}
    named = {"images": images, "quarantine": quarantine, "parts": parts, "pool": pool, "classes": classes}
    named |= {"ablation": ablation, "characterisation": character, "sparsity": sparsity}
    return {name: pa.table({k: pa.array(v) for k, v in columns.items()}) for name, columns in named.items()}


def fill(folder: Path) -> BundleWriter:
    """Write every item of a bundle but bundle.json; heads/r.npy through a memory map."""
    writer = BundleWriter(folder)
    made = arrays()
    for name, array in made.items():
        if name != "r":
            writer.array(name, array)
    writer.memmap("r", made["r"].shape)[:] = made["r"]
    writer.close_memmap("r")
    for name, table in tables().items():
        writer.table(name, table)
    for layer, head in np.ndindex(2, 2):
        writer.index(schema.head_key(AXES["layer"][layer], head), build_flat_fp16(made["r"][layer, head]))
    writer.index("neurons", build_flat_fp16(made["neuron_direction"].reshape(-1, SIZES["out"])))
    for m, head in enumerate(AXES["later_head"]):
        rows = made["pair_coords"][:, :, m].reshape(-1, SIZES["pair_coord"])
        writer.index(schema.pair_key(parse(head)), build_flat_fp16(rows))
    offsets = np.cumsum([0, *(3 * arrays()["ok"])])
    for name, data in (("thumbs.bin", bytes(offsets[-1])), ("offsets.npy", offsets)):
        with writer.file(f"thumbs/{name}") as path, path.open("wb") as file:
            np.save(file, data) if isinstance(data, np.ndarray) else file.write(data)
    writer.index("images", build_flat_fp16(made["representations"]))
    writer.index("text", build_flat_fp16(made["text_embeddings"]))
    return writer


def make(folder: Path) -> Path:
    """Write a whole bundle; returns its folder."""
    fill(folder).finish(facts(), AXES)
    return folder
