"""How zero-shot accuracy falls when parts are replaced by their means over the data set (paper H, §3.3: its table 2.1
for all MLPs, figure 2.2 for the attention of layers 0 to l).

The ablated representation is unit - Σ (part - mean part). Means are known only after the pass, and a second pass would
double the work, so the pass keeps what each layer's attention, and all MLPs together, write for some images:
(layers + 1) x joint space numbers in fp16, 13 kB an image for ViT-B/32 and 38 kB for ViT-L/14. For all of 1.28 million
images that were 17 and 49 GB; for MOST images spread evenly over the manifest it is 133 and 384 MB, removed with the
working state, at a standard error of at most half a percentage point. Up to MOST images nothing is left out.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from core.bundle.atomic import load_arrays
from core.bundle.write import BundleWriter
from core.methods.first_order import Parts
from precompute.plan import Plan

MOST = 10_000
_ID, _ATTENTION, _MLP = "ablation_id", "ablation_attention", "ablation_mlp"


def chosen(images: int, most: int = MOST) -> np.ndarray:
    """Ids of the images looked at, ascending: all, or `most` spread evenly."""
    return np.arange(images) if images <= most else np.linspace(0, images - 1, most).round().astype(np.int64)


class KeptParts:
    """What one shard keeps: of its chosen images that have a class, in the order of the batches."""

    def __init__(self, plan: Plan, shard: int, names: Sequence[str], out: int) -> None:
        rows = plan.rows(shard)
        labelled = [value is not None for value in plan.manifest_rows(shard)["class"].to_pylist()]
        ids = np.asarray(rows)[labelled]
        self._wanted = set() if plan.is_resnet else set(np.intersect1d(ids, chosen(plan.images)).tolist())
        self._attention, self._mlp = of_kind(names, "attention"), of_kind(names, "mlp")
        self._ids: list[int] = []
        self._rows = [np.zeros((0, len(self._attention), out), np.float16)]
        self._mlps = [np.zeros((0, out), np.float16)]

    def update(self, ids: Sequence[int], parts: Parts) -> None:
        """Add a batch, its images in the order of `ids`."""
        at = [b for b, image_id in enumerate(ids) if image_id in self._wanted]
        if not at:
            return
        part_pbo = parts.part_pbo[:, at].cpu().numpy()
        self._ids += [ids[b] for b in at]
        self._rows.append(part_pbo[self._attention].transpose(1, 0, 2).astype(np.float16))
        self._mlps.append(part_pbo[self._mlp].sum(0).astype(np.float16))

    def state(self) -> dict[str, np.ndarray]:
        """Arrays for the shard's partial."""
        ids = np.array(self._ids, np.int64)
        return {_ID: ids, _ATTENTION: np.concatenate(self._rows), _MLP: np.concatenate(self._mlps)}


def of_kind(names: Sequence[str], kind: str) -> list[int]:
    """Positions of "attention L0", … among the names of parts."""
    return [i for i, name in enumerate(names) if name.startswith(f"{kind} L")]


def write_ablation(
    plan: Plan,
    writer: BundleWriter,
    names: Sequence[str],
    mean_po: np.ndarray,
    unit_no: np.ndarray,
    label_n: np.ndarray,
    classes_co: np.ndarray,
) -> None:
    """Count, shard by shard, how often each ablated representation is nearest to its class. Of equal scores the earlier
    class wins. A ResNet has one attention layer and no MLP in the sum: nothing to ablate, no table."""
    if plan.is_resnet:
        return
    attention, mlp = of_kind(names, "attention"), of_kind(names, "mlp")
    steps_lo, step_o = np.cumsum(mean_po[attention], axis=0), mean_po[mlp].sum(0)
    right, images = np.zeros(2 + len(attention), np.int64), 0
    weights_oc = classes_co.astype(np.float32).T
    for shard in range(plan.shards):
        kept = load_arrays(plan.partial(shard), [_ID, _ATTENTION, _MLP])
        usable = label_n[kept[_ID]] >= 0
        ids = kept[_ID][usable]
        if not len(ids):
            continue
        unit = unit_no[ids].astype(np.float32)
        without_mlps = unit - (kept[_MLP][usable].astype(np.float32) - step_o)
        attention_nlo = np.cumsum(kept[_ATTENTION][usable].astype(np.float32), axis=1) - steps_lo
        without_attention = [unit - attention_nlo[:, layer] for layer in range(len(attention))]
        for i, ablated in enumerate([unit, without_mlps, *without_attention]):
            right[i] += int(((ablated.astype(np.float32) @ weights_oc).argmax(1) == label_n[ids]).sum())
        images += len(ids)
    if not images:
        return
    layers = len(attention)
    table = {
        "kind": ["none", "mlps", *["attention"] * layers],
        "layer": pa.array([None, None, *range(layers)], pa.int32()),
        "top1": right / images,
        "images": pa.array([images] * len(right), pa.int64()),
    }
    writer.table("ablation", pa.table(table))
