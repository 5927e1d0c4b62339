"""How the demo models are built and optimised: compact vocabulary, initialisation, phases, optimisers, losses.

Training has two stages on one clock, `progress` in 0..1: the image tower alone with linear classifiers on its unit
embedding (stage 1), then both towers, the texts of the factors being the classifiers (stage 2).
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import CLIP, SimpleTokenizer
from open_clip.transformer import PatchDropout, VisionTransformer
from torch import Tensor, nn

from demo.captions import FACTORS, all_words, factor_texts
from demo.stream import matches

MODELS = Path(__file__).parent / "models"
NAMES = ("demo-vit", "demo-rn")
SECOND = {"demo-vit-2": "demo-vit"}  # another seed of the same recipe
CLIP_NAMES = (*NAMES, *SECOND)
WEIGHT = {"object": 1.0, "place": 0.5, "style": 0.3, "count": 0.5, "category": 0.2}  # of each factor's loss
SMOOTHING = 0.02


@dataclass(frozen=True)
class Phase:
    """Until `end` of progress: input side in pixels, share of patch tokens dropped, batch size, and whether pictures
    are drawn at the sides of the shipped images and reduced (slower) or at the input size."""

    end: float
    pixels: int
    dropout: float
    batch: int
    shipped: bool = True


# Few tokens first: small inputs for the ResNet (its last map is pixels / 32 a side), dropped patches for the ViT.
PHASES = {
    "demo-vit": (
        Phase(0.4, 64, 0.5, 64, shipped=False),
        Phase(0.62, 64, 0.25, 64),
        Phase(1.0, 64, 0.0, 128),
    ),
    "demo-rn": (
        Phase(0.25, 64, 0.0, 64, shipped=False),
        Phase(0.45, 96, 0.0, 64),
        Phase(0.65, 128, 0.0, 64),
        Phase(1.0, 128, 0.0, 128),
    ),
}


def model_config(name: str) -> dict[str, Any]:
    """The `model_cfg` of a demo model, as open_clip takes it."""
    return json.loads((MODELS / name / "open_clip_config.json").read_text())["model_cfg"]


@lru_cache(maxsize=2)
def _tokenizer(context: int) -> SimpleTokenizer:
    return SimpleTokenizer(context_length=context)  # reads its vocabulary file: a third of a second


@lru_cache(maxsize=1)
def token_ids() -> Tensor:
    """Ids, ascending, of all tokens that training can meet, padding and end of text included; int64 [v]."""
    return torch.unique(_tokenizer(24)(all_words()))


@lru_cache(maxsize=16384)
def _tokenize(text: str, context: int) -> Tensor:
    ids = _tokenizer(context)([text])[0]
    rows = torch.searchsorted(token_ids(), ids)
    if not torch.equal(token_ids()[rows.clamp(max=len(token_ids()) - 1)], ids):
        raise AssertionError(f"a word of {text!r} is missing from demo.captions.all_words")
    return rows


def tokenize(texts: list[str], context: int) -> Tensor:
    """Rows of the compact embedding table, int64 [n, context]. The order of ids, hence the end token, is kept."""
    return torch.stack([_tokenize(text, context) for text in texts])


def dct_filters(patch: int) -> Tensor:
    """All DCT-II basis pictures of a patch for each opponent colour, [3 * patch**2, 3, patch, patch], gain rising with
    frequency to even out the spectrum of natural edges: a lossless, decorrelated start for the patch embedding."""
    steps = torch.arange(patch, dtype=torch.float32)
    basis = torch.cos(math.pi / patch * (steps[None, :] + 0.5) * steps[:, None]) * math.sqrt(2 / patch)
    basis[0] /= math.sqrt(2)
    gain = 0.25 * (1 + steps[:, None] + steps[None, :])
    pictures = torch.einsum("ux,vy,uv->uvxy", basis, basis, gain).reshape(patch**2, 1, patch, patch)
    colours = torch.tensor([[1.0, 1, 1], [1, 0, -1], [0.5, -1, 0.5]])
    colours = colours / colours.norm(dim=1, keepdim=True)
    return (pictures[:, None] * colours[None, :, :, None, None]).reshape(-1, 3, patch, patch)


def build(name: str, seed: int) -> CLIP:
    """The model with the compact vocabulary and a start that learns fast; the architecture is open_clip's own."""
    torch.manual_seed(seed)
    config = model_config(name)
    config["text_cfg"] = config["text_cfg"] | {"vocab_size": len(token_ids())}
    vision = config["vision_cfg"]
    model = CLIP(**config)
    visual = model.visual
    if isinstance(visual, VisionTransformer):
        with torch.no_grad():
            visual.conv1.weight.copy_(dct_filters(vision["patch_size"])[: vision["width"]])
            visual.positional_embedding.normal_(std=0.3)
            visual.class_embedding.normal_(std=0.3)
            for block in visual.transformer.resblocks:  # residual branches start silent
                nn.init.zeros_(block.attn.out_proj.weight)
                nn.init.zeros_(block.mlp.c_proj.weight)
    else:
        resize_pool(model, PHASES[name][0].pixels // 32)
    return model


def resize_pool(model: CLIP, side: int) -> None:
    """Fit the ResNet's attention pool to a final map of side x side, interpolating its position embedding in place."""
    pool = model.visual.attnpool
    old = pool.positional_embedding.detach()
    grid = round(math.sqrt(len(old) - 1))
    if grid != side:
        body = old[1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        body = F.interpolate(body, size=(side, side), mode="bilinear", align_corners=False)
        new = torch.cat([old[:1], body.permute(0, 2, 3, 1).reshape(side * side, -1)])
        pool.positional_embedding = nn.Parameter(new)


def enter_phase(model: CLIP, phase: Phase) -> None:
    """Set the patch dropout or the input size that the phase asks for."""
    if isinstance(model.visual, VisionTransformer):
        model.visual.patch_dropout = PatchDropout(phase.dropout) if phase.dropout else nn.Identity()
    else:
        resize_pool(model, phase.pixels // 32)


class Classifiers(nn.Module):
    """Stage 1's unit directions, one a class of each factor, [classes, embed_dim] each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.directions = nn.ParameterDict(
            {
                factor: nn.Parameter(torch.randn(len(names), width) / math.sqrt(width))
                for factor, names in FACTORS.items()
            }
        )

    def forward(self) -> dict[str, Tensor]:
        return {factor: F.normalize(self.directions[factor], dim=-1) for factor in FACTORS}  # torch sorts the keys


def optimizers(model: CLIP, classifiers: Classifiers, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the ViT's hidden matrices, AdamW for all else."""
    hidden, decayed, plain = list[nn.Parameter](), list[nn.Parameter](), list[nn.Parameter]()
    for key, weight in [*model.named_parameters(), *classifiers.named_parameters()]:
        if muon_lr and weight.ndim == 2 and ".resblocks." in key and key.startswith("visual"):
            hidden.append(weight)
        elif weight.ndim >= 2 and "embedding" not in key and "directions" not in key:
            decayed.append(weight)
        else:
            plain.append(weight)
    return grouped(hidden, decayed, plain, muon_lr, adam_lr)


def grouped(
    hidden: list[nn.Parameter], decayed: list[nn.Parameter], plain: list[nn.Parameter], muon_lr: float, adam_lr: float
) -> list[torch.optim.Optimizer]:
    """Muon for `hidden` if any, AdamW with and without decay. Each group carries its peak rate as `peak`."""
    groups = [
        {"params": decayed, "lr": adam_lr, "weight_decay": 0.05, "peak": adam_lr},
        {"params": plain, "lr": adam_lr, "weight_decay": 0.0, "peak": adam_lr},
    ]
    result: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8)]
    if hidden:
        muon = torch.optim.Muon(hidden, lr=muon_lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
        muon.param_groups[0]["peak"] = muon_lr
        result.append(muon)
    return result


def rate(progress: float, steps: int, warmup: int = 60) -> float:
    """Share of the peak learning rate: linear warm-up over steps, then half a cosine to zero over progress."""
    return min(1.0, (steps + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def factor_loss(image: Tensor, classes: dict[str, Tensor], scale: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """Weighted sum over factors of the cross-entropy of scaled cosines; image: unit [b, d]; classes: unit [c, d]."""
    losses = [
        WEIGHT[factor] * F.cross_entropy(scale * image @ classes[factor].T, target, label_smoothing=SMOOTHING)
        for factor, target in targets.items()
    ]
    return torch.stack(losses).sum()


def caption_loss(image: Tensor, text: Tensor, scale: Tensor, match: Tensor) -> Tensor:
    """Contrastive loss, both ways, uniform over all true pairs. match: bool [texts, images]."""
    logits = scale * text @ image.T
    weight = match.to(logits.dtype)
    rows = F.cross_entropy(logits, weight / weight.sum(1, keepdim=True))
    return (rows + F.cross_entropy(logits.T, (weight / weight.sum(0)).T)) / 2


def encode(model: CLIP, texts: list[str]) -> Tensor:
    """Unit text embeddings, float32 [n, d], of texts in the compact vocabulary."""
    device = model.logit_scale.device
    return F.normalize(model.encode_text(tokenize(texts, model.context_length).to(device)).float(), dim=-1)


def sample_prompts(rng: np.random.Generator) -> tuple[list[str], list[int]]:
    """One random paraphrase of every class of every factor, and the number of classes of each factor."""
    texts = [options[int(rng.integers(len(options)))] for classes in factor_texts().values() for options in classes]
    return texts, [len(names) for names in FACTORS.values()]


def by_factor(embeddings: Tensor, sizes: list[int]) -> dict[str, Tensor]:
    """Split the rows of `sample_prompts` back into factors."""
    return dict(zip(FACTORS, embeddings.split(sizes), strict=True))


def joint_loss(model: CLIP, batch: Any, image: Tensor, rng: np.random.Generator) -> Tensor:
    """Stage 2: factor prompts as classifiers, plus the captions of the batch."""
    prompts, sizes = sample_prompts(rng)
    texts = encode(model, [*prompts, *batch.texts])
    scale = model.logit_scale.exp()
    targets = {factor: target.to(image.device) for factor, target in batch.targets.items()}
    match = matches(batch.claims, batch.targets).to(image.device)
    classes = by_factor(texts[: len(prompts)], sizes)
    return factor_loss(image, classes, scale, targets) + 0.5 * caption_loss(image, texts[len(prompts) :], scale, match)


def caption_aims(claims: list[Any], classes: dict[str, Tensor]) -> Tensor:
    """Where captions should point before joint training: the unit sum of the directions of all they assert."""
    rows = []
    for claim in claims:
        parts = [classes["object"][list(claim.objects)].mean(0)] if claim.objects else []
        for factor in ("place", "style", "count", "category"):
            value = getattr(claim, factor)
            if value is not None:
                parts.append(classes[factor][value])
        rows.append(torch.stack(parts).sum(0))
    return F.normalize(torch.stack(rows), dim=-1)
