"""Tiny random models on disk, as open_clip saves them: a folder with a config and safetensors, standard tokenizer."""

import json
from pathlib import Path

import open_clip
import pytest
import safetensors.torch
import torch

from tests.towers.tiny import OUT, RESNET, VIT, tiny_clip

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.3], "interpolation": "bilinear", "resize_mode": "shortest"}


def build_in(patch: pytest.MonkeyPatch) -> str:
    """The name of a small ResNet that open_clip has as one of its own architectures while `patch` lasts."""
    config = {"embed_dim": OUT, "vision_cfg": RESNET, "text_cfg": TEXT}
    patch.setitem(open_clip.factory._MODEL_CONFIGS, "RN-tiny", config)
    return "RN-tiny"


def save_model(
    folder: Path, kind: str = "vit", *, quick_gelu: bool = False, seed: int = 0, precision: torch.dtype | None = None
) -> Path:
    """A model in open_clip's local-dir format; returns its folder."""
    clip = tiny_clip(kind, quick_gelu=quick_gelu, seed=seed, text=TEXT)
    for block in clip.transformer.resblocks:  # texts far apart, so that choices among them are not by rounding
        block.attn.out_proj.weight.mul_(3)
    if kind == "resnet":
        _calibrate(clip.visual)
    config = {"embed_dim": OUT, "quick_gelu": quick_gelu, "vision_cfg": VIT if kind == "vit" else RESNET}
    folder.mkdir(parents=True)
    size = config["vision_cfg"]["image_size"]
    stored = {"model_cfg": config | {"text_cfg": TEXT}, "preprocess_cfg": PREPROCESS | {"size": [size, size]}}
    (folder / "open_clip_config.json").write_text(json.dumps(stored))
    weights = folder / "open_clip_model.safetensors"
    safetensors.torch.save_file(clip.state_dict(), weights)
    weights.chmod(0o644)  # safetensors makes files that only their owner may read
    return folder


def _calibrate(visual: torch.nn.Module) -> None:
    """BatchNorm statistics of real activations: with made-up ones hardly anything of an image reaches the last map."""
    for module in visual.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    flat = torch.randn(32, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(32, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    visual.train()(flat + noise)
    visual.eval()
