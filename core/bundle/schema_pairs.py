"""The arrays of neuron-head pairs (paper P; paper N for a ViT): part of `core.bundle.schema`.

All are optional: a bundle has either all of them or none, and only beside those of neurons. A pair, neuron n read by a
later head m, adds s D to the unit representation: s a scalar of the image, D a vector of the weights. d̂ is D's unit
vector, D = length · d̂, and x = (s - mean_s) · length the pair's coefficient, of mean zero. Population of every number:
the measured images (axis neuron_image). At a head that is not later than the neuron's layer: zeros, -1 and NaN.
"""

from core.bundle.schema_types import ArraySpec

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Quantile levels that bound the interval rows."""

PAIR_AXES = {
    "pair_coord": "coordinates in a later head's own space: what its output projection can write",
    "pair_rank": "images of one end of a pair, the most extreme first",
    "pair_interval": "quantile intervals of a pair's coefficient, highest first; labels: [low, high] levels",
    "pair_sample": "images of one interval, at evenly spread ranks, largest coefficient first",
    "pair_text": "the pairs that were described by texts: those of largest score, largest first",
    "pair_atom": "texts of a pair's sparse decomposition, in the order they were chosen",
}

_LN = ("neuron_layer", "neuron")
_LNM = (*_LN, "later_head")


def _array(name: str, dtype: str, axes: tuple[str, ...], meaning: str) -> ArraySpec:
    return ArraySpec(f"pair_{name}", f"pairs/{name}.npy", dtype, axes, meaning, optional=True)


PAIR_ARRAYS = (
    _array("basis", "float32", ("later_head", "out", "pair_coord"),
           "orthonormal columns Q of each later head's space; a text direction t enters as Qᵀt"),
    _array("coords", "float32", (*_LNM, "pair_coord"),
           "d̂ = Q coords, its sign such that most of the images of largest |x| have a positive x"),
    _array("length", "float32", _LNM, "D = length · d̂; negative where the sign turned d̂"),
    _array("std", "float32", _LNM, "standard deviation of x"),
    _array("score", "float32", _LNM,
           "mean of the largest |x| (of pairs.largest images, see bundle.json): what pairs are ordered by"),
    _array("share", "float32", _LNM,
           "covariance (trace) of the pair's effect with its neuron's effect φ, over the variance of φ: sums to 1"),
    _array("quantiles", "float32", (*_LNM, "quantile"), "quantiles of x"),
    _array("top_ids", "int32", (*_LNM, "end", "pair_rank"), "image_id of the images at either end of x; -1: no more"),
    _array("top_scores", "float32", (*_LNM, "end", "pair_rank"), "their x; NaN at -1"),
    _array("interval_ids", "int32", (*_LNM, "pair_interval", "pair_sample"), "image_id; -1 where there are fewer"),
    _array("interval_scores", "float32", (*_LNM, "pair_interval", "pair_sample"), "their x; NaN at -1"),
    _array("inertia", "float32", _LNM,
           "sum of the squared distances of unit representations from their mean, over the images of largest |s|·‖D‖ "
           "(as many as bundle.json says in pairs.inertia_images)"),
    _array("neuron_inertia", "float32", _LN, "the same over the images of largest ‖φ‖ of the whole neuron"),
    _array("text_rows", "int32", ("pair_text",),
           "which pair: (layer position × neurons + neuron) × later heads + later head"),
    _array("text_index", "int32", ("pair_text", "pair_atom"),
           "row in text/pool.parquet; -1 where the decomposition ended before"),
    _array("text_coef", "float32", ("pair_text", "pair_atom"),
           "its coefficient in the sparse decomposition of d̂; 0 at -1"),
    _array("text_error", "float32", ("pair_text", "pair_atom"),
           "share of the squared norm of d̂ left after this many texts"),
)  # fmt: skip

PAIR_SCORE_ARRAYS = (
    _array("text_scores", "float16", ("pair_text", "neuron_image"),
           "x / text_scale of every described pair in every measured image, which drift pages sum"),
    _array("text_scale", "float32", ("pair_text",), "largest |x| of each described pair"),
    _array("constant", "float32", ("later_head", "out"),
           "what each pair of a head adds beside s D to the representation before it is scaled to one, the same in "
           "every image: (W_O b_V + b_O / heads) / neurons in a ResNet, zero in a ViT, whose biases are parts of their "
           "own"),
)  # fmt: skip
"""All three or none, and only beside the arrays above."""
