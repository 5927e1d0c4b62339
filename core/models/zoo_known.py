"""The models that the zoo knows by name: what they are, where their weights are, and under which licence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.models.load import DEMO_MODELS

CAPTIONS = "images with their captions"
_DINO_RESNET = "https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth"


@dataclass(frozen=True)
class Known:
    """`model`: a timm name, or open_clip's ARCH:TAG where `clip`."""

    model: str
    family: str
    training: str
    licence: str
    clip: bool = False
    overlay: Mapping[str, Any] = field(default_factory=dict)


KNOWN = {
    "resnet50": Known(
        "resnet50.tv_in1k",
        "class-supervised CNN",
        "classes of ImageNet-1k (torchvision's first weights)",
        "BSD-3-Clause",
    ),
    "dino-resnet50": Known(
        "resnet50",
        "self-supervised CNN (DINO)",
        "self-distillation on ImageNet-1k without labels",
        "Apache-2.0",
        overlay={"url": _DINO_RESNET, "hf_hub_id": None, "tag": "dino", "num_classes": 0, "license": "apache-2.0"},
    ),
    "dino-vit-b16": Known(
        "vit_base_patch16_224.dino",
        "self-supervised ViT (DINO)",
        "self-distillation on ImageNet-1k without labels",
        "Apache-2.0",
    ),
    "mae-vit-b16": Known(
        "vit_base_patch16_224.mae",
        "self-supervised ViT (MAE)",
        "rebuilding masked patches of ImageNet-1k without labels",
        "CC-BY-NC-4.0: not for commercial use",
    ),
    "clip-rn50": Known("RN50-quickgelu:openai", "CLIP ResNet", f"{CAPTIONS} (OpenAI)", "MIT", clip=True),
    "clip-vit-b32": Known("ViT-B-32-quickgelu:openai", "CLIP ViT", f"{CAPTIONS} (OpenAI)", "MIT", clip=True),
    "clip-vit-b16": Known("ViT-B-16-quickgelu:openai", "CLIP ViT", f"{CAPTIONS} (OpenAI)", "MIT", clip=True),
    "clip-vit-l14": Known("ViT-L-14-quickgelu:openai", "CLIP ViT", f"{CAPTIONS} (OpenAI)", "MIT", clip=True),
}
#: family and training of the models that ship with Unitscope, where they are not CLIP's
DEMO = {
    "demo-cnn": ("class-supervised CNN", "objects of the demo world"),
    "demo-mae": ("self-supervised ViT (MAE)", "rebuilding masked patches of the demo world without labels"),
}


def zoo_names() -> Mapping[str, str]:
    """The names known without a prefix, each with one line: what it is, and its licence."""
    lines = {}
    for name in sorted(path.name for path in DEMO_MODELS.iterdir() if is_clip(path) or is_timm(path)):
        family = DEMO[name][0] if name in DEMO else "CLIP"
        lines[name] = f"{family} trained on the demo world, shipped with Unitscope (MIT)"
    for name, known in KNOWN.items():
        package = "open_clip" if known.clip else "timm"
        lines[name] = f"{known.family}, {known.training}; {package} {known.model} ({known.licence})"
    return lines


def local_folder(name: str) -> Path | None:
    """The folder of a demo model, or of a path, in open_clip's or timm's local-dir format; a known name is no path."""
    if name in KNOWN or not name:
        return None
    return next((folder for folder in (DEMO_MODELS / name, Path(name)) if is_clip(folder) or is_timm(folder)), None)


def is_clip(folder: Path) -> bool:
    """Whether open_clip can read it."""
    return (folder / "open_clip_config.json").is_file()


def is_timm(folder: Path) -> bool:
    """Whether timm can read it."""
    return (folder / "config.json").is_file()
