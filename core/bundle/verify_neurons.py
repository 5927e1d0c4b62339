"""What the arrays of neurons must say of each other; part of `core.bundle.verify`."""

from collections.abc import Iterator

import numpy as np

from core.bundle import schema
from core.bundle.read import Bundle

_FP16_STEP = 2.0**-11
_FP16_LEAST = 2.0**-24  # the smallest step between half-precision numbers
_FP32_STEP = 2.0**-24


def neuron_problems(bundle: Bundle) -> Iterator[str]:
    """A sentence for each contradiction. Nothing to say of a bundle without neurons."""
    names = {spec.name for spec in schema.NEURON_ARRAYS}
    there = names & set(bundle.facts["arrays"])
    if there and there != names:
        yield f"neurons/ lacks {schema.ARRAY[min(names - there)].path}: neurons are there whole or not at all."
    elif there:
        for check in (_images, _directions, _images_by_neuron, _totals, _lists, _texts, _active):
            yield from check(bundle)


def _images(bundle: Bundle) -> Iterator[str]:
    ids, ok = np.asarray(bundle.array("neuron_image_ids")), np.asarray(bundle.array("ok"))
    if len(ids) and (ids[0] < 0 or ids[-1] >= len(ok) or (np.diff(ids) <= 0).any() or not ok[ids].all()):
        yield "neurons/image_ids.npy does not name usable images in ascending order."


def _directions(bundle: Bundle) -> Iterator[str]:
    # a unit vector rounded to fp32; a neuron without effect has none
    norms = np.linalg.norm(np.asarray(bundle.array("neuron_direction"), np.float64), axis=-1)
    if not ((np.abs(norms - 1) < 64 * _FP32_STEP) | (norms == 0)).all():
        yield "neurons/direction.npy holds directions that are not of norm one."
    shares = np.asarray(bundle.array("neuron_later_share"), np.float64).sum(-1)
    moving = np.asarray(bundle.array("neuron_coef_std")) > 0
    # shares of either sign may be far larger than their sum: fp32 rounding of each counts
    size = np.abs(np.asarray(bundle.array("neuron_later_share"))).sum(-1)
    if (np.abs(shares - 1) > 1e-5 + 64 * _FP32_STEP * size)[moving].any():
        yield "neurons/later_share.npy does not sum to one."


def _images_by_neuron(bundle: Bundle) -> Iterator[str]:
    """Coefficients have mean zero and the stored deviation, and no coefficient exceeds its norm."""
    coef, norm = bundle.array("neuron_coef"), bundle.array("neuron_norm")
    std, scale = np.asarray(bundle.array("neuron_coef_std")), np.asarray(bundle.array("neuron_scale"))
    for layer in range(coef.shape[0]):
        x, size = np.asarray(coef[layer], np.float64), np.asarray(norm[layer], np.float64)
        where = f"at layer {(bundle.axes['neuron_layer'].labels or range(len(coef)))[layer]}"
        if not (np.isfinite(x).all() and np.isfinite(size).all()):
            yield f"neurons/coef.npy or norm.npy {where} is not finite."
        elif (np.abs(x) > size + 2 * _FP16_STEP).any():
            yield f"neurons/coef.npy {where} exceeds neurons/norm.npy."
        elif x.shape[1] and (np.abs(x.mean(1)) > _FP16_STEP).any():
            yield f"neurons/coef.npy {where} does not have mean zero."
        elif (np.abs(x.std(1) * scale[layer] - std[layer]) > 2 * _FP16_STEP * scale[layer]).any():
            yield f"neurons/coef_std.npy {where} is not the deviation of neurons/coef.npy."


def _totals(bundle: Bundle) -> Iterator[str]:
    """Sums over neurons have mean zero, and no sum is longer than its summands together."""
    total, active, norm = (bundle.array(f"neuron_{name}") for name in ("total", "total_active", "norm"))
    scale, threshold = np.asarray(bundle.array("neuron_scale")), np.asarray(bundle.array("neuron_threshold"))
    for layer in range(total.shape[0]):
        where = f"at layer {(bundle.axes['neuron_layer'].labels or range(len(total)))[layer]}"
        all_io, active_io = np.asarray(total[layer], np.float64), np.asarray(active[layer], np.float64)
        size_ni = np.asarray(norm[layer], np.float32) * scale[layer][:, None]
        # a norm just below its threshold may be stored as one above
        large_ni = size_ni >= threshold[layer][:, None] * (1 - 2 * _FP16_STEP)
        reach_i = np.linalg.norm(all_io, axis=1), np.linalg.norm(active_io, axis=1)
        limit_i = size_ni.sum(0, dtype=np.float64), (size_ni * large_ni).sum(0, dtype=np.float64)
        if not (np.isfinite(all_io).all() and np.isfinite(active_io).all()):
            yield f"neurons/total.npy or total_active.npy {where} is not finite."
        elif all_io.size and (np.abs(all_io.mean(0)) > _FP16_STEP * np.abs(all_io).max() + _FP16_LEAST).any():
            yield f"neurons/total.npy {where} does not have mean zero."
        elif any((reach > limit * (1 + 4 * _FP16_STEP) + _slack(all_io)).any()
                 for reach, limit in zip(reach_i, limit_i, strict=True)):  # fmt: skip
            yield f"neurons/total.npy or total_active.npy {where} is larger than its neurons' effects together."


def _slack(x_io: np.ndarray) -> float:
    """What numbers too small for a full half-precision mantissa can add to a norm."""
    return float(_FP16_LEAST * np.sqrt(x_io.shape[1]))


def _lists(bundle: Bundle) -> Iterator[str]:
    ids, scores = np.asarray(bundle.array("neuron_top_ids")), np.asarray(bundle.array("neuron_top_scores"))
    measured = np.append(np.asarray(bundle.array("neuron_image_ids")), -1)
    if not np.isin(ids, measured).all():
        yield "neurons/top_ids.npy names images that were not measured."
    if (np.isnan(scores) != (ids < 0)).any():
        yield "neurons/top_scores.npy is not NaN exactly where neurons/top_ids.npy is -1."
    steps = np.diff(scores.astype(np.float64), axis=-1)
    smallest = (bundle.axes["neuron_list"].labels or list(schema.LISTS)).index("-")
    steps[:, :, smallest] *= -1
    if (steps > 0).any():
        yield "neurons/top_scores.npy is not sorted from the most extreme image on."


def _texts(bundle: Bundle) -> Iterator[str]:
    rows, coefs = np.asarray(bundle.array("neuron_text_index")), np.asarray(bundle.array("neuron_text_coef"))
    if rows.size and not (rows.min() >= -1 and rows.max() < bundle.axes["text"].size):
        yield "neurons/text_index.npy points at rows that do not exist."
    if coefs[rows < 0].any():
        yield "neurons/text_coef.npy has coefficients without texts."
    if (np.diff(np.asarray(bundle.array("neuron_text_error"), np.float64), axis=-1) > 1e-6).any():
        yield "neurons/text_error.npy rises with more texts."


def _active(bundle: Bundle) -> Iterator[str]:
    offsets, units = np.asarray(bundle.array("neuron_active_offsets")), np.asarray(bundle.array("neuron_active_units"))
    neurons = bundle.axes["neuron_layer"].size * bundle.axes["neuron"].size
    images = bundle.axes["neuron_image"].size
    if len(offsets) != images + 1 or offsets[0] != 0 or offsets[-1] != len(units) or (np.diff(offsets) < 0).any():
        yield "neurons/active_offsets.npy does not divide neurons/active_units.npy among the images."
    elif units.size and not (units.min() >= 0 and units.max() < neurons):
        yield "neurons/active_units.npy names neurons that do not exist."
