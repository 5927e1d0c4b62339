"""What a ResNet's pool attends to in one image, as it is and without some neurons, live (paper P, §5.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.errors import AddressError, UnsupportedTower
from core.explain.answers import ImageTrace
from core.explain.explainer import Explainer, to_numpy
from core.methods.attention_sink import attention_without
from core.models.modified_resnet import ModifiedResNetTower


@dataclass(frozen=True)
class SinkChange:
    """The class token's attention to every token (h, t), token 0 itself, before and after some neurons are set to zero
    in all tokens."""

    before_ht: np.ndarray
    after_ht: np.ndarray


def without_neurons(explainer: Explainer, image: ImageTrace, neurons: Sequence[int]) -> SinkChange:
    """Attention with and without these neurons of the last map. AddressError for a neuron that is not there,
    UnsupportedTower for a ViT."""

    def compute() -> SinkChange:
        tower = explainer.model.tower
        if not isinstance(tower, ModifiedResNetTower):
            raise UnsupportedTower("A ViT has no attention pool, so it has no sink of this kind.")
        if wrong := [n for n in neurons if not 0 <= n < tower.width]:
            raise AddressError(f"This model's last map has neurons 0 to {tower.width - 1}; {wrong[0]} was asked for.")
        pixels = torch.from_numpy(image.pixels)[None].to(explainer.model.device)
        trace = tower.trace(pixels, (0,), neurons=(0,))
        after_bht = attention_without(tower.head_weights(0), trace.neurons[0], tower.position_td, neurons)
        return SinkChange(to_numpy(trace.heads[0].attn_bht[0]), to_numpy(after_bht[0]))

    return explainer.run(compute)
