"""What the arrays of the attention sink must say of each other; part of `core.bundle.verify`."""

from collections.abc import Iterator

import numpy as np

from core.bundle import schema
from core.bundle.read import Bundle

_FP32_STEP = 2.0**-24


def sink_problems(bundle: Bundle) -> Iterator[str]:
    """A sentence for each contradiction. Nothing to say of a bundle without a sink."""
    names = {spec.name for spec in schema.SINK_ARRAYS}
    there = names & set(bundle.facts["arrays"])
    if there and (there != names or "sink" not in bundle.facts):
        lacks = schema.ARRAY[min(names - there)].path if there != names else "its entry in bundle.json"
        yield f"sink/ lacks {lacks}: the attention sink is there whole or not at all."
    elif there:
        yield from _sink(bundle)


def _sink(bundle: Bundle) -> Iterator[str]:
    attention, most = np.asarray(bundle.array("sink_attention"), np.float64), np.asarray(bundle.array("sink_most"))
    change, signed = np.asarray(bundle.array("sink_change")), np.asarray(bundle.array("sink_signed"))
    order, facts = np.asarray(bundle.array("sink_register_order")), bundle.facts["sink"]
    # a mean of softmaxes over t tokens, each rounded to fp32
    if (attention < 0).any() or (np.abs(attention.sum(-1) - 1) > 4 * attention.shape[-1] * _FP32_STEP).any():
        yield "sink/attention.npy does not sum to one over the tokens."
    if (most < 0).any() or most[0] != 0 or most.sum() != facts.get("images"):
        yield "sink/most.npy does not count each image once, at a token other than the class token."
    elif facts.get("token") != int(most.argmax()):
        yield "bundle.json calls another token the sink than sink/most.npy does."
    # a mean is no larger than the mean of sizes, up to fp32
    if not np.isfinite(change).all() or (np.abs(signed) > change + 1e-6).any():
        yield "sink/signed.npy is larger than sink/change.npy, or not finite."
    if not np.array_equal(np.sort(order), np.arange(len(order))) or (np.diff(change[order]) > 0).any():
        yield "sink/register_order.npy does not order the neurons by sink/change.npy."
