"""Second-order effects: what an MLP neuron adds to the representation through every later attention head of a ViT.

Paper N (Gandelsman et al. 2025), eq. 4-6. Neuron n of layer l adds p_t w_n to token t. Head h of a later layer l'
attends from the class token and moves it on; attention and LayerNorm scales being those of the pass, its effect is

    φ_n(I) = Σ_{l',h} s[n,(l',h)](I) D[n,(l',h)],     s = (1/(σρ)) Σ_t p_t a_t[l',h] / σ_t[l'],
    D[n,(l',h)] = M[l',h] W_V[l',h] diag(γ[l']) C w_n,

a scalar of the image times a direction of the weights for each neuron-head pair: `core.methods.neuron_head` holds what
follows from that.

Under the convention `equal` every neuron also gets the same share c(I) of biases and means (see `Convention`): the same
code with 2m + 3 more columns, which are the same for all neurons, whose scalars are the same for all neurons too.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from core.errors import UnsupportedTower
from core.ids import Head
from core.methods.layernorm import Convention, shares
from core.methods.neuron_head import NeuronHead, neuron_index
from core.models.tower import HeadWeights, Tower, Trace

PAPER_FACTOR = 100
"""The released code multiplies every φ by this; here effects are parts of the unit representation."""


class SecondOrder(NeuronHead):
    """The second-order lens on one MLP layer of a ViT. Weights are folded once, here; D and R when asked for.

    `value_nmk` is W_V diag(γ) C w_n, what each pair's head makes of the neuron in its own k dimensions. Raises
    UnsupportedTower where no attention comes after the layer, and for a ResNet.
    """

    def __init__(self, tower: Tower, layer: int, convention: Convention = Convention.OWN) -> None:
        self.tower, self.layer, self.convention = tower, layer, convention
        self._neurons = tower.neuron_weights(layer)
        self.later = tuple(range(layer + 1, tower.layers))
        if not self.later:
            raise UnsupportedTower(
                f"Layer {layer} is the last of this model: no attention comes after its neurons, so they have no "
                f"second-order effect. Choose a layer from 0 to {tower.layers - 2}."
            )
        self._heads: list[HeadWeights] = [tower.head_weights(later) for later in self.later]
        self.pairs = [Head(later, head) for later in self.later for head in range(tower.heads)]
        self.value_nmk = self._values(self._neurons.out_nd)
        read = tower.readout.centred if convention is Convention.OWN else tower.readout.linear
        self.writer_mok = torch.cat([read(w.wo_hdk.transpose(1, 2)).transpose(1, 2) for w in self._heads])  # M

    def scalars(self, trace: Trace) -> Tensor:
        inverse_b = 1 / (trace.scale_b * trace.norm_b)
        weight_bmt = self._carried(trace) * inverse_b[:, None, None]
        s_bnm = (weight_bmt @ trace.neurons[self.layer]).transpose(1, 2)
        if self.convention is Convention.OWN:
            return s_bnm
        return torch.cat([s_bnm, self._shared_scalars(trace)[:, None].expand(-1, self.neurons, -1)], dim=-1)

    def token_scalars(self, trace: Trace, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        p_btn = trace.neurons[self.layer][..., neuron_index(neurons, self.neurons)]
        inverse_b = 1 / (trace.scale_b * trace.norm_b)
        return torch.einsum("bmt,btn,b->bnmt", self._carried(trace), p_btn, inverse_b)

    def directions_of(self, x_nd: Tensor) -> Tensor:
        """D (n, m, o) of any vectors that layer's MLP might write, such as its bias; the pairs' columns alone."""
        m = len(self.pairs)
        return self._directions(self._values(x_nd), self.writer_mok)[:, :m].float()

    def _values(self, x_nd: Tensor) -> Tensor:
        """W_V diag(γ) C x, or without C under `equal`, for each pair: (n, m, k)."""
        if self.convention is Convention.OWN:
            x_nd = x_nd - x_nd.mean(-1, keepdim=True)
        values = [torch.einsum("nd,hkd->nhk", x_nd * _gain(weights), weights.wv_hkd) for weights in self._heads]
        return torch.cat(values, dim=1)

    @cached_property
    def _shared_eo(self) -> Tensor | None:
        """The columns of D that all neurons share; None under `own`.

        In the order of `_shared_scalars`: for each pair what the head makes of the MLP's bias, then of LN1's mean; one
        for all other biases; Pγ for the final mean, Pβ for the final offset. See the golden sets' definition.
        """
        if self.convention is Convention.OWN:
            return None
        readout, layers, n = self.tower.readout, self.tower.layers, self.neurons
        one_d = torch.ones_like(self._neurons.bias_d)
        bias_mo = self._pairs_write(self._values(self._neurons.bias_d[None])[0])
        part_m = torch.tensor([float(shares(head.layer or 0)) for head in self.pairs]).to(one_d)
        mean_mo = self._pairs_write(self._values(one_d[None])[0]) / part_m[:, None]
        constant_mk = torch.cat([w.wv_hkd @ _offset(w) + w.bv_hk for w in self._heads])
        output_mo = torch.cat([readout.linear(w.bo_d).expand(w.heads, -1) / w.heads for w in self._heads])
        constant_o = ((self._pairs_write(constant_mk) + output_mo) / part_m[:, None]).sum(0)
        # what an attention layer carries has one part in shares(l') of its share of the final LayerNorm
        ends = sum(1 / shares(later) for later in self.later) / shares(layers)
        offset_o = readout.offset()
        assert offset_o is not None  # a tower with MLP layers ends in a LayerNorm
        columns = [bias_mo, -mean_mo, constant_o[None], -ends * readout.linear(one_d)[None], ends * offset_o[None]]
        return torch.cat(columns) / n

    def _shared_scalars(self, trace: Trace) -> Tensor:
        """Scalars (b, e) of `_shared_eo`."""
        inverse_b = 1 / (trace.scale_b * trace.norm_b)
        carried_bmt = self._carried(trace)
        carriers = [trace.carriers[layer] for layer in self.later]
        mean_bmt = torch.cat([c.mean_bt[:, None].expand_as(c.attn_bht) for c in carriers], dim=1)
        ends = torch.stack([inverse_b, trace.mean_b * inverse_b, 1 / trace.norm_b], dim=-1)
        by_pair = [carried_bmt.sum(-1), (carried_bmt * mean_bmt).sum(-1)]
        return torch.cat([torch.cat(by_pair, dim=-1) * inverse_b[:, None], ends], dim=-1)

    def _carried(self, trace: Trace) -> Tensor:
        """a_t / σ_t of every pair's head: (b, m, t)."""
        carriers = [trace.carriers[layer] for layer in self.later]
        return torch.cat([carrier.attn_bht / carrier.scale_bt[:, None] for carrier in carriers], dim=1)

    def _pairs_write(self, value_mk: Tensor) -> Tensor:
        return torch.einsum("mk,mok->mo", value_mk, self.writer_mok)

    def _directions(self, value_nmk: Tensor, writer_mok: Tensor) -> Tensor:
        """D (n, m, o), with the shared columns under `equal`, in the dtype of its arguments."""
        d_nmo = torch.einsum("nmk,mok->nmo", value_nmk, writer_mok)
        if self._shared_eo is None:
            return d_nmo
        return torch.cat([d_nmo, self._shared_eo.to(d_nmo).expand(len(d_nmo), -1, -1)], dim=1)


def _gain(weights: HeadWeights) -> Tensor:
    return torch.ones_like(weights.bo_d) if weights.gain_d is None else weights.gain_d


def _offset(weights: HeadWeights) -> Tensor:
    return torch.zeros_like(weights.bo_d) if weights.offset_d is None else weights.offset_d
