"""A picture whole, as a model sees it but for the crop: for sliding windows."""

from collections.abc import Mapping
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
    how = InterpolationMode(preprocessing.get("interpolation") or "bicubic")
    resized = transforms.resize(picture, [short_side], how)
    mean, std = list(preprocessing["mean"]), list(preprocessing["std"])
    return transforms.normalize(transforms.to_tensor(resized).to(torch.float32), mean, std)
