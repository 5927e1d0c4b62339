"""Small random timm models on disk, as timm saves them, for tests of the zoo."""

from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

DATA = {"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.2, 0.3), "interpolation": "bilinear", "crop_pct": 1.0}
RESNET = {"channels": [8, 16, 24, 32], "num_classes": 5}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 0}


def small_timm(architecture: str = "resnet18", seed: int = 0, **changes: object) -> nn.Module:
    """A timm model whose biases and norms are far from neutral."""
    torch.manual_seed(seed)
    args = {"resnet18": RESNET, "vit_tiny_patch16_224": VIT}.get(architecture, {}) | changes
    model = timm.create_model(architecture, **args)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand_like(value))
        elif value.is_floating_point() and value.ndim == 1 and "pos_embed" not in name:
            value.add_(0.3 * torch.randn_like(value))
    model._model_args = args
    return model.eval().requires_grad_(False)


def save_timm(folder: Path, architecture: str = "resnet18", seed: int = 0, **changes: object) -> Path:
    """The same in timm's local-dir format, by timm's own writer; returns its folder."""
    model = small_timm(architecture, seed, **changes)
    args, size = model._model_args, model._model_args.get("img_size", 64)
    config = {**model.pretrained_cfg, **DATA, "input_size": (3, size, size), "num_classes": model.num_classes}
    config |= {"license": "mit", "description": "nothing at all", "fixed_input_size": "img_size" in args}
    timm.models.save_for_hf(
        model,
        str(folder),
        model_config={"pretrained_cfg": config},
        model_args=args,
        safe_serialization=True,
    )
    return folder


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise, so that no two places look alike."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
