"""Counting ablated predictions from kept parts, on numbers whose accuracies differ, against float64 loops."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import torch

from core.bundle.atomic import save_arrays
from precompute.ablation import KeptParts, chosen, write_ablation

NAMES = ["embedding", "attention L0", "attention L1", "mlp L0", "mlp L1", "offset"]
N, OUT, CLASSES, SHARD = 300, 8, 4, 70


class Plan(SimpleNamespace):
    """As much of a plan as the module asks for; every eleventh image has no class."""

    is_resnet = False
    images = N
    shards = -(-N // SHARD)

    def rows(self, shard: int) -> range:
        return range(shard * SHARD, min(N, (shard + 1) * SHARD))

    def manifest_rows(self, shard: int) -> pa.Table:
        return pa.table({"class": [None if i % 11 == 0 else "x" for i in self.rows(shard)]})

    def partial(self, shard: int) -> Path:
        return self.folder / f"{shard}.safetensors"


def test_counts_equal_a_plain_loop(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    part_npo = rng.standard_normal((N, len(NAMES), OUT)) * 0.2 + 0.05 * rng.standard_normal((len(NAMES), OUT))
    classes = np.linalg.qr(rng.standard_normal((OUT, OUT)))[0][:CLASSES]
    label_n = rng.integers(0, CLASSES, N)
    part_npo[:, 3] += 0.8 * classes[label_n]  # MLPs help, the first layer's attention misleads
    part_npo[:, 1] += 0.6 * classes[(label_n + 1) % CLASSES]
    for parts, sign in (([0, 5], 1), ([1, 2, 3, 4], -0.5)):  # means that matter, though their sum does not
        part_npo[:, parts] += sign * classes[0]
    unit_no = part_npo.sum(1)
    mean_po = part_npo.mean(0)
    label_n[::11] = -1
    plan = Plan(folder=tmp_path)
    for shard in range(plan.shards):
        kept = KeptParts(plan, shard, NAMES, OUT)
        rows = list(plan.rows(shard))
        for start in range(0, len(rows), 32):
            ids = rows[start : start + 32]
            part_pbo = torch.from_numpy(part_npo[ids].transpose(1, 0, 2).astype(np.float32))
            kept.update(ids, SimpleNamespace(part_pbo=part_pbo))
        save_arrays(plan.partial(shard), kept.state())
    tables: dict[str, pa.Table] = {}
    writer = SimpleNamespace(table=tables.__setitem__)
    write_ablation(plan, writer, NAMES, mean_po, unit_no.astype(np.float32), label_n, classes.astype(np.float32))
    expected = []
    for parts in ([], [3, 4], [1], [1, 2]):
        right = 0
        for n in np.flatnonzero(label_n >= 0):
            vector = unit_no[n] + sum((mean_po[p] - part_npo[n, p] for p in parts), np.zeros(OUT))
            right += int(np.argmax(classes @ vector)) == label_n[n]
        expected.append(right / int((label_n >= 0).sum()))
    rows = tables["ablation"].to_pylist()
    assert [(row["kind"], row["layer"]) for row in rows] == [
        ("none", None),
        ("mlps", None),
        ("attention", 0),
        ("attention", 1),
    ]
    assert {row["images"] for row in rows} == {int((label_n >= 0).sum())}
    # fp16 parts can turn a near-tie: one image of 272 at most
    np.testing.assert_allclose([row["top1"] for row in rows], expected, rtol=0, atol=1.5 / 272)
    assert expected[1] + 0.1 < expected[0] < expected[2] - 0.1  # far apart, so that a mix-up shows


def test_images_are_spread_evenly() -> None:
    assert chosen(5, 7).tolist() == [0, 1, 2, 3, 4]
    ids = chosen(1_281_167)
    assert len(ids) == len(np.unique(ids)) == 10_000 and (ids[0], ids[-1]) == (0, 1_281_166)
    assert set(np.diff(ids)) <= {128, 129}
