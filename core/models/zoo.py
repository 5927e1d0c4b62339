"""The zoo: models of many kinds by name, each turning pictures into maps of its units (`Member`).

A spec names a model, and may give its weights: NAME or NAME=FILE. A NAME is one of `zoo_names()`, `timm:ANY_TIMM_NAME`,
open_clip's `ARCH:TAG` (or `ARCH=FILE`), or a folder in timm's or open_clip's local-dir format.
"""

import difflib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip

from core.errors import ModelError, UnknownModel, WeightsError
from core.models.load import DEMO_MODELS, load_model
from core.models.weights import known_tags
from core.models.zoo_clip import clip_member
from core.models.zoo_known import CAPTIONS, DEMO, KNOWN, Known, is_clip, is_timm, local_folder, zoo_names
from core.models.zoo_member import RANDOM, About, MapLayer, Member, TappedMember, square
from core.models.zoo_timm import TimmSource, load_timm, timm_config

__all__ = [
    "MapLayer",
    "Member",
    "load_member",
    "load_recorded_member",
    "load_zoo",
    "square",
    "zoo_names",
]

_OF_FILE = "that of the weights file, which is not known here"
_UNKNOWN = "not stated: see whoever published the weights"


def load_member(
    spec: str,
    *,
    weights: str | None = None,
    device: str = "auto",
    allow_random_weights: bool = False,
    name: str | None = None,
) -> Member:
    """A model of the zoo, fp32.

    `weights` is a local file (safetensors, or a state dict read with weights_only), which may also stand in the spec as
    NAME=FILE. `allow_random_weights` makes seeded random ones of `timm:NAME` and of open_clip's architectures where
    neither a tag nor a file is given: a name that stands for weights never loses them. Raises UnknownModel,
    UnsupportedTower, ActivationMismatch or WeightsError, each saying what to do.
    """
    if weights is None:
        spec, weights = _split(spec)
    called = name or _name(spec)
    if not re.fullmatch(r"[a-z0-9._-]+", called):
        raise ModelError(f"A member cannot be called {called!r}; use lower-case letters, digits and . _ -")
    known, folder = KNOWN.get(spec), local_folder(spec)
    if weights is not None and folder is not None:
        raise WeightsError(f"{spec} brings its own weights; leave out ={weights}.")
    if weights is not None and not os.path.isfile(weights):
        raise WeightsError(f"There is no weights file {weights} for {spec}; give safetensors or a PyTorch state dict.")
    options: dict[str, Any] = {"weights": weights, "device": device, "allow_random_weights": allow_random_weights}
    if known is not None and known.clip:
        return _clip(spec, known.model, called, known, **options)
    if known is not None:
        about = About(spec, _file(weights), known.family, known.training, known.licence)
        return load_timm(TimmSource(known.model, overlay=known.overlay), called, about, **options)
    if folder is not None and is_clip(folder):
        return _clip(spec, spec, called, None, **options)
    if folder is not None and is_timm(folder):
        return _timm(spec, TimmSource("", folder), called, **options)
    if spec.startswith("timm:"):
        return _timm(spec, TimmSource(spec.removeprefix("timm:")), called, **options)
    if open_clip.get_model_config(spec.split(":")[0].replace("/", "-")) is not None:
        return _clip(spec, spec, called, None, **options)
    raise UnknownModel(_unknown(spec))


def load_zoo(specs: Sequence[str], *, device: str = "auto", allow_random_weights: bool = False) -> list[Member]:
    """Members for specs NAME or NAME=FILE, in order, each under a name of its own: of two of one NAME with two files,
    the files' names tell them apart. Raises as `load_member` does, and ModelError for a model that is there twice."""
    names = [_name(_split(spec)[0]) for spec in specs]
    clashing = {name for name, count in Counter(names).items() if count > 1}
    for i, spec in enumerate(specs):
        weights = _split(spec)[1]
        if names[i] in clashing and weights is not None:
            names[i] = _safe(f"{names[i]}-{Path(weights).stem}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ModelError(
            f"Two members would be called {twice[0]}: leave one out, or rename its weights file or folder."
        )
    members: list[Member] = []
    digests: dict[str, str] = {}
    for spec, name in zip(specs, names, strict=True):
        member = load_member(spec, name=name, device=device, allow_random_weights=allow_random_weights)
        same = digests.setdefault(member.facts()["weights_digest"], name)
        if same != name:
            raise ModelError(f"{same} and {name} are one model, with the same weights: leave one out.")
        members.append(member)
    return members


def load_recorded_member(
    facts: Mapping[str, Any], *, device: str = "auto", source: str | None = None, weights: str | None = None
) -> Member:
    """The member that a dictionary records (`Member.facts`). `source` and `weights` say where it lies now, if it was
    moved: of a local weights file only the name is recorded. Raises as `load_member`, and WeightsError when its weights
    are others now."""
    name, weights = facts["name"], weights or facts["weights"]
    if weights is not None and not os.path.isfile(weights):
        raise WeightsError(
            f"{name} was made with the weights file {weights}, which is not here: say where it lies now."
        )
    member = load_member(
        source or facts["source"],
        weights=weights,
        device=device,
        allow_random_weights=facts["random_weights"],
        name=name,
    )
    if member.facts()["weights_digest"] != facts["weights_digest"]:
        raise WeightsError(
            f"{name} ({source or facts['source']}) has other weights now than the model that was recorded: put back "
            "the old ones, or make the dictionary anew."
        )
    return member


def _timm(spec: str, source: TimmSource, name: str, **options: Any) -> TappedMember:
    """A timm model that is not in our list: what it is, is said by its pretrained_cfg."""
    config, weights = timm_config(source), options["weights"]
    family, training = DEMO.get(spec, ("", ""))
    tag = f"timm's weights {config.get('tag') or 'without a name'}"
    training = training or config.get("description") or (tag if source.folder is None else "not stated")
    licence = (config.get("license") or "").upper() or _UNKNOWN
    if weights is not None:
        training, licence = f"the weights file {_file(weights)}", _OF_FILE
    return load_timm(source, name, About(spec, _file(weights), family, training, licence), **options)


def _clip(
    spec: str,
    model: str,
    name: str,
    known: Known | None,
    *,
    weights: str | None,
    device: str,
    allow_random_weights: bool,
) -> TappedMember:
    folder = local_folder(model)
    architecture, _, tag = (model, "", "") if folder is not None else model.partition(":")
    pretrained = weights or tag or None
    if pretrained is None and not allow_random_weights and folder is None:
        raise WeightsError(
            f"{spec} was given no weights. Write {spec}:TAG (known: {known_tags(architecture)}), {spec}=FILE, or add "
            "--allow-random-weights to look at an untrained model on purpose."
        )
    try:
        loaded = load_model(architecture, pretrained, device=device, allow_random_weights=allow_random_weights)
    except WeightsError as error:
        if folder is not None or weights is not None:
            raise
        raise WeightsError(f"{error} Among several models, that is {spec.split(':')[0]}=FILE.") from error
    family = "CLIP ViT" if loaded.tower.kind == "vit" else "CLIP ResNet"
    if known is not None:
        about = About(spec, _file(weights), family, known.training, known.licence)
    elif loaded.random_weights:
        about = About(spec, None, family, RANDOM, "none")
    elif folder is not None and folder.parent == DEMO_MODELS:
        about = About(spec, None, family, "images of the demo world with their captions", "MIT")
    else:
        what = tag or (f"the weights file {_file(weights)}" if weights else None)
        about = About(spec, _file(weights), family, f"{CAPTIONS} ({what})" if what else CAPTIONS, _UNKNOWN)
    return clip_member(loaded, name, about)


def _split(spec: str) -> tuple[str, str | None]:
    """NAME and FILE of NAME=FILE."""
    name, equals, weights = spec.partition("=")
    if not equals or os.path.isdir(spec):
        return spec, None
    if not name or not weights:
        raise ModelError(f"{spec!r} is not NAME=FILE; give a model's name, an equals sign and its weights file.")
    return name, weights


def _name(spec: str) -> str:
    folder = local_folder(spec)
    return _safe(folder.resolve().name if folder is not None else spec.removeprefix("timm:"))


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-")


def _file(weights: str | None) -> str | None:
    """Of a file the name, not the place."""
    return weights and Path(weights).name


def _unknown(spec: str) -> str:
    if os.path.isdir(spec):
        return f"The folder {spec} holds neither config.json (timm's local-dir format) nor open_clip_config.json."
    names = list(zoo_names())
    near = difflib.get_close_matches(spec, [*names, *open_clip.list_models()], n=3, cutoff=0.3)
    return (
        f"There is no model named {spec!r} in the zoo. Did you mean {' or '.join(near) or 'one of these'}? Names: "
        f"{', '.join(names)}; timm:NAME for any model of timm; ARCH:TAG for any of open_clip; or a folder."
    )
