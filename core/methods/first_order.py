"""First-order decomposition: the representation as a sum of what each head and every other part writes.

Paper H (Gandelsman et al. 2024), eq. 5-8. With o the head's output, P the projection, γ and σ of the final LayerNorm
and ρ the norm of the representation, a head adds c = M o / (σ ρ), M = P diag(γ) C W_O. So c lies in a subspace known
from the weights; with M = Q R we keep the small coordinates r = R o / (σ ρ), in which inner products, distances and
PCA are exact. Parts sum to the *unit* representation, so what a part scores with a text adds up to the cosine.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.methods.layernorm import Convention, contribution, shares
from core.models.tower import HeadWeights, Tower, Trace


@dataclass(frozen=True)
class Parts:
    """Contributions to the unit representation, for a batch.

    `coords_blhc` each chosen head's coordinates r; `part_pbo` every other part, in the order of `FirstOrder.names`,
    where the attention of *every* layer is given as one total; `bias_lbo` the b_O of the chosen layers; `unit_bo` the
    unit representation; `residual_b` the largest absolute entry of (sum of parts - unit representation).
    """

    coords_blhc: Tensor
    part_pbo: Tensor
    bias_lbo: Tensor
    unit_bo: Tensor
    residual_b: Tensor


class FirstOrder:
    """The decomposition for one tower and a choice of attention layers. Weights are folded once, here.

    `basis_lhoc` Q (orthonormal columns), `reduce_lhce` R, `writer_lhoe` M, with e the head width plus, under `equal`,
    the columns that carry the head's share of b_O, μ and β (their coefficients vary with the image).
    """

    def __init__(self, tower: Tower, layers: tuple[int, ...], convention: Convention = Convention.OWN) -> None:
        self.tower = tower
        self.layers = layers
        self.convention = convention
        self.weights: list[HeadWeights] = [tower.head_weights(layer) for layer in layers]
        self.writer_lhoe = torch.stack([self._writer(weights) for weights in self.weights])
        # float64, so that the basis is orthonormal to rounding and r loses nothing
        basis, reduce = torch.linalg.qr(self.writer_lhoe.double())
        self.basis_lhoc, self.reduce_lhce = basis.float(), reduce.float()
        self._share = 1 / shares(tower.layers)

    @property
    def names(self) -> list[str]:
        """Names of the parts in `Parts.part_pbo`: embedding, attention and MLP of every layer, offset."""
        if self.tower.kind == "resnet":
            return ["attention L0"]
        layers = range(self.tower.layers)
        offset = ["offset"] if self.convention is Convention.OWN else []
        return ["embedding", *(f"attention L{i}" for i in layers), *(f"mlp L{i}" for i in layers), *offset]

    def parts(self, trace: Trace) -> Parts:
        """Decompose a batch. The caller checks `residual_b` (see `check_closing`)."""
        unit_bo = trace.representation_bo / trace.norm_b[:, None]
        coords = torch.stack([self._coords(trace, i) for i in range(len(self.layers))], dim=1)
        bias_lbo = torch.stack([self._bias(trace, weights) for weights in self.weights])
        part_pbo = self._other_parts(trace)
        heads_bo = torch.einsum("blhc,lhoc->bo", coords, self.basis_lhoc)
        first_attention = self.names.index("attention L0")
        split = [first_attention + layer for layer in self.layers]
        rest_bo = part_pbo.sum(0) - part_pbo[split].sum(0)
        residual_b = (heads_bo + bias_lbo.sum(0) + rest_bo - unit_bo).abs().amax(-1)
        return Parts(coords, part_pbo, bias_lbo, unit_bo, residual_b)

    def head_contributions(self, coords_blhc: Tensor) -> Tensor:
        """c = Q r in the joint space: (b, l, h, o)."""
        return torch.einsum("blhc,lhoc->blho", coords_blhc, self.basis_lhoc)

    def token_contributions(self, trace: Trace, layer: int) -> Tensor:
        """c_t = a_t M (W_V z_t + b_V) / (σ ρ) for every source token: (b, t, h, o). Sums over t to the head's c."""
        i = self.layers.index(layer)
        heads, weights = trace.heads[layer], self.weights[i]
        value_bthk = torch.einsum("btd,hkd->bthk", heads.z_btd, weights.wv_hkd) + weights.bv_hk
        value_bthk = value_bthk * heads.attn_bht.permute(0, 2, 1)[..., None]
        return torch.einsum("bthe,hoe->btho", self._coefficients(trace, value_bthk), self.writer_lhoe[i])

    def token_scores(self, trace: Trace, layer: int, texts_wo: Tensor) -> Tensor:
        """⟨c_t, text⟩ for every head and source token: (b, w, h, t), without forming values (paper H, §4.4)."""
        i = self.layers.index(layer)
        heads, weights = trace.heads[layer], self.weights[i]
        k = self.tower.head_width
        read_whe = torch.einsum("wo,hoe->whe", texts_wo, self.writer_lhoe[i])
        folded_whd = torch.einsum("whk,hkd->whd", read_whe[..., :k], weights.wv_hkd)
        value_bwht = torch.einsum("btd,whd->bwht", heads.z_btd, folded_whd)
        value_bwht = value_bwht + torch.einsum("whk,hk->wh", read_whe[..., :k], weights.bv_hk)[..., None]
        scores = value_bwht * heads.attn_bht[:, None] / (trace.scale_b * trace.norm_b)[:, None, None, None]
        extra_be = self._shared_coefficients(trace)
        if extra_be is not None:
            scores = scores + torch.einsum("whe,be->bwh", read_whe[..., k:], extra_be)[..., None] / scores.shape[-1]
        return scores

    def _writer(self, weights: HeadWeights) -> Tensor:
        """M (h, o, e): what one unit of a head's output, or of a shared column, adds before 1/(σρ)."""
        readout = self.tower.readout
        columns_hkd = weights.wo_hdk.transpose(1, 2)
        if self.convention is Convention.OWN:
            return readout.centred(columns_hkd).transpose(1, 2)
        shared = [readout.linear(weights.bo_d)]
        offset_o = readout.offset()
        if offset_o is not None:
            shared += [readout.linear(torch.ones_like(weights.bo_d)), offset_o]
        shared_hoe = torch.stack(shared, dim=-1).expand(weights.heads, -1, -1)
        return torch.cat([readout.linear(columns_hkd).transpose(1, 2), shared_hoe], dim=-1)

    def _shared_coefficients(self, trace: Trace) -> Tensor | None:
        """Coefficients (b, e - k) of a head's equal share of b_O, -μ and β; None under `own`."""
        if self.convention is Convention.OWN:
            return None
        inverse_b, heads = 1 / (trace.scale_b * trace.norm_b), self.tower.heads
        columns = [inverse_b / heads]
        if self.tower.readout.offset() is not None:
            share = self._share / heads
            columns += [-trace.mean_b * share * inverse_b, share / trace.norm_b]
        return torch.stack(columns, dim=-1)

    def _coefficients(self, trace: Trace, out_bthk: Tensor) -> Tensor:
        """Coefficients over the columns of M: outputs (b, t, h, k) / (σρ), and the shared ones divided over t."""
        scaled = out_bthk / (trace.scale_b * trace.norm_b)[:, None, None, None]
        extra_be = self._shared_coefficients(trace)
        if extra_be is None:
            return scaled
        extra = extra_be[:, None, None].expand(*scaled.shape[:3], -1) / scaled.shape[1]
        return torch.cat([scaled, extra], dim=-1)

    def _coords(self, trace: Trace, i: int) -> Tensor:
        out_bhk = trace.heads[self.layers[i]].out_bhk
        return torch.einsum("bhe,hce->bhc", self._coefficients(trace, out_bhk[:, None])[:, 0], self.reduce_lhce[i])

    def _bias(self, trace: Trace, weights: HeadWeights) -> Tensor:
        """b_O as a part of its own (b, o); zero under `equal`, where the heads share it."""
        if self.convention is Convention.EQUAL:
            return torch.zeros_like(trace.representation_bo)
        bias_bd = weights.bo_d.expand(trace.norm_b.shape[0], -1)
        return contribution(bias_bd, self.tower.readout, trace, self.convention, 0.0)

    def _other_parts(self, trace: Trace) -> Tensor:
        terms = trace.attention_lbd
        if trace.embedding_bd is not None:
            terms = torch.cat([trace.embedding_bd[None], terms, trace.mlp_lbd])
        part_pbo = contribution(terms, self.tower.readout, trace, self.convention, self._share)
        offset_o = self.tower.readout.offset()
        if offset_o is None or self.convention is Convention.EQUAL:
            return part_pbo
        return torch.cat([part_pbo, (offset_o / trace.norm_b[:, None])[None]])
