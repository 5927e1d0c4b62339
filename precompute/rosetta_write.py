"""What was found of a dictionary, into its folder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from core.bundle.dictionary import DictionaryWriter
from core.methods.rosetta import BLOCK, LEVEL_QUANTILE, SELF_R
from core.stats.followed import labels
from core.text.pools import TextPool
from precompute.config import Resources
from precompute.finish import command_line, versions
from precompute.rosetta_clip import UnitText
from precompute.rosetta_describe import Described
from precompute.rosetta_match import Matches
from precompute.rosetta_plan import RosettaPlan
from precompute.rosetta_show import RANKS, choose_images, fill_maps, map_size


def write_dictionary(
    plan: RosettaPlan, writer: DictionaryWriter, matches: Matches, made: Described, pool: TextPool, resources: Resources
) -> None:
    """Arrays, tables and at last rosetta.json; the thumbnails lie there already."""
    units = matches.units
    writer.array("unit_mean", matches.mean_u)
    writer.array("unit_std", matches.std_u)
    writer.array("neighbours", matches.near_umk)
    writer.array("neighbour_r", matches.r_umk)
    writer.array("neighbour_shuffled", matches.shuffled_umk)
    writer.array("null_best", matches.best_um)
    writer.array("levels", matches.levels_mm)
    mean_d, std_d = made.peak.mean(1, dtype=np.float64), made.peak.std(1, dtype=np.float64)
    number_ci, like_wi = made.activations(mean_d, std_d), made.read_as()
    shown = choose_images(number_ci)
    writer.array("described", made.rows.astype(np.int32))
    writer.array("peak", made.peak)
    writer.array("peak_mean", mean_d.astype(np.float32))
    writer.array("peak_std", std_d.astype(np.float32))
    writer.array("concept_images", shown)
    writer.array("text_cosine", like_wi)
    rows, starts, size = _concept_members(made)
    values = writer.memmap("maps", (size,))
    fill_maps(made, shown, values, starts, resources)
    writer.close_memmap("maps")
    corr = [matrix.ravel() for matrix in made.corr]
    writer.array("concept_corr", np.concatenate([np.zeros(0, np.float32), *corr]))
    writer.table("concept_members", pa.table(rows))
    writer.table("concepts", _concepts(made, *labels(like_wi, number_ci)))
    writer.table("texts", pa.table({"text": pa.array(pool.texts[: len(like_wi)], pa.string())}))
    writer.table("unit_texts", pa.table(_columns(made.texts)))
    writer.table("layers", _layers(matches))
    writer.table("images", _images(plan))
    axes = {
        "unit": units.count,
        "member": [member.name for member in units.members],
        "neighbour": matches.k,
        "layer": len(units.layers),
        "image": plan.images.rows.num_rows,
        "described": len(made.rows),
        "concept": len(made.found),
        "concept_rank": RANKS,
        "concept_member": len(rows["unit"]),
        "map_value": size,
        "corr_value": sum(map(len, corr)),
        "unit_text": len(made.texts),
        "text": len(like_wi),
    }
    writer.finish(_facts(plan, matches, pool), axes)


def _concept_members(made: Described) -> tuple[dict[str, Any], dict[tuple[int, int], int], int]:
    """Columns of concept_members.parquet, where each unit's maps begin, and how many values all maps have."""
    starts: dict[tuple[int, int], int] = {}
    grids, size = [], 0
    for c, each in enumerate(made.found):
        for u, row in enumerate(each.unit_u.tolist()):
            grid = map_size(made.units.layers[made.units.key_of(row)].grid)
            starts[c, u] = size
            grids.append(grid)
            size += RANKS * grid[0] * grid[1]
    every = lambda name, dtype: np.concatenate([np.zeros(0, dtype), *(getattr(each, name) for each in made.found)])
    columns = {
        "concept": np.repeat(np.arange(len(made.found)), [len(each.unit_u) for each in made.found]),
        "unit": every("unit_u", np.int64),
        "partner": every("partner_u", np.int64),
        "r": every("r_u", np.float64),
        "null": every("null_u", np.float64),
        "maps": np.array(list(starts.values()), np.int64),
        "height": np.array([grid[0] for grid in grids], np.int32),
        "width": np.array([grid[1] for grid in grids], np.int32),
    }
    return columns, starts, size


def _concepts(made: Described, label_c: np.ndarray, r_c: np.ndarray) -> pa.Table:
    sizes = np.array([len(each.unit_u) for each in made.found], np.int64)
    return pa.table(
        {
            "hub": pa.array([each.hub for each in made.found], pa.int32()),
            "anchor": pa.array([each.anchor for each in made.found], pa.int32()),
            "strength": pa.array([each.strength for each in made.found], pa.float64()),
            "models": pa.array([each.models for each in made.found], pa.int32()),
            "first": np.cumsum(sizes) - sizes,
            "members": sizes,
            "corr": np.cumsum(sizes**2) - sizes**2,
            "label": label_c,
            "label_r": r_c,
        }
    )


def _columns(texts: Sequence[UnitText]) -> dict[str, pa.Array]:
    kinds = {"unit": pa.int32(), "how": pa.string(), "rank": pa.int32(), "text": pa.string(), "value": pa.float64()}
    return {name: pa.array([getattr(text, name) for text in texts], kind) for name, kind in kinds.items()}


def _layers(matches: Matches) -> pa.Table:
    units = matches.units
    position = {member.name: m for m, member in enumerate(units.members)}
    layers = list(units.layers.items())
    return pa.table(
        {
            "member": [position[name] for (name, _), _ in layers],
            "layer": [layer.name for _, layer in layers],
            "first": [units.first[key] for key, _ in layers],
            "units": [layer.units for _, layer in layers],
            "height": [layer.grid[0] for _, layer in layers],
            "width": [layer.grid[1] for _, layer in layers],
            "depth": [layer.depth for _, layer in layers],
        }
    )


def _images(plan: RosettaPlan) -> pa.Table:
    rows, reads = plan.images.rows, plan.images.reads
    ours = {
        "image": rows["image_id"],
        "path": rows["path"],
        "class": rows["class"],
        "sha256": pa.array([read.sha256 for read in reads], pa.string()),
        "width": pa.array([read.width for read in reads], pa.int32()),
        "height": pa.array([read.height for read in reads], pa.int32()),
    }
    own = [name for name in rows.column_names if name not in (*ours, "image_id", "bytes")]
    return pa.table({**ours, **{name: rows[name] for name in own}})


def _facts(plan: RosettaPlan, matches: Matches, pool: TextPool) -> dict[str, Any]:
    images = plan.images
    return {
        "id": plan.id,
        "command": command_line(),
        "members": [member.facts() for member in matches.units.members],
        "images": {
            "source": plan.source,
            "digest": images.digest,
            "images": images.rows.num_rows,
            "unusable": len(images.unusable),
            "seed": plan.settings.seed,
        },
        "k": matches.k,
        "null": {"block": BLOCK, "quantile": LEVEL_QUANTILE},
        "self_r": SELF_R,
        "pool": {"name": pool.name, "digest": pool.digest, "texts": len(pool)},
        "settings": plan.settings.to_dict(),
        "versions": versions(),
    }
