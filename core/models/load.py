"""Loading a CLIP model by name, through open_clip, with every silent mistake of loading turned into an error.

open_clip only logs that a model is randomly initialised or that weights and architecture disagree on QuickGELU; either
gives wrong numbers that look right, so here both are errors.
"""

import difflib
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from core.errors import ActivationMismatch, UnknownModel, UnsupportedTower, WeightsError
from core.models.modified_resnet import ModifiedResNetTower
from core.models.openclip_vit import OpenClipViT
from core.models.text import TextTower
from core.models.tower import Tower
from core.models.weights import (
    activation_of,
    folder_weights,
    known_tags,
    load_weights,
    mismatch,
    resolve_weights,
    short,
    weights_digest,
)

DEMO_MODELS = Path(__file__).resolve().parents[2] / "demo" / "models"
RANDOM_SEED = 0  # random weights are seeded, so that the same command names the same bundle
PRECISIONS = ("fp32", "bf16", "fp16")
DEVICES = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True)
class LoadedModel:
    """A CLIP model ready to use. `digest` names its numbers: architecture, weights, activation and precision."""

    name: str
    pretrained: str | None
    clip: Any
    tower: Tower
    text: TextTower
    transform: Callable[[Image.Image], Tensor]
    preprocessing: dict[str, Any]
    config: dict[str, Any]
    weights_digest: str
    random_weights: bool
    activation: str
    device: torch.device
    precision: str

    @property
    def digest(self) -> str:
        facts = [self.config, self.weights_digest, self.activation, self.precision, self.preprocessing]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=list).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """What a bundle records of its model (fields `model.*` of core/bundle/schema.py). JSON types only."""
        tower = self.tower
        return {
            "name": self.name,
            "pretrained": self.pretrained and Path(self.pretrained).name,  # of a file the name, not the place
            "weights_digest": self.weights_digest,
            "random_weights": self.random_weights,
            "activation": self.activation,
            "tower": tower.kind,
            "preprocessing": self.preprocessing,
            "layers": tower.layers,
            "heads": tower.heads,
            "head_width": tower.head_width,
            "width": tower.width,
            "out": tower.out_dim,
            "precision": self.precision,
            "details": {
                "config": self.config,
                "grid": list(tower.grid),
                "logit_scale": float(self.clip.logit_scale.detach().float().exp()),
                "probe": self.probe(),
            },
        }

    @property
    def input_size(self) -> tuple[int, int]:
        """Rows and columns of what the model sees."""
        size = self.preprocessing["size"]
        return (size[0], size[1]) if isinstance(size, list | tuple) else (size, size)

    def probe(self) -> list[float]:
        """The first entries of the unit representation of a fixed noise image: a golden vector by which a live model
        is recognised as the one that made a bundle (equal to rounding on any machine)."""
        noise = torch.randn(1, 3, *self.input_size, generator=torch.Generator().manual_seed(0))
        trace = self.tower.trace(noise.to(self.device), ())
        return [round(float(x), 6) for x in (trace.representation_bo / trace.norm_b[:, None])[0, :8]]

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit-norm text embeddings, float32 (n, o)."""
        return self.text.encode(texts)

    def moved(self, device: torch.device) -> "LoadedModel":
        """This model on another device. Its weights are moved, not copied: use the old one no more."""
        clip = self.clip.to(device)
        tower = type(self.tower)(clip.visual)  # type: ignore[call-arg]  # a Protocol has no constructor
        return replace(self, clip=clip, tower=tower, text=self.text.moved(device), device=device)

    def batch(self, images: Sequence[Image.Image]) -> Tensor:
        """Preprocessed images (b, 3, s, s) on the model's device."""
        return torch.stack([self.transform(image) for image in images]).to(self.device)


def load_recorded(
    made: Mapping[str, Any], *, name: str | None = None, pretrained: str | None = None, device: str = "auto"
) -> LoadedModel:
    """The model that a bundle records (`LoadedModel.facts`, the field `model` of bundle.json); `name` and `pretrained`
    say where it lies now, if it was moved. Raises as `load_model`; whether the weights are the same is for the caller
    to check, by `weights_digest`."""
    return load_model(
        name or made["name"],
        pretrained or made["pretrained"],
        device=device,
        precision=made["precision"],
        activation=made["activation"],
        allow_random_weights=made["random_weights"],
    )


def load_model(
    name: str,
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str = "fp32",
    activation: str | None = None,
    allow_random_weights: bool = False,
) -> LoadedModel:
    """Load a model by open_clip name, by demo name, or from a folder in open_clip's local-dir format.

    `pretrained` is an open_clip tag or a local weights file (safetensors, or a plain state dict that `torch.load` reads
    with weights_only). `activation` ("gelu" or "quickgelu") states what a local file was trained with. Raises
    UnknownModel, UnsupportedTower, ActivationMismatch or WeightsError, each saying what to do.
    """
    if precision not in PRECISIONS:
        raise UnknownModel(f"Precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}.")
    where = pick_device(device)
    folder = _local_folder(name)
    config, preprocess = _architecture(name, folder)
    random = False
    if folder is not None:
        if pretrained:
            raise WeightsError(f"{name} brings its own weights; leave out --pretrained {pretrained}.")
        weights: str | None = str(folder_weights(folder))
    elif pretrained:
        weights = resolve_weights(name, pretrained, config)
    elif allow_random_weights:
        weights, random = None, True
    else:
        raise WeightsError(
            f"{name} was given no weights. Add --pretrained TAG (known: {known_tags(name)}), --pretrained FILE, or "
            "--allow-random-weights to look at an untrained model on purpose."
        )
    architecture = activation_of(config)
    if activation is not None and activation != architecture:
        raise ActivationMismatch(mismatch(name, architecture, f"the weights ({pretrained or name})", activation))
    clip = _create(name if folder is None else f"local-dir:{folder}", precision)
    if weights is not None:
        load_weights(clip, weights, name)
    clip = clip.to(where).eval().requires_grad_(False)
    if not random and folder is None and pretrained and not os.path.isfile(pretrained):
        tag_config = open_clip.get_pretrained_cfg(name.replace("/", "-"), pretrained) or {}
        preprocess |= {key: tag_config[key] for key in preprocess if key in tag_config}
    preprocess["size"] = clip.visual.image_size
    return LoadedModel(
        name=name,
        pretrained=pretrained,
        clip=clip,
        tower=_tower(clip, name),
        text=TextTower(clip, open_clip.get_tokenizer(name if folder is None else f"local-dir:{folder}"), where),
        transform=image_transform_v2(PreprocessCfg(**preprocess), is_train=False),
        preprocessing=json.loads(json.dumps(preprocess)),
        config=config,
        weights_digest=weights_digest(clip),
        random_weights=random,
        activation=architecture,
        device=where,
        precision=precision,
    )


def pick_device(device: str) -> torch.device:
    """ "auto" is CUDA, else Apple's MPS, else the CPU. Raises UnknownModel for a device that is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there.get(device.split(":")[0], False):
        raise UnknownModel(f"Device {device!r} is not available here; use --device auto or cpu.")
    return torch.device(device)


def demo_models() -> tuple[str, ...]:
    """Names of the models that ship with Unitscope."""
    return tuple(sorted(path.parent.name for path in DEMO_MODELS.glob("*/open_clip_config.json")))


def _local_folder(name: str) -> Path | None:
    if name in demo_models():
        return DEMO_MODELS / name
    folder = Path(name)
    return folder if (folder / "open_clip_config.json").is_file() else None


def _architecture(name: str, folder: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's model config and the preprocessing that belongs to it, before weights are considered."""
    preprocess = {**vars(PreprocessCfg())}
    if folder is None:
        config = open_clip.get_model_config(name.replace("/", "-"))
        if config is None:
            near = _nearest(name, [*demo_models(), *open_clip.list_models()])
            raise UnknownModel(
                f"There is no model named {name!r}. Did you mean {near}? Models that ship with Unitscope: "
                f"{', '.join(demo_models())}; the rest: "
                "python -c 'import open_clip; print(open_clip.list_models())'."
            )
        return config, preprocess
    try:
        stored = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
        config = stored["model_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnknownModel(f"{folder}/open_clip_config.json is not an open_clip model config: {error}.") from error
    preprocess |= {key: value for key, value in stored.get("preprocess_cfg", {}).items() if key in preprocess}
    return config, preprocess


def _create(name: str, precision: str) -> Any:
    """The architecture with seeded random weights. open_clip's warnings about them are answered by our own checks."""
    with warnings.catch_warnings(), _quiet(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(RANDOM_SEED)
        try:
            return open_clip.create_model(
                name, precision=precision, load_weights=False, pretrained_text=False, pretrained_image=False
            )
        except Exception as error:  # constructors raise whatever an impossible config makes them stumble on
            raise UnsupportedTower(f"open_clip could not build {name}: {short(error)}") from error


def _tower(clip: Any, name: str) -> Tower:
    kind = type(clip.visual).__name__
    if kind == "VisionTransformer":
        return OpenClipViT(clip.visual)
    if kind == "ModifiedResNet":
        return ModifiedResNetTower(clip.visual)
    raise UnsupportedTower(
        f"The image encoder of {name} is a '{kind}', which cannot be decomposed. Supported are open_clip's "
        "VisionTransformer with class-token pooling (ViT-B-32, ViT-L-14, ...) and ModifiedResNet (RN50, RN50x16, ...)."
    )


def _nearest(name: str, names: list[str]) -> str:
    return " or ".join(difflib.get_close_matches(name, names, n=3, cutoff=0.3)) or "one of them"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's log lines, which go to the root logger, for the duration."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
