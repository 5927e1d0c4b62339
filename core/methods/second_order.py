"""Second-order effects: what an MLP neuron adds to the representation through every later attention head.

Paper N (Gandelsman et al. 2025), eq. 4-6. Neuron n of layer l adds p_t w_n to token t. Head h of a later layer l'
attends from the class token and moves it on; attention and LayerNorm scales being those of the pass, its effect is

    φ_n(I) = Σ_{l',h} s[n,(l',h)](I) D[n,(l',h)],     s = (1/(σρ)) Σ_t p_t a_t[l',h] / σ_t[l'],
    D[n,(l',h)] = M[l',h] W_V[l',h] diag(γ[l']) C w_n,

a scalar of the image times a direction of the weights: **each neuron-head pair is exactly rank one**. So φ (o numbers
a neuron) is never formed. With m pairs a neuron and D = Q R (o x m), y = R (s - s̄) holds norms, inner products and PCA
of φ - b_n exactly, and a coefficient ⟨φ - b_n, r⟩ is one inner product (D r)·(s - s̄).

Under the convention `equal` every neuron also gets the same share c(I) of biases and means (see `Convention`): the same
code with 2m + 3 more columns, which are the same for all neurons, whose scalars are the same for all neurons too.

Letters beyond `core.models.tower`: m columns, the pairs (l', h) in order of `SecondOrder.pairs`, then what is shared.

Streaming. What is wanted of all images (x, ‖φ - b_n‖, their quantiles and largest) needs b_n and r_n, known only after
the last of them; s of one layer is n·m numbers an image (ViT-B-32, layers 8, 9, 10: 442 kB in fp16 together).
- *One pass* keeps s of the images measured and reads it again neuron by neuron: exact for those, n·m·2 bytes each.
- *Two passes* keep nothing of an image and are exact at any number of them. A pilot gives a provisional b̂_n. The first
  pass sums s, which gives b_n, and keeps the K > k images of largest ‖φ - b̂_n‖ with their s, finally ranked by the
  exact norm. An image that was not kept has at most τ_n + ‖b_n - b̂_n‖, with τ_n the smallest kept provisional norm:
  where the k-th exact norm reaches that, S_n is proven right (`norms` of s̄ from the pilot's mean is ‖b_n - b̂_n‖).
  `principal` gives r_n, and the second pass two numbers a neuron and image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from core.errors import AddressError, UnsupportedTower
from core.ids import Head
from core.methods.layernorm import Convention, shares
from core.models.tower import HeadWeights, Tower, Trace

PAPER_FACTOR = 100
"""The released code multiplies every φ by this; here effects are parts of the unit representation."""

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


class SecondOrder:
    """The second-order lens on one MLP layer of a tower. Weights are folded once, here; D and R when asked for.

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
        self.value_nmk = self._values(self._neurons.out_nd)

    @property
    def neurons(self) -> int:
        return self.value_nmk.shape[0]

    @property
    def pairs(self) -> list[Head]:
        """The later heads that carry a neuron, in the order of the first columns of s and D."""
        return [Head(layer, head) for layer in self.later for head in range(self.tower.heads)]

    def scalars(self, trace: Trace) -> Tensor:
        """s (b, n, m) of a batch: one product of attention (m x t) and activations (t x n) an image."""
        inverse_b = 1 / (trace.scale_b * trace.norm_b)
        weight_bmt = self._carried(trace) * inverse_b[:, None, None]
        s_bnm = (weight_bmt @ trace.neurons[self.layer]).transpose(1, 2)
        if self.convention is Convention.OWN:
            return s_bnm
        return torch.cat([s_bnm, self._shared_scalars(trace)[:, None].expand(-1, self.neurons, -1)], dim=-1)

    def directions(self, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """D (n, m, o) of some neurons, fp32. For all of them it is n·m·o numbers: ask for what is shown."""
        return self._directions(self.value_nmk[_index(neurons, self.neurons)], self._writer_mok).float()

    def directions_of(self, x_nd: Tensor) -> Tensor:
        """D (n, m, o) of any vectors that layer's MLP might write, such as its bias; the pairs' columns alone."""
        m = len(self.pairs)
        return self._directions(self._values(x_nd), self._writer_mok)[:, :m].float()

    def phi(self, s_bnm: Tensor, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """φ (b, n, o) of some neurons, from the scalars of all of them; with s - s̄ for s, φ - b_n."""
        index = _index(neurons, self.neurons)
        return torch.einsum("bnm,nmo->bno", s_bnm[:, index], self.directions(neurons))

    def total(self, s_bnm: Tensor, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """Σ φ over some neurons (b, o), from their scalars s (b, n of them, m); with s - s̄ for s, Σ (φ - b). Summed
        where the heads' values are, so that D is not formed. The pairs' columns alone, all there is under `own`."""
        value_bmk = torch.einsum("bnm,nmk->bmk", s_bnm, self.value_nmk[_index(neurons, self.neurons)])
        return torch.einsum("bmk,mok->bo", value_bmk, self._writer_mok)

    def pair_norms(self, s_bnm: Tensor) -> Tensor:
        """‖s D‖ of every neuron-head pair, (b, n, m): how much of a neuron each later head carries."""
        m = len(self.pairs)
        return s_bnm[..., :m].abs() * torch.linalg.vector_norm(self.reduce_ncm, dim=1)[..., :m]

    @cached_property
    def reduce_ncm(self) -> Tensor:
        """R (n, c, m) of D = Q R, c = min(o, m): fp32, from float64, formed a chunk of neurons at a time."""
        value, writer = self.value_nmk.double(), self._writer_mok.double()
        step = max(1, _CHUNK // (writer.shape[0] * writer.shape[1]))
        chunks = (self._directions(value[i : i + step], writer) for i in range(0, self.neurons, step))
        return torch.cat([torch.linalg.qr(d_nmo.transpose(1, 2), mode="r").R.float() for d_nmo in chunks])

    def gram(self, neurons: Sequence[int] | slice = slice(None)) -> Tensor:
        """G_n = D Dᵀ (n, m, m)."""
        reduce_ncm = self.reduce_ncm[_index(neurons, self.neurons)]
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
            return torch.einsum("nmk,mk->nm", self.value_nmk, torch.einsum("mok,o->mk", self._writer_mok, direction))
        step = max(1, _CHUNK // self._writer_mok[:, 0].numel())
        chunks = [
            torch.einsum("nmk,nmk->nm", value, torch.einsum("mok,no->nmk", self._writer_mok, t_no))
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
        value, writer = self.value_nmk.double(), self._writer_mok.double()
        step = max(1, _CHUNK // (writer.shape[0] * writer.shape[1]))
        directions, reads = [], []
        for i in range(0, self.neurons, step):
            d_nmo = self._directions(value[i : i + step], writer)
            r_no = torch.nn.functional.normalize(torch.einsum("nmo,nm->no", d_nmo, mix_nm[i : i + step]), eps=1e-300)
            directions.append(r_no)
            reads.append(torch.einsum("nmo,no->nm", d_nmo, r_no))
        return torch.cat(directions), torch.cat(reads)

    def _values(self, x_nd: Tensor) -> Tensor:
        """W_V diag(γ) C x, or without C under `equal`, for each pair: (n, m, k)."""
        if self.convention is Convention.OWN:
            x_nd = x_nd - x_nd.mean(-1, keepdim=True)
        values = [torch.einsum("nd,hkd->nhk", x_nd * _gain(weights), weights.wv_hkd) for weights in self._heads]
        return torch.cat(values, dim=1)

    @cached_property
    def _writer_mok(self) -> Tensor:
        """M (m, o, k) of the pairs' heads."""
        readout = self.tower.readout
        read = readout.centred if self.convention is Convention.OWN else readout.linear
        return torch.cat([read(weights.wo_hdk.transpose(1, 2)).transpose(1, 2) for weights in self._heads])

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
        return torch.einsum("mk,mok->mo", value_mk, self._writer_mok)

    def _directions(self, value_nmk: Tensor, writer_mok: Tensor) -> Tensor:
        """D (n, m, o), with the shared columns under `equal`, in the dtype of its arguments."""
        d_nmo = torch.einsum("nmk,mok->nmo", value_nmk, writer_mok)
        if self._shared_eo is None:
            return d_nmo
        return torch.cat([d_nmo, self._shared_eo.to(d_nmo).expand(len(d_nmo), -1, -1)], dim=1)


def _coordinates(s_bnm: Tensor, mean_nm: Tensor, reduce_ncm: Tensor) -> Tensor:
    return (s_bnm - mean_nm).transpose(0, 1) @ reduce_ncm.transpose(1, 2)


def _gain(weights: HeadWeights) -> Tensor:
    return torch.ones_like(weights.bo_d) if weights.gain_d is None else weights.gain_d


def _offset(weights: HeadWeights) -> Tensor:
    return torch.zeros_like(weights.bo_d) if weights.offset_d is None else weights.offset_d


def _index(neurons: Sequence[int] | slice, count: int) -> slice | list[int]:
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
