"""Members of the zoo that are CLIP models, through `core.models.load`."""

from typing import Any

from core.models.load import LoadedModel
from core.models.taps import Tap
from core.models.tower import Tower
from core.models.zoo_member import About, MapLayer, TappedMember, channel_map, measured, taken, token_map

CLASS_TOKEN = 1  # open_clip's ViTs that can be decomposed have one token before those of the patches


def clip_member(model: LoadedModel, name: str, about: About) -> TappedMember:
    """The image encoder of a CLIP model, fp32: the MLP neurons of a ViT after their nonlinearity; of a ResNet its
    layer1 to layer4, after the last ReLU. Its passes hold the tower's own lock."""
    visual = model.tower.visual
    taps, depths = _taps(model.tower)
    shapes = measured(taps, lambda inputs: visual(inputs.to(model.device)), model.input_size, name)
    layers = [MapLayer(layer, *shape, depth) for layer, shape, depth in zip(taps, shapes, depths, strict=True)]
    return TappedMember(
        name=name,
        about=about,
        layers=tuple(layers),
        taps=taps,
        forward=visual,
        lock=model.tower.lock,
        device=model.device,
        input_size=model.input_size,
        preprocessing=model.preprocessing,
        weights_digest=model.weights_digest,
        random_weights=model.random_weights,
        bytes=taken(model.clip),
        clip=model,
    )


def _taps(tower: Tower) -> tuple[dict[str, Tap], list[float]]:
    visual: Any = tower.visual
    if tower.kind == "vit":
        blocks = list(visual.transformer.resblocks)
        keep = token_map(tower.grid, CLASS_TOKEN)
        taps = {f"L{i}": Tap(block.mlp.gelu, "output", keep) for i, block in enumerate(blocks)}
        return taps, [(i + 1) / len(blocks) for i in range(len(blocks))]
    stages = [getattr(visual, f"layer{i}") for i in range(1, 5)]
    ends = [sum(len(stage) for stage in stages[: i + 1]) for i in range(4)]
    taps = {f"layer{i}": Tap(stage, "output", channel_map()) for i, stage in enumerate(stages, 1)}
    return taps, [end / ends[-1] for end in ends]
