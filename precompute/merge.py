"""From partials to arrays: shards are read one at a time, in order, so the result does not depend on who made them."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.bundle.atomic import load_arrays
from core.bundle.thumbs import concatenate
from core.bundle.write import BundleWriter
from core.errors import InputError
from precompute.plan import Plan
from precompute.statistics import HeadStatistics


def merge_partials(plan: Plan, writer: BundleWriter, seen: Callable[[int], None] = lambda n: None) -> HeadStatistics:
    """Write images, quarantine, representations, r and thumbnails; return the statistics over all images.

    Raises InputError if no image at all could be used.
    """
    merged: HeadStatistics | None = None
    first = load_arrays(plan.partial(0), ["r", "unit"])
    _, layers, heads, coords = first["r"].shape
    r_lhnc = writer.memmap("r", (layers, heads, plan.images, coords))
    unit_no = writer.memmap("representations", (plan.images, first["unit"].shape[1]))
    norm_n, ok_n = np.zeros(plan.images, np.float32), np.zeros(plan.images, bool)
    for shard in range(plan.shards):
        rows = plan.rows(shard)
        at = slice(rows.start, rows.stop)
        arrays = load_arrays(plan.partial(shard))
        r_lhnc[:, :, at] = arrays.pop("r").transpose(1, 2, 0, 3)
        unit_no[at], norm_n[at], ok_n[at] = arrays.pop("unit"), arrays.pop("norm"), arrays.pop("ok")
        statistics = HeadStatistics.from_state(arrays)
        if merged is None:
            merged = statistics
        else:
            merged.merge(statistics)
        seen(len(rows))
    assert merged is not None
    images = _images(plan)
    _write_tables(writer, images)
    if not ok_n.any():
        raise InputError(_nothing_usable(images))
    for name in ("r", "representations"):
        writer.close_memmap(name)
    writer.array("representation_norm", norm_n)
    writer.array("ok", ok_n)
    concatenate([plan.partial(shard).with_suffix(".thumbs") for shard in range(plan.shards)], plan.folder / "thumbs")
    return merged


def _images(plan: Plan) -> pa.Table:
    """The manifest beside what reading found."""
    manifest = pq.read_table(plan.work / "manifest.parquet")
    found = pa.concat_tables(pq.read_table(plan.partial(i).with_suffix(".parquet")) for i in range(plan.shards))
    columns = {name: manifest[name] for name in ("image_id", "path", "class")}
    columns |= {name: found[name] for name in ("width", "height", "sha256", "status", "message")}
    for name in manifest.column_names:
        if name != "bytes" and name not in columns:
            columns[name] = manifest[name]
    return pa.table(columns)


def _write_tables(writer: BundleWriter, images: pa.Table) -> None:
    writer.table("images", images.drop_columns(["message"]))
    bad = images.filter(pa.compute.not_equal(images["status"], "ok"))
    columns = {"image_id": bad["image_id"], "path": bad["path"], "code": bad["status"], "message": bad["message"]}
    writer.table("quarantine", pa.table(columns))


def _nothing_usable(images: pa.Table) -> str:
    path, message = images["path"][0].as_py(), images["message"][0].as_py()
    return f"None of the {images.num_rows} images could be used. The first, {path}: {message}"
