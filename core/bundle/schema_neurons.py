"""The arrays of MLP neurons under the second-order lens (paper N): part of `core.bundle.schema`.

All are optional: a bundle has either all of them or none. φ is a neuron's second-order effect on the unit
representation, b its mean, r its direction and x = ⟨φ - b, r⟩ its coefficient. Population of every number: the measured
images (axis neuron_image).
"""

from core.bundle.schema_types import ArraySpec

LISTS = ("+", "-", "norm", "activation max", "activation mean", "first order")
"""What the top images of a neuron are ordered by; see the axis neuron_list."""

NEURON_AXES = {
    "neuron_layer": "the layers whose MLP neurons were analysed; labels: their numbers in the model",
    "neuron": "the MLP neurons of a layer",
    "neuron_image": "the images whose neurons were measured: ok images, all or spread evenly over the manifest, in the "
                    "order of neurons/image_ids.npy",
    "neuron_list": "what a neuron's top images are ordered by: '+' largest and '-' smallest coefficient, 'norm' of the "
                   "centred effect, 'activation max' and 'activation mean' over tokens, 'first order' (activation at "
                   "the class token over σρ, the coefficient of its direct effect)",
    "neuron_rank": "images of one such list, the most extreme first",
    "neuron_token": "the image tokens, class token first",
    "later_head": "attention heads that read from the analysed MLPs; labels: their addresses",
    "atom": "texts of a sparse decomposition, in the order they were chosen",
    "active": "pairs of a measured image and a neuron that is active in it, ordered by image, layer, neuron",
    "active_offset": "where each measured image's pairs begin, and at last where they end",
}  # fmt: skip

_LN = ("neuron_layer", "neuron")
_LNI = (*_LN, "neuron_image")


def _array(name: str, dtype: str, axes: tuple[str, ...], meaning: str) -> ArraySpec:
    return ArraySpec(f"neuron_{name}", f"neurons/{name}.npy", dtype, axes, meaning, optional=True)


NEURON_ARRAYS = (
    _array("image_ids", "int64", ("neuron_image",), "image_id of each measured image, ascending"),
    _array("direction", "float32", (*_LN, "out"),
           "unit direction r: first principal component of φ - b over the images of largest ‖φ - b‖, not centred "
           "again, its sign such that most of them project positively; zeros where a neuron has no effect"),
    _array("mean_s", "float32", (*_LN, "later_head"),
           "mean of the scalars s; b = Σ mean_s D over the later heads. Zero at heads that are not later"),
    _array("mean_coef", "float64", _LN, "⟨b, r⟩, the coefficient that x is measured from"),
    _array("mean_norm", "float64", _LN, "‖b‖"),
    _array("scale", "float32", _LN, "largest ‖φ - b‖: norms and coefficients are stored divided by it"),
    _array("norm", "float16", _LNI, "‖φ - b‖ / scale"),
    _array("coef", "float16", _LNI, "x / scale"),
    _array("total", "float16", ("neuron_layer", "neuron_image", "out"),
           "Σ (φ - b) over the layer's neurons: what mean-ablating all of them takes from the unit representation"),
    _array("total_active", "float16", ("neuron_layer", "neuron_image", "out"),
           "the same over the neurons that are active in the image (see threshold)"),
    _array("coef_std", "float64", _LN, "standard deviation of x"),
    _array("coef_quantiles", "float32", (*_LN, "quantile"), "quantiles of x"),
    _array("norm_quantiles", "float32", (*_LN, "quantile"), "quantiles of ‖φ - b‖"),
    _array("activation_mean", "float64", _LN, "mean over images of the mean activation over tokens"),
    _array("token_activation_mean", "float32", (*_LN, "neuron_token"),
           "mean over images of the activation at each token, class token first: what mean-ablation puts there"),
    _array("explained", "float64", _LN, "fraction of Σ‖φ - b‖² over the images of largest norm that r explains"),
    _array("explained_all", "float64", _LN, "the same over all measured images"),
    _array("threshold", "float32", _LN, "98th percentile of ‖φ - b‖: above it the neuron is active"),
    _array("share_above", "float64", _LN,
           "share of images with ‖φ - b‖ above the layer's threshold, the 98th percentile over all its neurons and "
           "images: 0.02 on average, near zero for a neuron that is hardly ever of consequence"),
    _array("later_share", "float32", (*_LN, "later_head"),
           "covariance of each later head's summand of x with x, over the variance of x: sums to 1"),
    _array("concepts", "int16", _LN,
           "clusters among its images of largest norm, by their representations (see core/methods/clusters.py)"),
    _array("top_ids", "int64", (*_LN, "neuron_list", "neuron_rank"), "image_id; -1 where there are fewer images"),
    _array("top_scores", "float32", (*_LN, "neuron_list", "neuron_rank"), "what they are ordered by; NaN at -1"),
    _array("text_index", "int32", (*_LN, "atom"), "row in text/pool.parquet; -1 where the decomposition ended before"),
    _array("text_coef", "float32", (*_LN, "atom"), "its coefficient in the sparse decomposition of r; 0 at -1"),
    _array("text_error", "float32", (*_LN, "atom"), "share of the squared norm of r left after this many texts"),
    _array("active_units", "int32", ("active",), "layer position × neurons + neuron, where ‖φ - b‖ > threshold"),
    _array("active_offsets", "int64", ("active_offset",), "as the axis says"),
)  # fmt: skip
