"""The lens on a tower's neurons, whichever family it is of."""

from core.methods.layernorm import Convention
from core.methods.neuron_head import NeuronHead, PoolPairs
from core.methods.second_order import SecondOrder
from core.models.tower import Tower


def neuron_lens(tower: Tower, layer: int, convention: Convention = Convention.OWN) -> NeuronHead:
    """Neuron-head pairs of an MLP layer of a ViT, or (layer 0, where no LayerNorm has a say) of a ResNet's last map.
    UnsupportedTower for a layer that has none."""
    return PoolPairs(tower) if tower.kind == "resnet" else SecondOrder(tower, layer, convention)
