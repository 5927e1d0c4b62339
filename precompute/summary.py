"""What a finished bundle holds, in a dozen lines."""

from pathlib import Path

import numpy as np

from core.bundle.read import open_bundle
from core.ids import Head

_HEADS_SHOWN = 5


def print_summary(folder: Path) -> None:
    """Print the facts, the heads with the largest share and their first texts; the path comes last."""
    bundle = open_bundle(folder)
    facts = bundle.facts
    model, manifest = facts["model"], facts["manifest"]
    weights = "RANDOM WEIGHTS" if model["random_weights"] else model["pretrained"] or "own weights"
    print(f"model    {model['name']} ({weights}, {model['activation']}, {model['precision']})")
    print(f"images   {manifest['ok']:,} of {manifest['images']:,} from {manifest['source']}", end="")
    print(f", {manifest['quarantined']:,} quarantined" if manifest["quarantined"] else "")
    if zero_shot := facts.get("zero_shot"):
        print(
            f"accuracy {zero_shot['top1']:.1%} zero-shot over {zero_shot['classes']} classes, "
            f"{zero_shot['images']:,} images"
        )
    print(
        f"closing  worst residual {facts['worst_residual']:.1e}, "
        f"at most {facts['residual_tolerance']:.0e} counts as closed"
    )
    share_lh, index_lhm = bundle.array("share"), bundle.array("text_index")
    explained_lhm, pool = bundle.array("text_explained"), bundle.table("pool")["text"]
    layers = bundle.axes["layer"].labels or []
    print(f"heads    {share_lh.size}; by share of the output's variance:")
    for flat in np.argsort(-np.asarray(share_lh), axis=None, kind="stable")[:_HEADS_SHOWN]:
        layer, head = np.unravel_index(flat, share_lh.shape)
        texts = [pool[int(i)].as_py() for i in index_lhm[layer, head, :3] if i >= 0]
        explained = explained_lhm[layer, head, : len(texts)].sum()
        address = str(Head(layers[layer], int(head)))
        print(f"  {address:8s} {share_lh[layer, head]:6.1%}  {'; '.join(texts)} ({explained:.0%} of its variance)")
    print(f"bundle   {folder}")
