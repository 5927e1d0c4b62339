"""How the demo zoo's models without texts are built and what they learn from: timm architectures, trained anew.

demo-cnn is class-supervised: a ResNet that learns the names of objects and nothing else. demo-mae is a masked
autoencoder (He et al., Masked Autoencoders Are Scalable Vision Learners, 2022): a ViT that learns from pixels alone.
"""

import json
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from demo import recipe
from demo.recipe import MODELS, SMOOTHING, dct_filters
from demo.stream import MEAN, STD

NAMES = ("demo-cnn", "demo-mae")
BATCH = {"demo-cnn": 64, "demo-mae": 128}
MASKED = 0.75  # share of the patches that the autoencoder must guess
DECODER = {"dim": 96, "depth": 2, "heads": 3}


def config(name: str) -> dict[str, Any]:
    """The model's config.json, in timm's own format."""
    return json.loads((MODELS / name / "config.json").read_text("utf-8"))


def architecture(name: str) -> nn.Module:
    """The model as timm makes it, weights by chance."""
    told = config(name)
    return timm.create_model(told["architecture"], num_classes=told["num_classes"], **told["model_args"])


def network_input(pictures: Tensor) -> Tensor:
    """uint8 [b, p, p, 3] to the models' input, float32 [b, 3, p, p]."""
    return pictures.permute(0, 3, 1, 2).float().div_(255).sub_(MEAN).div_(STD)


class Supervised(nn.Module):
    """A classifier of objects; `member` is what is shipped."""

    def __init__(self, member: nn.Module) -> None:
        super().__init__()
        self.member = member.to(memory_format=torch.channels_last)

    def loss(self, images: Tensor, shares: Tensor, random: torch.Generator) -> Tensor:
        """Cross-entropy with the share of each object in the scene; images [b, 3, p, p], shares [b, objects]."""
        with torch.autocast(images.device.type, torch.bfloat16):
            logits = self.member(images.contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), shares, label_smoothing=SMOOTHING)


class MaskedAutoencoder(nn.Module):
    """A ViT that sees a quarter of the patches, and a small decoder that must draw the rest; `member` is shipped."""

    def __init__(self, member: VisionTransformer) -> None:
        super().__init__()
        self.member = member
        patches, width = member.patch_embed.num_patches, member.embed_dim
        self.side = member.patch_embed.patch_size[0]
        assert member.cls_token is not None and member.pos_embed is not None
        self.enter = nn.Linear(width, DECODER["dim"])
        self.hidden = nn.Parameter(torch.zeros(DECODER["dim"]))
        self.positions = nn.Parameter(0.3 * torch.randn(1 + patches, DECODER["dim"]))
        self.decoder = nn.Sequential(*(Block(DECODER["dim"], DECODER["heads"]) for _ in range(DECODER["depth"])))
        self.leave = nn.Sequential(nn.LayerNorm(DECODER["dim"]), nn.Linear(DECODER["dim"], 3 * self.side**2))
        with torch.no_grad():
            member.patch_embed.proj.weight.copy_(dct_filters(self.side)[:width])
            member.pos_embed.normal_(std=0.3)
            member.cls_token.normal_(std=0.3)
            for block in (*member.blocks, *self.decoder):  # residual branches start silent
                nn.init.zeros_(block.attn.proj.weight)
                nn.init.zeros_(block.mlp.fc2.weight)

    def encode(self, images: Tensor, seen: Tensor) -> Tensor:
        """The encoder's tokens of the patches `seen` (int64 [b, s]), the class token first: [b, 1 + s, width]."""
        position, class_token = self.member.pos_embed, self.member.cls_token
        assert position is not None and class_token is not None
        tokens = self.member.patch_embed(images) + position[:, 1:]
        tokens = tokens.gather(1, seen[..., None].expand(-1, -1, tokens.shape[-1]))
        first = (class_token + position[:, :1]).expand(len(tokens), -1, -1)
        return self.member.norm(self.member.blocks(torch.cat([first, tokens], dim=1)))

    def forward(self, images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """The patches drawn from what is seen, [b, patches, 3 side^2], and which were hidden, bool [b, patches]."""
        patches = self.member.patch_embed.num_patches
        order = torch.rand(len(images), patches, generator=random).argsort(1).to(images.device)
        seen = order[:, : round(patches * (1 - MASKED))]
        with torch.autocast(images.device.type, torch.bfloat16):
            known = self.enter(self.encode(images, seen))
            full = self.hidden.to(known.dtype).expand(len(images), patches, -1)
            full = full.scatter(1, seen[..., None].expand(-1, -1, known.shape[-1]), known[:, 1:])
            drawn = self.leave(self.decoder(torch.cat([known[:, :1], full], dim=1) + self.positions))[:, 1:]
        hidden = torch.ones(len(images), patches, dtype=torch.bool, device=images.device).scatter(1, seen, False)
        return drawn.float(), hidden

    def aims(self, images: Tensor) -> Tensor:
        """What is to be drawn: each patch's pixels less their mean, over their deviation; [b, patches, 3 side^2]."""
        grid = F.unfold(images, self.side, stride=self.side).transpose(1, 2)
        mean, variance = grid.mean(-1, keepdim=True), grid.var(-1, keepdim=True)
        return (grid - mean) / (variance + 1e-4).sqrt()

    def loss(self, images: Tensor, shares: Tensor, random: torch.Generator) -> Tensor:
        """Mean squared error on the hidden patches; the labels are not looked at. About 1 for a flat guess."""
        drawn, hidden = self(images, random)
        return (drawn - self.aims(images)).square().mean(-1)[hidden].mean()


Learner = Supervised | MaskedAutoencoder


def learner(name: str, seed: int) -> Learner:
    """The model in what trains it."""
    torch.manual_seed(seed)
    member = architecture(name)
    return MaskedAutoencoder(member) if isinstance(member, VisionTransformer) else Supervised(member)


def optimizers(model: nn.Module, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside transformer blocks, AdamW for all else."""
    hidden, decayed, plain = list[nn.Parameter](), list[nn.Parameter](), list[nn.Parameter]()
    for key, weight in model.named_parameters():
        if muon_lr and weight.ndim == 2 and (".attn." in key or ".mlp." in key):
            hidden.append(weight)
        else:
            (decayed if weight.ndim >= 2 and "pos" not in key else plain).append(weight)
    return recipe.grouped(hidden, decayed, plain, muon_lr, adam_lr)
