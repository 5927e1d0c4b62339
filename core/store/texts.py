"""The one check of what pages give as a text."""

import numpy as np

from core.bundle.read import Bundle
from core.errors import InputError


def check_text(bundle: Bundle, text_o: np.ndarray) -> np.ndarray:
    """A text's embedding as (o,) float32. InputError unless it is finite and of the joint space's width."""
    width = bundle.axes["out"].size
    if np.shape(text_o) != (width,) or not np.isfinite(text_o).all():
        raise InputError(f"A text's embedding here has {width} finite numbers, not the shape {np.shape(text_o)}.")
    return np.asarray(text_o, np.float32)
