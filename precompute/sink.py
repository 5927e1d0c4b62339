"""The attention sink of a ResNet's pool, and the neurons that drive it, over some measured images (paper P, §5.2).

At most IMAGES of them, spread evenly, are read once more: what the sink is must be known before the change of the
attention to it can be measured, and a pass keeps no tokens. Between the two the tokens of these images are held: 52 MB
for RN50, 413 MB for RN50x64.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from core.bundle.write import BundleWriter
from core.images import DecodePolicy
from core.methods.attention_sink import register_order, sink_change, sink_token
from core.models.load import LoadedModel
from core.models.modified_resnet import ModifiedResNetTower
from precompute.ablation import chosen
from precompute.plan import Plan
from precompute.reader import read_images

IMAGES = 128
_BATCH = 8


def write_sink(
    plan: Plan, writer: BundleWriter, model: LoadedModel, image_ids: np.ndarray,
    seen: Callable[[int], None] = lambda n: None, threads: int = 2,
) -> dict[str, int] | None:  # fmt: skip
    """Write the arrays of core/bundle/schema_sink.py; returns how many images they are over and which token the sink
    is. Images that are gone since the pass are left out; None, and nothing written, where there is none left."""
    tower = model.tower
    assert isinstance(tower, ModifiedResNetTower), "a ViT has no attention pool"
    some = image_ids[chosen(len(image_ids), IMAGES)]
    tokens, attention = [], []
    for pixels in _batches(plan.root, manifest_rows(plan, some), plan.settings.policy, model, threads):
        trace = tower.trace(pixels.to(model.device), (0,), neurons=(0,))
        tokens.append(trace.neurons[0].cpu())
        attention.append(trace.heads[0].attn_bht.cpu())
        seen(len(pixels))
    if not tokens:
        return None
    attn_bht = torch.cat(attention)
    most_t = torch.bincount(sink_token(attn_bht), minlength=attn_bht.shape[-1])
    token = int(most_t.argmax())
    weights = tower.head_weights(0)
    with torch.inference_mode():
        change_bn = torch.cat(
            [sink_change(weights, x_btn.to(model.device), tower.position_td, token).cpu() for x_btn in tokens]
        )
    writer.array("sink_attention", attn_bht.mean(0).numpy())
    writer.array("sink_most", most_t.numpy())
    writer.array("sink_change", change_bn.abs().mean(0).numpy())
    writer.array("sink_signed", change_bn.mean(0).numpy())
    writer.array("sink_register_order", register_order(change_bn).numpy().astype(np.int32))
    return {"images": len(attn_bht), "token": token}


def manifest_rows(plan: Plan, ids: np.ndarray) -> pa.Table:
    """The manifest's rows of some images, a shard at a time."""
    shard_i = ids // plan.settings.shard
    parts = [
        plan.manifest_rows(int(shard)).take(ids[shard_i == shard] - plan.rows(int(shard)).start)
        for shard in np.unique(shard_i)
    ]
    return pa.concat_tables(parts)


def _batches(root: Path, rows: pa.Table, policy: DecodePolicy, model: LoadedModel, threads: int) -> Iterator[Tensor]:
    waiting: list[Tensor] = []
    for read in read_images(root, rows, policy, threads=threads, prepare=model.transform):
        if read.prepared is not None:
            waiting.append(read.prepared)
        if len(waiting) == _BATCH:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)
