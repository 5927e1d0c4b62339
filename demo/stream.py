"""Training and held-out samples: sample i is a function of (split, seed, i) and nothing else.

Curriculum: the first EASY samples show one large upright object more often; the share falls linearly to none.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from demo.captions import FACTORS, Claim, sample_caption
from demo.vocabulary import CATEGORIES, CATEGORY_OF, OBJECT_NAMES, PLACES, STYLES
from demo.world import Scene, render, sample_scene

TRAIN, HELD_OUT, SHIPPED, SCENES = range(4)  # splits never share a random stream
EASY = 40_000
EASY_SIZE = (0.7, 0.95)
SIDES = (128, 144, 160)  # of the shipped images, in pixels


def scene_rng(split: int, seed: int, index: int) -> np.random.Generator:
    """The random stream of one sample."""
    return np.random.default_rng((split, seed, index))


def train_scene(seed: int, index: int) -> tuple[Scene, np.random.Generator]:
    """Training scene `index`, and its stream advanced past the scene (captions are drawn from it next)."""
    rng = scene_rng(TRAIN, seed, index)
    if rng.uniform() < 0.8 * (1 - index / EASY):
        return sample_scene(rng, count=1, size=EASY_SIZE, tilt=10.0), rng
    return sample_scene(rng), rng


def held_out_scene(seed: int, index: int, split: int = HELD_OUT) -> Scene:
    """Held-out scene `index`: the honest distribution, the same as that of the shipped images."""
    return sample_scene(scene_rng(split, seed, index))


def targets(scenes: list[Scene]) -> dict[str, torch.Tensor]:
    """For each factor the class weights of each scene, float32 [batch, classes], rows summing to 1.

    A mixed scene spreads its object and category weight over its objects.
    """
    result = {factor: torch.zeros(len(scenes), len(names)) for factor, names in FACTORS.items()}
    for row, scene in enumerate(scenes):
        for placed in scene.objects:
            result["object"][row, OBJECT_NAMES.index(placed.name)] += 1 / scene.count
            result["category"][row, CATEGORIES.index(CATEGORY_OF[placed.name])] += 1 / scene.count
        result["place"][row, PLACES.index(scene.place)] = 1
        result["style"][row, STYLES.index(scene.style)] = 1
        result["count"][row, scene.count - 1] = 1
    return result


def matches(claims: list[Claim], truth: dict[str, torch.Tensor]) -> torch.Tensor:
    """Which image each caption is true of, bool [captions, images]; `truth` as made by `targets`."""
    images = len(truth["object"])
    result = torch.ones(len(claims), images, dtype=torch.bool)
    for row, claim in enumerate(claims):
        for index in claim.objects:
            result[row] &= truth["object"][:, index] > 0
        for factor in ("place", "style", "count", "category"):
            value = getattr(claim, factor)
            if value is not None:
                result[row] &= truth[factor][:, value] > 0
    return result


@dataclass(frozen=True)
class Batch:
    """images float32 [b, 3, p, p] as `to_tensor` makes them; targets as in `targets`; texts and claims, b each."""

    images: torch.Tensor
    targets: dict[str, torch.Tensor]
    texts: list[str]
    claims: list[Claim]


MEAN, STD = 0.5, 0.25


def to_tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    """uint8 [p, p, 3] pictures to the models' input."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(torch.float32)
    return stacked.div_(255).sub_(MEAN).div_(STD)


def shipped_view(scene: Scene, side: int, pixels: int) -> np.ndarray:
    """The scene drawn at a shipped side and reduced to the input size as open_clip's preprocessing does."""
    picture = Image.fromarray(render(scene, side)[0])
    return np.asarray(picture.resize((pixels, pixels), Image.Resampling.BICUBIC))


def train_batch(seed: int, start: int, size: int, pixels: int, shipped: bool) -> Batch:
    """Training samples start .. start + size; drawn at the input size (faster), or as the shipped images are."""
    scenes, texts, claims, pictures = [], [], [], []
    for index in range(start, start + size):
        scene, rng = train_scene(seed, index)
        text, claim = sample_caption(scene, rng)
        scenes.append(scene)
        texts.append(text)
        claims.append(claim)
        side = SIDES[index % len(SIDES)]
        pictures.append(shipped_view(scene, side, pixels) if shipped else render(scene, pixels)[0])
    return Batch(to_tensor(pictures), targets(scenes), texts, claims)
