"""A precompute run without shards, streams or closed forms: all images at once, float64, open_clip's own loading."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

from core.images import decode
from core.models.taps import Tap, tapped
from tests.reference.plain_attention import own_share, pool_contributions, vit_residual_terms


@dataclass(frozen=True)
class PlainRun:
    """`unit_no`, `norm_n` of the images given; `heads_nlho` every head's contribution; `parts` the others, by name."""

    unit_no: np.ndarray
    norm_n: np.ndarray
    heads_nlho: np.ndarray
    parts: dict[str, np.ndarray]


def load_plain(folder: Path) -> tuple[Any, Any, Any]:
    """Model, preprocessing and tokenizer by open_clip's own calls."""
    name = f"local-dir:{folder}"
    clip, preprocess = open_clip.create_model_from_pretrained(name)
    return clip.eval().requires_grad_(False), preprocess, open_clip.get_tokenizer(name)


def plain_run(folder: Path, files: list[Path]) -> PlainRun:
    """Contributions of a ViT's heads, MLPs, attentions and embedding, or of a ResNet's pool."""
    clip, preprocess, _ = load_plain(folder)
    pixels = torch.stack([preprocess(decode(file.read_bytes())) for file in files])
    if hasattr(clip.visual, "attnpool"):
        return _resnet(clip.visual.double(), pixels.double())
    return _vit(clip.visual.double(), pixels)


def _vit(visual: Any, pixels: torch.Tensor) -> PlainRun:
    terms = vit_residual_terms(visual, pixels)
    final = terms["final"]
    representation = visual.ln_post(final) @ visual.proj
    norm = representation.norm(dim=-1)
    heads = own_share(visual, terms["attention"].sum(2), final)
    bias = own_share(visual, terms["bias"].expand(len(final), -1, -1), final)
    attention, mlp = heads.sum(2) + bias, own_share(visual, terms["mlp"], final)
    parts = {"embedding": own_share(visual, terms["embedding"], final)}
    parts |= {f"attention L{i}": attention[:, i] for i in range(attention.shape[1])}
    parts |= {f"mlp L{i}": mlp[:, i] for i in range(mlp.shape[1])}
    parts["offset"] = (visual.ln_post.bias @ visual.proj) / norm[:, None]
    return PlainRun(
        (representation / norm[:, None]).numpy(),
        norm.numpy(),
        heads.numpy(),
        {name: part.numpy() for name, part in parts.items()},
    )


def _resnet(visual: Any, pixels: torch.Tensor) -> PlainRun:
    with tapped({"map": Tap(visual.attnpool, "input")}) as seen:
        representation = visual(pixels)
    norm = representation.norm(dim=-1)
    heads = pool_contributions(visual.attnpool, seen["map"]).sum(1) / norm[:, None, None]
    unit = (representation / norm[:, None]).numpy()
    return PlainRun(unit, norm.numpy(), heads[:, None].numpy(), {"attention L0": unit})


class PlainTexts:
    """`encode_texts` with all of the padding, one text at a time."""

    def __init__(self, folder: Path) -> None:
        self.clip, _, self.tokenizer = load_plain(folder)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        rows = [self.clip.encode_text(self.tokenizer([text]))[0].numpy() for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows])
