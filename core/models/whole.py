"""A picture as a model sees it, but for the crop: whole, for sliding windows, or at a size of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms


def whole_image(picture: Image.Image, short_side: int, preprocessing: Mapping[str, Any]) -> Tensor:
    """An RGB picture resized so that its short side has `short_side` pixels, and normalised: (3, rows, columns).

    `preprocessing` as `LoadedModel` has it; of a square picture at the model's own size this is the model's input.
    """
    return resized(picture, [short_side], preprocessing)


def resized(picture: Image.Image, size: Sequence[int], preprocessing: Mapping[str, Any]) -> Tensor:
    """An RGB picture resized to `size` (rows, columns; or the short side alone) and normalised: (3, rows, columns)."""
    how = InterpolationMode(preprocessing.get("interpolation") or "bicubic")
    smaller = transforms.resize(picture, list(size), how)
    mean, std = list(preprocessing["mean"]), list(preprocessing["std"])
    return transforms.normalize(transforms.to_tensor(smaller).to(torch.float32), mean, std)
