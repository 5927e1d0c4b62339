"""Weights of a model: where they are, whether they fit, and reading them without running code from them."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn

from core.errors import ActivationMismatch, UnknownModel, WeightsError
from core.models.hub import hub_or_cache


def activation_of(config: dict[str, Any]) -> str:
    """ "quickgelu" or "gelu", of a model config or of a pretrained tag's config."""
    return "quickgelu" if config.get("quick_gelu") else "gelu"


def folder_weights(folder: Path) -> Path:
    """The weights file of a local model folder: the one with the libraries' own name, else any, safetensors first."""
    for pattern in ("open_clip_model.safetensors", "model.safetensors", "*.safetensors", "*.bin", "*.pt", "*.pth"):
        for path in sorted(folder.glob(pattern)):
            return path
    raise WeightsError(f"{folder} holds a model config but no weights file; put its safetensors file beside it.")


def resolve_weights(name: str, pretrained: str, config: dict[str, Any]) -> str:
    """Path of the weights of a tag (downloaded) or of a local file."""
    if os.path.isfile(pretrained):
        return pretrained
    tag_config = open_clip.get_pretrained_cfg(name.replace("/", "-"), pretrained)
    if not tag_config:
        raise UnknownModel(
            f"{name} has no weights named {pretrained!r} and there is no such file. Known tags: {known_tags(name)}."
        )
    architecture, trained = activation_of(config), activation_of(tag_config)
    if trained != architecture:
        raise ActivationMismatch(mismatch(name, architecture, f"the weights '{pretrained}'", trained))
    try:
        with hub_or_cache():
            return open_clip.download_pretrained(tag_config)
    except Exception as error:  # hub clients raise many kinds; each means "could not be fetched"
        raise WeightsError(
            f"The weights '{pretrained}' of {name} could not be downloaded ({type(error).__name__}: {short(error)}). "
            "Check the network, or give --pretrained the path of a weights file that is already on disk."
        ) from error


def load_weights(model: Any, path: str, name: str, read: Callable[..., Any] = open_clip.load_checkpoint) -> None:
    """Load a state dict without ever running code from it. `read` is a library's function that loads one into a model:
    open_clip's or timm's `load_checkpoint`. Raises WeightsError."""
    if path.endswith((".npz", ".npy")):
        raise WeightsError(f"{path} is a NumPy file; give safetensors or a PyTorch state dict.")
    if not os.path.isfile(path):
        raise WeightsError(f"There is no weights file {path}; give the path of a safetensors file or a state dict.")
    try:
        read(model, path, strict=True, weights_only=True)
    except Exception as error:  # a damaged or hostile file can raise anything; all mean "unusable"
        text = str(error)
        if "weights_only" in text.lower() or "unpickl" in (type(error).__name__ + text).lower():
            raise WeightsError(
                f"{path} is a pickle that could run code when opened (or not a weights file at all), so it was not "
                "opened. Convert it, where you trust it, to safetensors: safetensors.torch.save_file(state_dict, ...)."
            ) from error
        if "size mismatch" in text or "Missing key" in text or "Unexpected key" in text:
            raise WeightsError(
                f"{path} does not hold the weights of {name}; give the model (--model, --models) that it was saved "
                f"from. {short(error)}"
            ) from error
        raise WeightsError(
            f"{path} could not be read as weights ({type(error).__name__}: {short(error)}); copy or download it again."
        ) from error
    check_finite(model, path)


def check_finite(model: nn.Module, source: str) -> None:
    """WeightsError if weights, just read from `source`, hold an infinity or a NaN."""
    broken = [key for key, value in model.state_dict().items() if not torch.isfinite(value.float()).all()]
    broken = [key for key in broken if not key.endswith("attn_mask")]  # the causal mask is -inf by design
    if broken:
        raise WeightsError(
            f"{source} holds values that are not finite, in {broken[0]}; the file is damaged: copy or download it "
            "again."
        )


def weights_digest(clip: nn.Module) -> str:
    """sha256 over names, shapes and values, so that the same weights in another file format have the same name."""
    digest = hashlib.sha256()
    for key, value in sorted(clip.state_dict().items()):
        array = value.detach().float().cpu().contiguous().numpy()
        digest.update(f"{key} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def mismatch(name: str, architecture: str, what: str, trained: str) -> str:
    """The sentence of an ActivationMismatch, with the architecture to use instead."""
    base = name.removesuffix("-quickgelu")
    right = f"{base}-quickgelu" if trained == "quickgelu" else base
    advice = (
        f"use --model {right}" if right in open_clip.list_models() else "choose an architecture with that activation"
    )
    return f"{name} computes {architecture}, but {what} were trained with {trained}: {advice}."


def known_tags(name: str) -> str:
    """open_clip's weights for an architecture, for a message."""
    return ", ".join(open_clip.list_pretrained_tags_by_model(name.replace("/", "-"))) or "none"


def short(error: Exception) -> str:
    """Another library's error on one line, cut to a readable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + "…"
