"""What the statistics share: checks of a batch, of a merge and of a stored state."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

State = dict[str, np.ndarray]
Shape = tuple[int, ...]


def as_batch(values: ArrayLike, shape: Shape, dtype: DTypeLike, name: str = "batch") -> np.ndarray:
    """`values` as an array (b, *shape) of `dtype` (no copy if it is one already). ValueError on another shape."""
    array = np.asarray(values, dtype=dtype)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise ValueError(f"{name} has shape {array.shape}; expected (images, {', '.join(map(str, shape))})")
    return array


def check_same(kind: str, ours: object, theirs: object) -> None:
    """ValueError unless two objects about to be merged were made with the same settings."""
    if ours != theirs:
        raise ValueError(f"cannot merge {kind} made as {ours} with {kind} made as {theirs}: make both the same way")


def fields(state: Mapping[str, np.ndarray], kind: str, *names: str) -> list[np.ndarray]:
    """The named arrays of a stored state, each a copy that may be written to. ValueError if one is missing."""
    missing = [name for name in names if name not in state]
    if missing:
        raise ValueError(f"not a state of {kind}: {', '.join(missing)} missing, {', '.join(sorted(state))} found")
    return [np.array(state[name]) for name in names]


def check_shapes(kind: str, **arrays_and_shapes: tuple[np.ndarray, Shape]) -> None:
    """ValueError unless every array of a stored state has the shape it should have."""
    for name, (array, shape) in arrays_and_shapes.items():
        if array.shape != shape:
            raise ValueError(f"damaged state of {kind}: {name} has shape {array.shape}, expected {shape}")
