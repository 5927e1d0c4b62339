"""What the arrays of neuron-head pairs must say of each other; part of `core.bundle.verify`."""

from collections.abc import Iterator

import numpy as np

from core.bundle import schema
from core.bundle.read import Bundle

_FP16_STEP = 2.0**-11
_FP32_STEP = 2.0**-24


def pair_problems(bundle: Bundle) -> Iterator[str]:
    """A sentence for each contradiction. Nothing to say of a bundle without pairs."""
    names = {spec.name for spec in schema.PAIR_ARRAYS}
    there = names & set(bundle.facts["arrays"])
    if there and there != names:
        yield f"pairs/ lacks {schema.ARRAY[min(names - there)].path}: pairs are there whole or not at all."
    elif there and "neuron_direction" not in bundle.facts["arrays"]:
        yield "pairs/ is there without neurons/."
    elif there:
        for check in (_directions, _numbers, _lists, _texts):
            yield from check(bundle)


def _directions(bundle: Bundle) -> Iterator[str]:
    basis_mok = np.asarray(bundle.array("pair_basis"), np.float64)
    gram_mkk = basis_mok.transpose(0, 2, 1) @ basis_mok
    # a column is of norm one, or zero where a head's output projection has fewer dimensions than its width
    diagonal_mk = np.diagonal(gram_mkk, axis1=1, axis2=2)
    expected_mkk = np.einsum("mk,kj->mkj", diagonal_mk > 0.5, np.eye(diagonal_mk.shape[1]))
    if (np.abs(gram_mkk - expected_mkk) > 2 * basis_mok.shape[1] * _FP32_STEP).any():
        yield "pairs/basis.npy has columns that are not orthonormal."
    coords, length = bundle.array("pair_coords"), bundle.array("pair_length")
    for layer in range(coords.shape[0]):
        norm_nm = np.linalg.norm(np.asarray(coords[layer], np.float64), axis=-1)
        if not ((np.abs(norm_nm - 1) < 64 * _FP32_STEP) | (norm_nm == 0)).all():
            yield "pairs/coords.npy holds directions that are not of norm one."
        if ((norm_nm == 0) & (np.asarray(length[layer]) != 0)).any():
            yield "pairs/length.npy is not zero where pairs/coords.npy has no direction."


def _numbers(bundle: Bundle) -> Iterator[str]:
    std, score = np.asarray(bundle.array("pair_std")), np.asarray(bundle.array("pair_score"))
    if not (np.isfinite(std).all() and np.isfinite(score).all() and (std >= 0).all() and (score >= 0).all()):
        yield "pairs/std.npy or score.npy is not finite, or negative."
    share = np.asarray(bundle.array("pair_share"), np.float64)
    total, size = share.sum(-1), np.abs(share).sum(-1)
    # rounding of each share to fp32; zero throughout where a neuron has no effect
    if (np.abs(total - 1) > 1e-5 + 64 * _FP32_STEP * size)[size > 0].any():
        yield "pairs/share.npy does not sum to one."
    quantiles = np.asarray(bundle.array("pair_quantiles"))
    if (np.diff(quantiles, axis=-1) < 0).any():
        yield "pairs/quantiles.npy does not rise."


def _lists(bundle: Bundle) -> Iterator[str]:
    measured = np.append(np.asarray(bundle.array("neuron_image_ids")), -1)
    for kind in ("top", "interval"):
        ids, scores = np.asarray(bundle.array(f"pair_{kind}_ids")), np.asarray(bundle.array(f"pair_{kind}_scores"))
        if not np.isin(ids, measured).all():
            yield f"pairs/{kind}_ids.npy names images that were not measured."
        if (np.isnan(scores) != (ids < 0)).any():
            yield f"pairs/{kind}_scores.npy is not NaN exactly where pairs/{kind}_ids.npy is -1."
    steps = np.diff(np.asarray(bundle.array("pair_top_scores"), np.float64), axis=-1)
    if (steps[..., 0, :] > 0).any() or (steps[..., 1, :] < 0).any():
        yield "pairs/top_scores.npy is not sorted from the most extreme image on."


def _texts(bundle: Bundle) -> Iterator[str]:
    rows, score = np.asarray(bundle.array("pair_text_rows")), np.asarray(bundle.array("pair_score")).ravel()
    if rows.size and not (rows.min() >= 0 and rows.max() < score.size):
        yield "pairs/text_rows.npy names pairs that do not exist."
        return
    if (np.diff(score[rows]) > 0).any():
        yield "pairs/text_rows.npy is not in the order of pairs/score.npy."
    texts, coefs = np.asarray(bundle.array("pair_text_index")), np.asarray(bundle.array("pair_text_coef"))
    if texts.size and not (texts.min() >= -1 and texts.max() < bundle.axes["text"].size):
        yield "pairs/text_index.npy points at rows that do not exist."
    if coefs[texts < 0].any():
        yield "pairs/text_coef.npy has coefficients without texts."


def pair_score_problems(bundle: Bundle) -> Iterator[str]:
    """The same of the described pairs' coefficients in every measured image."""
    names = {spec.name for spec in schema.PAIR_SCORE_ARRAYS}
    there = names & set(bundle.facts["arrays"])
    if there and (there != names or "pair_text_rows" not in bundle.facts["arrays"]):
        lacks = min((names | {"pair_text_rows"}) - set(bundle.facts["arrays"]))
        yield f"pairs/ lacks {schema.ARRAY[lacks].path}: coefficients of described pairs are there whole or not at all."
    elif there and {spec.name for spec in schema.PAIR_ARRAYS} <= set(bundle.facts["arrays"]):  # else told above
        yield from _pair_scores(bundle)


def _pair_scores(bundle: Bundle) -> Iterator[str]:
    rows, scale = np.asarray(bundle.array("pair_text_rows")), np.asarray(bundle.array("pair_text_scale"))
    x = np.asarray(bundle.array("pair_text_scores"), np.float32)
    deviation = np.asarray(bundle.array("pair_std")).ravel()
    if rows.size and not (rows.min() >= 0 and rows.max() < deviation.size):
        return  # told above
    std = deviation[rows]
    if not (np.isfinite(x).all() and np.isfinite(scale).all()):
        yield "pairs/text_scores.npy or text_scale.npy is not finite."
    elif x.shape[1] and (np.abs(x.mean(1, dtype=np.float64)) > _FP16_STEP).any():
        yield "pairs/text_scores.npy does not have mean zero."
    elif x.shape[1] and (np.abs(x.std(1, dtype=np.float64) * scale - std) > 2 * _FP16_STEP * scale).any():
        yield "pairs/text_scores.npy does not have the deviation in pairs/std.npy."
