"""Neuron-head pairs: what a neuron adds to the representation through one attention head that reads it, exactly.

Papers P (Bu & Gandelsman 2025, eq. 3-4) and N (Gandelsman et al. 2025, eq. 4-6). A neuron is a channel of a
CLIP-ResNet's last map, read by the heads of the attention pool, or a neuron of a ViT's MLP, read by the heads of later
layers. In both, a pair (neuron n, head m) adds

    s[n,m](I) D[n,m]     to the unit representation,

a scalar of the image times a direction of the weights alone: **each pair is exactly rank one**. Summed over heads this
is a neuron's effect φ_n(I) = Σ_m s D, over neurons a head's, and in a ResNet over both, with the biases, the
representation. What a head writes lies in its own k dimensions, D[n,m] = writer[m] value[n,m], so neither D nor φ (o
numbers a pair or neuron) need be formed. With D = Q R for the m pairs of a neuron, y = R (s - s̄) holds norms, inner
products and PCA of φ - b_n exactly, and a coefficient ⟨φ - b_n, r⟩ is one inner product (D r)·(s - s̄).

`NeuronHead` is this algebra; `core.methods.second_order` is a ViT's s and D, `PoolPairs` here a ResNet's;
`core.methods.neuron_lens` chooses.

Letters beyond `core.models.tower`: m pairs of a neuron (columns of D), in order of `NeuronHead.pairs`.

Streaming. What is wanted of all images (x, ‖φ - b_n‖, their quantiles and largest) needs b_n and r_n, known only after
the last of them; s of one layer is n·m numbers an image (ViT-B-32, layers 8, 9, 10: 442 kB in fp16 together; RN50: 131
kB). A pass keeps s of the images measured and reads it again neuron by neuron: exact for those, n·m·2 bytes each.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from core.errors import AddressError, UnsupportedTower
from core.ids import Head
from core.models.modified_resnet import ModifiedResNetTower
from core.models.tower import Tower, Trace

_CHUNK = 2**25  # entries of D formed at a time: 256 MB in float64
_CACHED = 2**18  # entries of s looked at a time for their norm: 1 MB, which stays in a core's cache (2.4 x faster)


@dataclass(frozen=True)
class Principal:
    """The first principal component of φ - b_n over each neuron's S_n, not centred again.

    `direction_no` r_n, a unit vector (zero where nothing varies), its sign such that most of S_n projects positively
    (of an even split: such that the mean coefficient is positive); `read_nm` D r_n, so that x_n = read_nm · (s - s̄);
    `explained_n` the component's part of Σ ‖φ - b_n‖² over S_n, which is the population of both.
    """

    direction_no: Tensor
    read_nm: Tensor
    explained_n: Tensor


class NeuronHead(ABC):
    """The lens on the neurons of one layer and the heads that read them. Weights are folded once, by the subclass.

    `value_nmk` what each pair's head makes of the neuron in its own k dimensions, `writer_mok` what the head writes of
    them: D[n,m] = writer[m] value[n,m]. `pairs` the heads, in the order of the first columns of s and D (a subclass may
    add columns that all neurons share); `layer` the neurons' number among the traced layers, 0 in a ResNet.
    """

    tower: Tower
    layer: int
    pairs: list[Head]
    value_nmk: Tensor
    writer_mok: Tensor

    @abstractmethod
    def scalars(self, trace: Trace) -> Tensor:
        """s (b, n, m) of a batch, of the unit representation: one product of attention (m x t) and activations (t x n)
        an image. Times `trace.norm_b` it is of the representation as `encode_image` gives it."""

    @abstractmethod
    def token_scalars(self, trace: Trace, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """s of some neurons by token, (b, n, m, t), the pairs' columns alone; over tokens it sums to s."""

    @property
    def neurons(self) -> int:
        return self.value_nmk.shape[0]

    def only(self, neurons: Sequence[int]) -> Self:
        """The lens on some neurons, for all that follows from their scalars; `scalars` itself is of all."""
        some = copy(self)
        for cached in ("lengths_nm", "reduce_ncm"):
            some.__dict__.pop(cached, None)
        some.value_nmk = self.value_nmk[neuron_index(neurons, self.neurons)]
        return some

    def directions(self, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """D (n, m, o) of some neurons, fp32. For all of them it is n·m·o numbers: ask for what is shown."""
        return self._directions(self.value_nmk[neuron_index(neurons, self.neurons)], self.writer_mok).float()

    def phi(self, s_bnm: Tensor, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """φ (b, n, o) of some neurons, from the scalars of all of them; with s - s̄ for s, φ - b_n."""
        index = neuron_index(neurons, self.neurons)
        return torch.einsum("bnm,nmo->bno", s_bnm[:, index], self.directions(neurons))

    def total(self, s_bnm: Tensor, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """Σ φ over some neurons (b, o), from their scalars s (b, n of them, m); with s - s̄ for s, Σ (φ - b). Summed
        where the heads' values are, so that D is not formed. The pairs' columns alone, all there is under `own`."""
        value_bmk = torch.einsum("bnm,nmk->bmk", s_bnm, self.value_nmk[neuron_index(neurons, self.neurons)])
        return torch.einsum("bmk,mok->bo", value_bmk, self.writer_mok)

    def pair_norms(self, s_bnm: Tensor) -> Tensor:
        """‖s D‖ of every neuron-head pair, (b, n, m): how much of a neuron each later head carries."""
        m = len(self.pairs)
        return s_bnm[..., :m].abs() * torch.linalg.vector_norm(self.reduce_ncm, dim=1)[..., :m]

    @cached_property
    def lengths_nm(self) -> Tensor:
        """‖D‖ of every pair."""
        return torch.linalg.vector_norm(self.coords(self.basis_mok), dim=-1)

    @cached_property
    def basis_mok(self) -> Tensor:
        """Orthonormal columns Q of what each pair's head can write, min(o, k) of them; fp32, from float64."""
        return torch.linalg.qr(self.writer_mok.double()).Q.float()

    def coords(self, basis_mok: Tensor) -> Tensor:
        """D in its head's own coordinates, (n, m, c): D[n,m] = basis[m] coords[n,m]. Lengths and cosines with a text t,
        entered as basisᵀ t, are those of D, at c numbers a pair in place of o."""
        turn_mck = basis_mok.transpose(1, 2) @ self.writer_mok
        return torch.einsum("nmk,mck->nmc", self.value_nmk, turn_mck)

    @cached_property
    def reduce_ncm(self) -> Tensor:
        """R (n, c, m) of D = Q R, c = min(o, m): fp32, from float64, formed a chunk of neurons at a time."""
        value, writer = self.value_nmk.double(), self.writer_mok.double()
        step = max(1, _CHUNK // (writer.shape[0] * writer.shape[1]))
        chunks = (self._directions(value[i : i + step], writer) for i in range(0, self.neurons, step))
        return torch.cat([torch.linalg.qr(d_nmo.transpose(1, 2), mode="r").R.float() for d_nmo in chunks])

    def gram(self, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """G_n = D Dᵀ (n, m, m)."""
        reduce_ncm = self.reduce_ncm[neuron_index(neurons, self.neurons)]
        return reduce_ncm.transpose(1, 2) @ reduce_ncm

    def coordinates(self, s_bnm: Tensor, mean_nm: Tensor) -> Tensor:
        """y = R (s - s̄), (n, b, c): an isometric image of φ - b_n, neuron by neuron."""
        return _coordinates(s_bnm, mean_nm, self.reduce_ncm)

    def norms(self, s_bnm: Tensor, mean_nm: Tensor) -> Tensor:
        """‖φ - b_n‖, (b, n), b_n being D s̄."""
        step = max(1, _CACHED // (s_bnm.shape[0] * s_bnm.shape[2]))
        parts = [slice(i, i + step) for i in range(0, self.neurons, step)]
        norm = lambda part: _coordinates(s_bnm[:, part], mean_nm[part], self.reduce_ncm[part]).norm(dim=-1)
        return torch.cat([norm(part) for part in parts]).T

    def coefficients(self, s_bnm: Tensor, mean_nm: Tensor, principal: Principal) -> Tensor:
        """x_n = ⟨φ - b_n, r_n⟩, (b, n)."""
        return ((s_bnm - mean_nm) * principal.read_nm).sum(-1)

    def along(self, direction: Tensor) -> Tensor:
        """D t (n, m), so that ⟨φ, t⟩ = (D t) · s: `direction` (o,) the same for all neurons, or (n, o) one for each. D
        is not formed. The pairs' columns alone, which is all there is under `own`."""
        if direction.ndim == 1:
            return torch.einsum("nmk,mk->nm", self.value_nmk, torch.einsum("mok,o->mk", self.writer_mok, direction))
        step = max(1, _CHUNK // self.writer_mok[:, 0].numel())
        chunks = [
            torch.einsum("nmk,nmk->nm", value, torch.einsum("mok,no->nmk", self.writer_mok, t_no))
            for value, t_no in zip(self.value_nmk.split(step), direction.split(step), strict=True)
        ]
        return torch.cat(chunks)

    def principal(self, top_nim: Tensor, mean_nm: Tensor) -> Principal:
        """First components from `top_nim`, the scalars s of the images i of each neuron's S_n."""
        centred_nim = (top_nim - mean_nm[:, None]).double()
        y_nic = centred_nim @ self.reduce_ncm.double().transpose(1, 2)
        moment_ncc = y_nic.transpose(1, 2) @ y_nic
        values_nc, vectors_ncc = torch.linalg.eigh(moment_ncc)
        along_ni = (y_nic @ vectors_ncc[..., -1:])[..., 0]
        flip_n = torch.where(_mostly_negative(along_ni), -1.0, 1.0)[:, None]
        # r = Σ_i along_i (φ_i - b), normalised: in the span of D, so that no inverse of R is needed
        mix_nm = torch.einsum("ni,nim->nm", along_ni * flip_n, centred_nim)
        direction_no, read_nm = self._through(mix_nm)
        total_n = moment_ncc.diagonal(dim1=1, dim2=2).sum(-1)
        explained_n = torch.where(total_n > 0, values_nc[:, -1] / total_n.clamp_min(1e-300), 0.0)
        return Principal(direction_no.float(), read_nm.float(), explained_n.float())

    def _through(self, mix_nm: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors along Dᵀ mix (n, o), and D times them (n, m); a chunk of neurons at a time."""
        value, writer = self.value_nmk.double(), self.writer_mok.double()
        step = max(1, _CHUNK // (writer.shape[0] * writer.shape[1]))
        directions, reads = [], []
        for i in range(0, self.neurons, step):
            d_nmo = self._directions(value[i : i + step], writer)
            r_no = torch.nn.functional.normalize(torch.einsum("nmo,nm->no", d_nmo, mix_nm[i : i + step]), eps=1e-300)
            directions.append(r_no)
            reads.append(torch.einsum("nmo,no->nm", d_nmo, r_no))
        return torch.cat(directions), torch.cat(reads)

    def _directions(self, value_nmk: Tensor, writer_mok: Tensor) -> Tensor:
        """D (n, m, o), in the dtype of its arguments."""
        return torch.einsum("nmk,mok->nmo", value_nmk, writer_mok)


class PoolPairs(NeuronHead):
    """The lens on a CLIP-ResNet's attention pool (paper P): channels of the last map, and the heads that pool it.

    s[n,h] = (1/ρ) Σ_t a_t[h] z_t[n], with z the tokens that enter the pool: the map's activations, their mean as token
    0, and the positional embedding on all of them; D[n,h] = W_O^h W_V^h[:,n]. What is left is `constant_ho`, the same
    for every image, W_O^h b_V^h + b_O/H: Σ s D + Σ constant / ρ is the unit representation. The released code gives
    each pair constant/C and leaves ρ out. UnsupportedTower for a ViT.
    """

    def __init__(self, tower: Tower) -> None:
        if not isinstance(tower, ModifiedResNetTower):
            raise UnsupportedTower("A ViT has no attention pool over a last map: its neurons are those of MLP layers.")
        weights = tower.head_weights(0)
        self.tower, self.layer = tower, 0
        self.pairs = [Head(None, head) for head in range(weights.heads)]
        self.value_nmk = weights.wv_hkd.permute(2, 0, 1).contiguous()
        self._position_td = tower.position_td
        self.writer_mok = weights.wo_hdk
        bias_ho = torch.einsum("hdk,hk->hd", weights.wo_hdk, weights.bv_hk)
        self.constant_ho = bias_ho + weights.bo_d / weights.heads

    def scalars(self, trace: Trace) -> Tensor:
        attn_bht = trace.carriers[0].attn_bht
        mixed_bhn = attn_bht @ trace.neurons[0] + attn_bht @ self._position_td
        return (mixed_bhn / trace.norm_b[:, None, None]).transpose(1, 2)

    def token_scalars(self, trace: Trace, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        index = neuron_index(neurons, self.neurons)
        z_btn = trace.neurons[0][..., index] + self._position_td[:, index]
        s_bnmt = torch.einsum("bht,btn->bnht", trace.carriers[0].attn_bht, z_btn)
        return s_bnmt / trace.norm_b[:, None, None, None]


def _coordinates(s_bnm: Tensor, mean_nm: Tensor, reduce_ncm: Tensor) -> Tensor:
    return (s_bnm - mean_nm).transpose(0, 1) @ reduce_ncm.transpose(1, 2)


def neuron_index(neurons: Sequence[int] | slice, count: int) -> slice | list[int]:
    """An index along the neuron axis; AddressError beyond it (a negative number is no neuron)."""
    if isinstance(neurons, slice):
        return neurons
    for neuron in neurons:
        if not 0 <= neuron < count:
            raise AddressError(f"This layer has neurons 0 to {count - 1}; {neuron} was asked for.")
    return list(neurons)


def _mostly_negative(along_ni: Tensor) -> Tensor:
    """Whether most coefficients are negative (n,); of an even split, whether their mean is."""
    vote_n = along_ni.sign().sum(-1)
    return (vote_n < 0) | ((vote_n == 0) & (along_ni.mean(-1) < 0))
