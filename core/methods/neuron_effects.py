"""Other measures of a neuron, beside its second-order effect: how active it is, what it writes itself, what it is for.

Paper N (Gandelsman et al. 2025), §3, compares three effects of neuron n, which writes p_t w_n at token t:
- *direct* (first order, the logit lens): what it writes at the class token, read out as it is. With σ and ρ as they
  were, (p_0/(σρ)) P diag(γ) C w_n: again a scalar of the image times a direction of the weights;
- *second order*: through later attention heads (`core.methods.second_order`);
- *indirect*: everything that changes when its activation is replaced by its mean and the rest of the model runs on.

All in units of the unit representation: divided by its norm ρ before any intervention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import AddressError
from core.methods.layernorm import Convention, contribution, shares
from core.models.tower import Tower, Trace


@dataclass(frozen=True)
class Activity:
    """A layer's activations in an image, over all its tokens, the class token too: `max_bn` and `mean_bn`."""

    max_bn: Tensor
    mean_bn: Tensor


def activity(trace: Trace, layer: int) -> Activity:
    """How active each neuron of a traced layer is."""
    p_btn = trace.neurons[layer]
    return Activity(p_btn.amax(1), p_btn.mean(1))


def direct_scalars(trace: Trace, layer: int) -> Tensor:
    """p_0/(σρ), (b, n): what `direct_directions` is multiplied with."""
    return trace.neurons[layer][:, 0] / (trace.scale_b * trace.norm_b)[:, None]


def direct_directions(tower: Tower, layer: int) -> Tensor:
    """P diag(γ) C w_n, (n, o): the direction of each neuron's direct effect, from weights alone."""
    return tower.readout.centred(tower.neuron_weights(layer).out_nd)


def direct_effects(
    tower: Tower, trace: Trace, layer: int, neurons: Sequence[int], convention: Convention = Convention.OWN
) -> Tensor:
    """The direct effect of some neurons, (b, n, o).

    Under `equal` each has an equal share of its MLP's bias and of that MLP's share of μ and β, so that all neurons of a
    layer sum to the MLP's part; under `own` they do with the bias as a part of its own.
    """
    weights = tower.neuron_weights(layer)
    count = weights.out_nd.shape[0]
    _check(neurons, count)
    write_nbd = trace.neurons[layer][:, 0, list(neurons)].T[..., None] * weights.out_nd[list(neurons), None]
    if convention is Convention.EQUAL:
        write_nbd = write_nbd + weights.bias_d / count
    share = 1 / (shares(tower.layers) * count)
    return contribution(write_nbd, tower.readout, trace, convention, share).transpose(0, 1)


def indirect_effects(tower: Tower, images: Tensor, layer: int, neurons: Sequence[int], mean_nt: Tensor) -> Tensor:
    """What is lost without each of some neurons, (b, n, o): (representation - mean-ablated representation) / ρ.

    `mean_nt` what its activation is replaced with, at each token or (n, 1) at all alike: its mean over a data set. One
    neuron is ablated at a time, and the model run again from its layer on. Live, for one neuron or a few.
    """
    _check(neurons, tower.neurons)

    def ablate(neuron: int, mean_t: Tensor, p_btn: Tensor) -> Tensor:
        changed_btn = p_btn.clone()
        changed_btn[:, :, neuron] = mean_t.to(changed_btn)
        return changed_btn

    changes = [
        lambda p_btn, neuron=neuron, mean_t=mean_t: ablate(neuron, mean_t, p_btn)
        for neuron, mean_t in zip(neurons, mean_nt, strict=True)
    ]
    plain_bo, ablated = tower.intervene(images, layer, changes)
    return (plain_bo[:, None] - torch.stack(ablated, dim=1)) / plain_bo.norm(dim=-1)[:, None, None]


def _check(neurons: Sequence[int], count: int) -> None:
    for neuron in neurons:
        if not 0 <= neuron < count:
            raise AddressError(f"This layer has neurons 0 to {count - 1}; {neuron} was asked for.")
