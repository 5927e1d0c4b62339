"""The four styles: what happens to the whole picture after it is drawn."""

import numpy as np
from PIL import Image, ImageFilter

SEPIA_DARK = np.array([45, 28, 12], np.float32)
SEPIA_LIGHT = np.array([255, 236, 196], np.float32)
BLUR = (0.018, 0.027)  # standard deviation of the Gaussian, as a share of the side; 1.2 to 1.7 pixels at 64


def _sepia_table() -> list[np.ndarray]:
    grey = (np.arange(256, dtype=np.float32) / 255)[:, None]
    table = SEPIA_DARK + (SEPIA_LIGHT - SEPIA_DARK) * grey
    return [table[:, channel].round().astype(np.uint8) for channel in range(3)]


_SEPIA = np.stack(_sepia_table(), axis=1)  # [256, 3]: grey level to brown


def apply_style(style: str, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """The picture in the given style, uint8 RGB [h, w, 3]."""
    if style == "black and white":
        return np.asarray(image.convert("L").convert("RGB"))
    if style == "sepia":
        return _SEPIA[np.asarray(image.convert("L"))]
    if style == "blurred":
        return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR) * image.width)))
    return np.asarray(image)
