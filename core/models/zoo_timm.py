"""Members of the zoo through timm: CNNs and ViTs by name, from a weights file, or from a folder in local-dir format.

Which units are compared. Of a ViT the neurons of each block's MLP, as its second matrix reads them: after the GELU, or
of a gated MLP (SwiGLU) after the gate. Of a CNN the outputs of its stages from a quarter of the input's resolution on,
as timm's `feature_info` names them; in a ResNet these are layer1 to layer4, after the last ReLU.
"""

import difflib
import json
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from core.errors import UnknownModel, UnsupportedTower, WeightsError
from core.models.hub import hub_or_cache
from core.models.load import RANDOM_SEED, pick_device
from core.models.taps import Tap
from core.models.weights import check_finite, folder_weights, load_weights, short, weights_digest
from core.models.zoo_member import (
    RANDOM,
    SUPPORTED,
    About,
    MapLayer,
    TappedMember,
    channel_map,
    measured,
    taken,
    token_map,
)

STEM = 4  # stages at more than a quarter of the input's resolution are stems: edges and colours, in huge maps


@dataclass(frozen=True)
class TimmSource:
    """Which timm model: its name with or without a tag, or a `folder` in local-dir format; `overlay` replaces entries
    of timm's pretrained_cfg."""

    model: str
    folder: Path | None = None
    overlay: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tagged(self) -> bool:
        """Whether the weights are part of the name."""
        return "." in self.model or self.folder is not None or bool(self.overlay)


def load_timm(
    source: TimmSource, name: str, about: About, *, weights: str | None, device: str, allow_random_weights: bool
) -> TappedMember:
    """A timm model with the weights of a folder, of a local file, seeded random ones (only where the name carries no
    tag), or timm's own, downloaded. Raises UnknownModel, UnsupportedTower or WeightsError, each saying what to do."""
    where = pick_device(device)
    random = allow_random_weights and weights is None and not source.tagged
    if source.folder is not None:
        model = _create(f"local-dir:{source.folder}", source)
        load_weights(model, str(folder_weights(source.folder)), name, timm.models.load_checkpoint)
    else:
        fetch = weights is None and not random
        model = _fetch(source, about.source) if fetch else _create(source.model, source)
        if weights is not None:
            load_weights(model, weights, name, timm.models.load_checkpoint)
    model.eval().requires_grad_(False)
    preprocessing, size = _input(model, name)
    taps, depths = _taps(model, name)
    shapes = measured(taps, model.forward_features, size, name)
    layers = tuple(
        MapLayer(layer, units, grid, depth) for layer, depth, (units, grid) in zip(taps, depths, shapes, strict=True)
    )
    made = replace(about, family=about.family or f"{type(model).__name__} (timm)")
    return TappedMember(
        name=name,
        about=replace(made, training=RANDOM, licence="none") if random else made,
        layers=layers,
        taps=taps,
        forward=model.to(where).forward_features,
        lock=threading.Lock(),
        device=where,
        input_size=size,
        preprocessing=preprocessing,
        weights_digest=weights_digest(model),
        random_weights=random,
        bytes=taken(model),
    )


def timm_config(source: TimmSource) -> dict[str, Any]:
    """timm's pretrained_cfg of a name, or that of a folder's config.json: tag, licence, description, input.
    UnknownModel where there is none."""
    if source.folder is None:
        return _check_name(source).to_dict() | dict(source.overlay)
    path = source.folder / "config.json"
    try:
        stored = json.loads(path.read_text("utf-8"))
        found = stored.get("pretrained_cfg", stored)
        if not isinstance(found, dict) or not timm.is_model(stored["architecture"]):
            raise ValueError(f"its architecture {stored['architecture']!r} is not one of timm's")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnknownModel(f"{path} is not a timm model config: {error}.") from error
    return found


def _check_name(source: TimmSource) -> Any:
    """timm's PretrainedCfg of a name."""
    architecture, _, tag = source.model.partition(".")
    if not timm.is_model(architecture) or timm.models.get_pretrained_cfg(architecture) is None:  # None: an old name
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.3)
        raise UnknownModel(
            f"timm has no model named {architecture!r}. Did you mean {' or '.join(near) or 'one of the others'}? All: "
            "python -c 'import timm; print(timm.list_models(pretrained=True))'."
        )
    tags = [name for name in timm.models.get_arch_pretrained_cfgs(architecture) if name.startswith(f"{architecture}.")]
    if tag and source.model not in tags:
        raise UnknownModel(f"timm has no weights named {source.model!r}. It has {', '.join(tags) or 'none'}.")
    return timm.models.get_pretrained_cfg(source.model)


def _create(name: str, source: TimmSource) -> Any:
    """The architecture with seeded random weights."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(RANDOM_SEED)
        try:
            return timm.create_model(name, pretrained=False, pretrained_cfg_overlay=dict(source.overlay))
        except Exception as error:  # constructors raise whatever an impossible config makes them stumble on
            raise UnsupportedTower(f"timm could not build {name}: {short(error)}") from error


def _fetch(source: TimmSource, asked: str) -> Any:
    """The model with timm's weights, downloaded or from the cache, never unpickled."""
    give = f"give a weights file that is already on disk as {asked}=FILE"
    if not source.overlay and not _check_name(source).has_weights:
        raise WeightsError(
            f"timm has no weights for {source.model}: {give}, or add --allow-random-weights to look at an untrained "
            "model on purpose."
        )
    try:
        with hub_or_cache():
            model = timm.create_model(source.model, pretrained=True, pretrained_cfg_overlay=dict(source.overlay))
    except Exception as error:  # hub clients raise many kinds; each means "could not be fetched"
        raise WeightsError(
            f"The weights of {asked} could not be downloaded ({type(error).__name__}: {short(error)}). Check the "
            f"network, or {give}."
        ) from error
    check_finite(model, f"The download of {asked}")
    return model


def _input(model: Any, name: str) -> tuple[dict[str, Any], tuple[int, int]]:
    """Preprocessing (JSON types) and the input's rows and columns."""
    config = timm.data.resolve_model_data_config(model)
    channels, *size = config["input_size"]
    fixed = getattr(getattr(model, "patch_embed", None), "img_size", None)  # what its positional embeddings are for
    rows, columns = fixed or size
    if channels != 3:
        raise UnsupportedTower(f"{name} takes inputs of {channels} channels; RGB pictures have three.")
    how = config["interpolation"] if config["interpolation"] != "random" else "bicubic"  # "random" is for training
    return {
        "mean": list(config["mean"]),
        "std": list(config["std"]),
        "size": [rows, columns],
        "interpolation": how,
    }, (rows, columns)


def _taps(model: Any, name: str) -> tuple[dict[str, Tap], list[float]]:
    """What to read of each layer, by its name in the zoo, and each layer's depth."""
    blocks = list(getattr(model, "blocks", ()))
    if blocks and all(isinstance(getattr(getattr(block, "mlp", None), "fc2", None), nn.Linear) for block in blocks):
        grid = getattr(model.patch_embed, "grid_size", None) if hasattr(model, "patch_embed") else None
        if grid is None:
            raise UnsupportedTower(f"{name} has no grid of patch tokens of a fixed size. {SUPPORTED}")
        keep = token_map((grid[0], grid[1]), getattr(model, "num_prefix_tokens", 0))
        taps = {f"L{i}": Tap(block.mlp.fc2, "input", keep) for i, block in enumerate(blocks)}
        return taps, [(i + 1) / len(blocks) for i in range(len(blocks))]
    stages = [stage for stage in getattr(model, "feature_info", ()) if stage["reduction"] >= STEM]
    if not stages:
        raise UnsupportedTower(f"timm names no stages of {name} ('{type(model).__name__}'). {SUPPORTED}")
    try:
        modules = [model.get_submodule(stage["module"]) for stage in stages]
    except AttributeError as error:  # some models have their stages only while they run
        raise UnsupportedTower(f"{name} has no module for each of its stages: {error}. {SUPPORTED}") from error
    last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    taps = {
        f"layer{i}": Tap(module, "output", channel_map(stage["num_chs"], last))
        for i, (module, stage) in enumerate(zip(modules, stages, strict=True), 1)
    }
    ends = [sum(_blocks(module) for module in modules[: i + 1]) for i in range(len(modules))]
    return taps, [end / ends[-1] for end in ends]


def _blocks(stage: nn.Module) -> int:
    """Blocks of a stage: one where it is not a sequence of them."""
    inside = getattr(stage, "blocks", stage)
    return len(inside) if isinstance(inside, nn.Sequential | nn.ModuleList) else 1
