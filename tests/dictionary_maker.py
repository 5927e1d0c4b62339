"""A small, complete, consistent dictionary of Rosetta concepts, by definition, from random maps that share factors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from core.bundle.dictionary import DictionaryWriter
from core.bundle.thumbs import ThumbWriter
from core.stats.partners import partners
from tests.reference.plain_rosetta import plain_label

IMAGES, K, RANKS, SIDE, FACTORS = 24, 3, 8, 8, 5
TEXT_COLUMNS = ("unit", "how", "rank", "text", "value")
DEAD = 3  # row of a unit that is zero everywhere

MEMBERS: dict[str, Any] = {  # layers: name, units, side of the grid, depth
    "demo-vit": ("CLIP ViT", "contrastive with captions", True, [("L0", 6, 4, 0.5), ("L1", 7, 4, 1.0)]),
    "demo-cnn": ("class-supervised CNN", "classes", False, [("layer1", 5, 8, 0.5), ("layer2", 8, 4, 1.0)]),
    "demo-mae": ("self-supervised ViT (MAE)", "<b>masked</b> images", False, [("L0", 6, 4, 1.0)]),
}


@dataclass(frozen=True)
class Unit:
    """One unit: its member's position, its layer's row in layers.parquet, its number in the layer, its grid's side."""

    member: int
    layer: int
    number: int
    side: int


def units() -> list[Unit]:
    found, layer = [], 0
    for member, (_, _, _, layers) in enumerate(MEMBERS.values()):
        for _, count, side, _ in layers:
            found += [Unit(member, layer, number, side) for number in range(count)]
            layer += 1
    return found


def maps(seed: int, shared: bool) -> list[np.ndarray]:
    """A map (image, side, side) of every unit: one of a few factors and noise, or with `shared` false noise alone."""
    rng = np.random.default_rng(seed)
    factor = np.repeat(np.repeat(rng.normal(size=(FACTORS, IMAGES, 4, 4)), 2, 2), 2, 3)
    made = []
    for row, unit in enumerate(units()):
        full = rng.normal(size=(IMAGES, SIDE, SIDE)) + (2.5 * factor[row % FACTORS] if shared else 0)
        step = SIDE // unit.side
        pooled = full.reshape(IMAGES, unit.side, step, unit.side, step).mean((2, 4))
        made.append(pooled * (row != DEAD))
    return made


def correlations(by_unit: list[np.ndarray], roll: int = 0) -> np.ndarray:
    """(unit, unit) Pearson correlations at the finest grid, the second unit's images rolled; NaN of dead ones."""
    fine = np.stack([np.repeat(np.repeat(m, SIDE // m.shape[1], 1), SIDE // m.shape[2], 2) for m in by_unit])
    flat = (fine - fine.mean((1, 2, 3), keepdims=True)).reshape(len(fine), -1)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.where(norm > 0, norm, np.nan)
    return flat @ np.roll(flat.reshape(fine.shape), roll, 1).reshape(flat.shape).T


def arrays(seed: int = 0, shared: bool = True) -> dict[str, np.ndarray]:
    """Arrays over all units, and `owner`, each unit's member."""
    by_unit = maps(seed, shared)
    r, shuffled = correlations(by_unit), correlations(by_unit, 1)
    shuffled = np.fmax(shuffled, shuffled.T)
    owner = np.array([unit.member for unit in units()])
    n, m = len(owner), len(MEMBERS)
    near, near_r = np.full((n, m, K), -1, np.int32), np.full((n, m, K), np.nan, np.float32)
    near_shuffled, best = near_r.copy(), np.full((n, m), np.nan, np.float32)
    for row, member in np.ndindex(n, m):
        there = np.flatnonzero((owner == member) & (np.arange(n) != row) & ~np.isnan(r[row]))
        order = there[np.argsort(-r[row, there], kind="stable")][:K]
        near[row, member, : len(order)], near_r[row, member, : len(order)] = order, r[row, order]
        if member != owner[row] and len(there):
            near_shuffled[row, member, : len(order)] = shuffled[row, order]
            best[row, member] = shuffled[row, there].max() if shared else 0.99
    levels = np.full((m, m), np.nan, np.float32)
    for a, b in np.ndindex(m, m):
        if a != b:
            sides = (best[owner == a, b], best[owner == b, a])
            levels[a, b] = max(np.quantile(side[~np.isnan(side)].astype(np.float64), 0.99) for side in sides)
    return {
        "unit_mean": np.array([u.mean() for u in by_unit], np.float32),
        "unit_std": np.array([u.std() for u in by_unit], np.float32),
        "neighbours": near, "neighbour_r": near_r, "neighbour_shuffled": near_shuffled, "null_best": best,
        "levels": levels, "owner": owner,
    }  # fmt: skip


def concepts(made: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """For every hub, each unit with a partner is a concept (none are put together); strongest first in each hub."""
    owner, found = made["owner"], []
    for hub in range(len(MEMBERS)):
        here = []
        rows = np.flatnonzero(owner == hub)
        given = [made[name] for name in ("neighbours", "neighbour_r", "neighbour_shuffled", "levels")]
        sides = {x: partners(*given, rows, owner, x) for x in range(len(MEMBERS)) if x != hub}
        for at, row in enumerate(rows):
            ours = []
            for x, (is_partner, null) in sides.items():
                for k in np.flatnonzero(is_partner[at]):
                    unit, r = int(made["neighbours"][row, x, k]), float(made["neighbour_r"][row, x, k])
                    ours.append({"unit": unit, "partner": int(row), "r": r, "null": float(null[at, k])})
            if ours:
                best = {int(owner[one["unit"]]): one["r"] - one["null"] for one in reversed(ours)}
                own = {"unit": int(row), "partner": -1, "r": max(one["r"] for one in ours), "null": np.nan}
                strength = sum(best.values()) / (len(MEMBERS) - 1)
                here.append(
                    {"hub": hub, "anchor": int(row), "strength": strength, "models": 1 + len(best), "of": [own, *ours]}
                )
        found += sorted(here, key=lambda one: -one["strength"])
    return found


POOL = tuple(f"text *{n}* <b>of</b> the pool" for n in range(FACTORS))


def text_of(row: int, rank: int) -> str:
    return POOL[(row + rank) % FACTORS]


def like(seed: int) -> np.ndarray:
    """(text, image) how much an image is like each text of the pool: how strong a factor is in it."""
    factor = np.random.default_rng(seed).normal(size=(FACTORS, IMAGES, 4, 4)).max((2, 3))
    return ((factor - factor.mean(1, keepdims=True)) / factor.std(1, keepdims=True)).astype(np.float16)


def facts() -> dict[str, Any]:
    """The facts that `finish` wants, with made-up values."""
    members = []
    for name, (family, training, clip, layers) in MEMBERS.items():
        layer_facts = [{"name": n, "units": u, "grid": [s, s], "depth": d} for n, u, s, d in layers]
        members.append({
            "name": name, "source": name, "family": family, "training": training, "weights_digest": "00",
            "random_weights": False, "preprocessing": {}, "layers": layer_facts, "clip": clip, "licence": "MIT",
        })  # fmt: skip
    return {
        "id": "rosetta-0123abcd", "command": "python -m precompute rosetta", "members": members,
        "images": {"source": "images", "digest": "00", "images": IMAGES, "unusable": 0, "seed": 0},
        "k": K, "null": {"block": 16, "quantile": 0.99}, "self_r": 0.5,
        "pool": {"name": "demo", "digest": "00", "texts": FACTORS}, "settings": {}, "versions": {},
    }  # fmt: skip


def make(folder: Path, seed: int = 0, *, empty: bool = False) -> Path:
    """Write a whole dictionary, with `empty` one of models that share nothing; returns its folder."""
    made, by_unit, everything = arrays(seed, not empty), maps(seed, not empty), units()
    owner = made.pop("owner")
    found = concepts({**made, "owner": owner})
    described = np.array(sorted({one["unit"] for concept in found for one in concept["of"]}), np.int32)
    peak = np.array([by_unit[row].max((1, 2)) for row in described], np.float16).reshape(len(described), IMAGES)
    mean, std = peak.mean(1, dtype=np.float64), peak.std(1, dtype=np.float64)
    z = (peak - mean[:, None]) / np.where(std > 0, std, 1)[:, None]
    r = correlations(by_unit)
    rows: dict[str, list] = {name: [] for name in ("hub", "anchor", "strength", "models", "first", "members", "corr")}
    label: dict[str, list] = {"label": [], "label_r": []}
    like_wi = like(seed)
    member_rows: dict[str, list] = {
        name: [] for name in ("concept", "unit", "partner", "r", "null", "maps", "height", "width")
    }
    shown, values, corr = np.zeros((len(found), RANKS), np.int32), [np.zeros(0)], [np.zeros(0)]
    for at, concept in enumerate(found):
        ours = [one["unit"] for one in concept["of"]]
        by_excess = sorted(concept["of"][1:], key=lambda one: one["r"] - one["null"])
        best = {owner[ours[0]]: ours[0]} | {owner[one["unit"]]: one["unit"] for one in by_excess}
        total = np.mean([z[np.searchsorted(described, unit)] for unit in best.values()], axis=0)
        shown[at] = np.argsort(-total, kind="stable")[:RANKS]
        for name in ("hub", "anchor", "strength", "models"):
            rows[name].append(concept[name])
        for name, value in (("first", len(member_rows["unit"])), ("members", len(ours)), ("corr", sum(map(len, corr)))):
            rows[name].append(value)
        corr.append(r[np.ix_(ours, ours)].ravel())
        for name, value in zip(label, plain_label(like_wi, total), strict=True):
            label[name].append(value)
        for one in concept["of"]:
            side = everything[one["unit"]].side
            entry = {**one, "concept": at, "maps": sum(map(len, values)), "height": side, "width": side}
            for name in member_rows:
                member_rows[name].append(entry[name])
            values.append(by_unit[one["unit"]][shown[at]].ravel())
    clips = [row for row in described.tolist() if owner[row] == 0]
    hows = ["map" if everything[row].layer == 1 else "second-order direction" for row in clips]
    texts = [
        (row, how, k, text_of(row, k), 0.5 - k / 10) for row, how in zip(clips, hows, strict=True) for k in range(5)
    ]
    layers = [(m, *layer) for m, (_, _, _, of) in enumerate(MEMBERS.values()) for layer in of]
    first = np.cumsum([0, *(layer[2] for layer in layers)])[:-1]
    colours = ["red", "green", "blue"]
    tables = {
        "layers": {"member": [x[0] for x in layers], "layer": [x[1] for x in layers], "first": first,
                   "units": [x[2] for x in layers], "height": [x[3] for x in layers], "width": [x[3] for x in layers],
                   "depth": [x[4] for x in layers]},
        "images": {"image": range(IMAGES), "path": [f"{colours[i % 3]}/{i}.jpg" for i in range(IMAGES)],
                   "class": [colours[i % 3] for i in range(IMAGES)], "sha256": ["00"] * IMAGES, "width": [32] * IMAGES,
                   "height": [24] * IMAGES, "year": [2000 + i for i in range(IMAGES)]},
        "concepts": {**rows, **label},
        "concept_members": member_rows,
        "unit_texts": {name: [row[i] for row in texts] for i, name in enumerate(TEXT_COLUMNS)},
        "texts": {"text": POOL},
    }  # fmt: skip
    with DictionaryWriter(folder) as writer:
        more = {"described": described, "peak": peak, "peak_mean": mean.astype(np.float32), "concept_images": shown}
        more |= {
            "text_cosine": like_wi,
            "peak_std": std.astype(np.float32),
            "maps": np.concatenate(values).astype(np.float16),
        }
        for name, array in {**made, **more, "concept_corr": np.concatenate(corr).astype(np.float32)}.items():
            writer.array(name, array)
        for name, columns in tables.items():
            writer.table(name, pa.table({key: pa.array(list(value)) for key, value in columns.items()}))
        with ThumbWriter(folder / "thumbs") as thumbs:
            for i in range(IMAGES):
                thumbs.add(i, Image.new("RGB", (32, 24), colours[i % 3]))
        axes: dict[str, Any] = {"unit": len(owner), "member": list(MEMBERS), "neighbour": K, "layer": len(layers)}
        axes |= {"image": IMAGES, "described": len(described), "concept": len(found), "concept_rank": RANKS}
        axes |= {"concept_member": len(member_rows["unit"]), "map_value": sum(map(len, values))}
        axes |= {"corr_value": sum(map(len, corr)), "unit_text": len(texts), "text": len(POOL)}
        writer.finish(facts(), axes)
    return folder
