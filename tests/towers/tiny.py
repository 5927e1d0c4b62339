"""Tiny random towers built from the upstream classes, and the plain forward passes they are held against."""

import open_clip
import torch

from core.models.modified_resnet import ModifiedResNetTower
from core.models.openclip_vit import OpenClipViT
from core.models.tower import Tower

OUT = 24
TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
VIT = {"layers": 4, "width": 48, "head_width": 12, "mlp_ratio": 2.0, "patch_size": 8, "image_size": 32}
RESNET = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 64}


def tiny_clip(
    kind: str = "vit", *, quick_gelu: bool = False, seed: int = 0, text: dict = TEXT, **overrides: object
) -> torch.nn.Module:
    """An open_clip CLIP whose every LayerNorm, bias and BatchNorm is far from its neutral value: no term hides."""
    torch.manual_seed(seed)
    vision = (VIT if kind == "vit" else RESNET) | overrides
    clip = open_clip.model.CLIP(OUT, vision, text, quick_gelu=quick_gelu).eval().requires_grad_(False)
    for name, value in clip.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand_like(value))
        elif name.endswith(("bias", "running_mean")):
            value.copy_(0.3 * torch.randn_like(value))
        elif "ln_" in name or "bn" in name or "downsample.1" in name:
            if value.is_floating_point():
                value.copy_(1 + 0.3 * torch.randn_like(value))
        elif name.startswith("visual.transformer") or name == "visual.proj":
            value.copy_(torch.randn_like(value) / value.shape[-1] ** 0.5)
    return clip


def tiny_tower(kind: str = "vit", **options: object) -> Tower:
    visual = tiny_clip(kind, **options).visual
    return OpenClipViT(visual) if kind == "vit" else ModifiedResNetTower(visual)


def images(tower: Tower, n: int = 3, seed: int = 1) -> torch.Tensor:
    size = tower.visual.image_size
    side = size[0] if isinstance(size, tuple) else size
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))
