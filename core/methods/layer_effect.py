"""How much each MLP layer writes through later attention: which layers' neurons are worth a second-order look.

Paper N (Gandelsman et al. 2025), §4.1 finds by mean-ablation that the second-order effect is concentrated in a few late
layers. Ablating a layer's second-order effects takes Σ_n (φ_n - b_n) from the representation, so the size of that sum
is what can be lost: a layer's effect is the mean of ‖Σ_n (φ_n - b_n)‖² over images, as a part of the variance of the
unit representation.
"""

import torch
from torch import Tensor

from core.errors import UnsupportedTower
from core.models.tower import Tower, Trace


def layer_totals(tower: Tower, trace: Trace, layer: int) -> Tensor:
    """Σ_n φ_n of a batch, (b, o), under `own`: all neurons of `layer` through every later head.

    The neurons' writes are summed first, so nothing of size neurons x heads x head width is formed. Raises
    UnsupportedTower for the last layer.
    """
    if layer >= tower.layers - 1:
        raise UnsupportedTower(f"No attention comes after layer {layer}, so its neurons have no second-order effect.")
    write_nd = tower.neuron_weights(layer).out_nd
    write_nd = write_nd - write_nd.mean(-1, keepdim=True)
    inverse_b = 1 / (trace.scale_b * trace.norm_b)
    total_bo = torch.zeros_like(trace.representation_bo)
    written_btd = trace.neurons[layer] @ write_nd
    for later in range(layer + 1, tower.layers):
        carrier, weights = trace.carriers[later], tower.head_weights(later)
        weight_bht = carrier.attn_bht / carrier.scale_bt[:, None] * inverse_b[:, None, None]
        carried_bhd = weight_bht @ written_btd
        if weights.gain_d is not None:
            carried_bhd = carried_bhd * weights.gain_d
        value_bhk = torch.einsum("bhd,hkd->bhk", carried_bhd, weights.wv_hkd)
        total_bo += tower.readout.centred(torch.einsum("bhk,hdk->bd", value_bhk, weights.wo_hdk))
    return total_bo


def share_of_variance(total_no: Tensor, unit_no: Tensor) -> float:
    """Mean of ‖total - mean‖² over images, divided by that of the representation; 0 where nothing varies."""
    variance = lambda x_no: float((x_no - x_no.mean(0)).double().square().sum(-1).mean())
    return variance(total_no) / (variance(unit_no) or float("inf"))
