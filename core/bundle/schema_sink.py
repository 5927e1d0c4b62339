"""The attention sink of a ResNet's pool and the neurons that drive it (paper P): part of `core.bundle.schema`.

All are optional: a bundle has either all of them or none, and a ViT's has none. Population of every number: the images
counted in bundle.json under sink.images, spread evenly over the measured ones. The sink is the token, the class token
apart, that most of them attend to most; bundle.json has it under sink.token.
"""

from core.bundle.schema_types import ArraySpec


def _array(name: str, dtype: str, axes: tuple[str, ...], meaning: str) -> ArraySpec:
    return ArraySpec(f"sink_{name}", f"sink/{name}.npy", dtype, axes, meaning, optional=True)


SINK_ARRAYS = (
    _array("attention", "float32", ("head", "neuron_token"), "mean attention of the class token to each token"),
    _array("most", "int64", ("neuron_token",),
           "images in which this token is the one most attended to, mean over heads, the class token apart"),
    _array("change", "float32", ("neuron",),
           "mean size of the change of the mean attention to the sink when the neuron is set to zero in all tokens"),
    _array("signed", "float32", ("neuron",),
           "the same with its sign: positive for a neuron that draws attention to the sink"),
    _array("register_order", "int32", ("neuron",), "neurons by descending sink_change: the register neurons first"),
)  # fmt: skip
