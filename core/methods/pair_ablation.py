"""What is left of a representation when pairs, neurons or heads are mean-ablated, or rebuilt from something simpler.

Paper P (Bu & Gandelsman 2025), §3: figures 1 and 2, table 1. A mean-ablated pair contributes its mean s̄ D in place of
s D, so a representation of which some pairs are kept is

    representation - Σ (s - s̄) D over all pairs + Σ (s - s̄) D over those kept,

and everything here is such a second sum. A pair of head m writes D[n,m] = writer[m] @ value[n,m], a head's k numbers
made o; so pairs are summed in their head's own space first and then written once, and no pairs x o tensor is formed:

    Σ_n,m c[n,m] D[n,m] = Σ_m writer[m] (Σ_n c[n,m] value[n,m]).

- *Kept pairs, neurons, heads*: c is s - s̄ where kept, else 0.
- *Components of neurons*: a neuron's contribution φ - b = Σ_m (s - s̄)[m] D[m] has rank up to the number of heads. Its
  first components over the images of largest norm (not centred again) are u = Dᵀ mix, because they lie in the span of
  D, and ⟨φ - b, u⟩ = read · (s - s̄) with read = D u: a few numbers a neuron and image, whatever the joint space.
- *Components of pairs*: a pair has one, its own direction; the first already gives everything back, by algebra.
- *Texts*: a pair's unit direction d̂ replaced by a unit vector t of its texts, its mean unchanged: ⟨x d̂, t⟩ t, as in the
  released code. (Paper N keeps a neuron's own coefficient, x t; see `core.methods.characterise`.)

Letters beyond `core.methods.second_order`: r masks or components, v texts. All sums are of the units of s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.methods.characterise import reconstructions

_RANK = 1e-10  # a squared singular value below this share of the first is rounding: the component is left out
_ENTRIES = 2**23  # numbers on the way to directions formed at a time: 32 MB in float32


def head_values(scalars_bnm: Tensor, value_nmk: Tensor, keep_nm: Tensor | None = None) -> Tensor:
    """Σ_n c value (b, m, k): what each head makes of the neurons, in its own space. `keep_nm` bool, of pairs, or of
    neurons as (n, 1); None for all. Quickest where the scalars of a head and image lie side by side in memory."""
    if keep_nm is not None:
        value_nmk = value_nmk * keep_nm[..., None].to(value_nmk.dtype)
    return torch.bmm(scalars_bnm.permute(2, 0, 1), value_nmk.transpose(0, 1)).transpose(0, 1)


def write(head_values_bmk: Tensor, writer_mok: Tensor) -> Tensor:
    """Σ_m writer v, (b, o)."""
    return torch.einsum("bmk,mok->bo", head_values_bmk, writer_mok)


def kept_pairs(centred_bnm: Tensor, value_nmk: Tensor, writer_mok: Tensor, keep_rnm: Sequence[Tensor]) -> Tensor:
    """Σ (s - s̄) D over the pairs that each mask (n, m) keeps, or the neurons that each (n, 1) does: (r, b, o)."""
    sums = [write(head_values(centred_bnm, value_nmk, keep), writer_mok) for keep in keep_rnm]
    return torch.stack(sums) if sums else centred_bnm.new_zeros(0, len(centred_bnm), writer_mok.shape[1])


def kept_heads(head_values_bmk: Tensor, writer_mok: Tensor, keep_rm: Sequence[Tensor]) -> Tensor:
    """Σ (s - s̄) D over all pairs of the heads that each mask (m,) keeps, from `head_values` of s - s̄: (r, b, o)."""
    sums = [write(head_values_bmk * keep[:, None].to(head_values_bmk.dtype), writer_mok) for keep in keep_rm]
    return torch.stack(sums) if sums else head_values_bmk.new_zeros(0, len(head_values_bmk), writer_mok.shape[1])


def head_norms(head_values_bmk: Tensor, writer_mok: Tensor) -> Tensor:
    """‖writer v‖ (b, m), from each head's Gram matrix of its writer: what a head writes is not formed."""
    gram_mkk = torch.einsum("moj,mok->mjk", writer_mok.double(), writer_mok.double())
    square_bm = torch.einsum("bmj,mjk,bmk->bm", head_values_bmk.double(), gram_mkk, head_values_bmk.double())
    return square_bm.clamp_min(0).sqrt().to(head_values_bmk.dtype)


@dataclass(frozen=True)
class Components:
    """The first r principal components of each neuron's centred contribution φ - b over some images, largest first.

    `mix_nmr` and `read_nmr` (fp32): component u = Dᵀ mix, a unit vector, and its coefficient ⟨φ - b, u⟩ = read·(s - s̄).
    The sign of u: most of the images project positively; of an even split, their mean does. Zeros where a neuron has
    fewer components. `strength_nr` the sum of squared coefficients over those images.
    """

    mix_nmr: Tensor
    read_nmr: Tensor
    strength_nr: Tensor

    def along(self, centred_bnm: Tensor) -> Tensor:
        """Coefficients (n, b, r) of s - s̄; quickest where the scalars of one neuron lie side by side in memory."""
        return centred_bnm.transpose(0, 1) @ self.read_nmr

    def directions(self, value_nmk: Tensor, writer_mok: Tensor, count: int | None = None) -> Tensor:
        """u (n, r, o) of the first `count` components, None for all: n·r·o numbers."""
        mix_nmr = self.mix_nmr[..., :count]
        step = max(1, _ENTRIES // max(1, mix_nmr.shape[2] * value_nmk[0].numel()))
        parts = [
            torch.einsum("nrmk,mok->nro", torch.einsum("nmr,nmk->nrmk", mix_nmr[part], value_nmk[part]), writer_mok)
            for part in (slice(start, start + step) for start in range(0, len(mix_nmr), step))
        ]
        return torch.cat(parts)


def rebuilt(along_nbr: Tensor, directions_nro: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
    """Σ_n of the contributions rebuilt from their first components, (b, o) for each number of them, ascending: from
    their coefficients and directions."""
    sum_bo, before = along_nbr.new_zeros(along_nbr.shape[1], directions_nro.shape[2]), 0
    for count in counts:
        part_bnr = along_nbr[..., before:count].transpose(0, 1)
        sum_bo = sum_bo + part_bnr.flatten(1) @ directions_nro[:, before:count].flatten(0, 1)
        before = count
        yield sum_bo


def components(top_nim: Tensor, reduce_ncm: Tensor, count: int) -> Components:
    """Of each neuron, from `top_nim`, its centred scalars s - s̄ at the images of largest ‖φ - b‖, and `reduce_ncm`
    with D Dᵀ = RᵀR (`NeuronHead.reduce_ncm`): PCA of y = R (s - s̄), in float64."""
    centred_nim, reduce_ncm = top_nim.double(), reduce_ncm.double()
    y_nic = centred_nim @ reduce_ncm.transpose(1, 2)
    values_nc, vectors_ncc = torch.linalg.eigh(y_nic.transpose(1, 2) @ y_nic)
    values_nr, vectors_ncr = values_nc.flip(-1)[:, :count], vectors_ncc.flip(-1)[..., :count]
    real_nr = values_nr > _RANK * values_nr[:, :1].clamp_min(torch.finfo(torch.float64).tiny)
    along_nir = y_nic @ vectors_ncr
    sign_nr = torch.where(_mostly_negative(along_nir), -1.0, 1.0)
    # u = Σ_i along_i (φ_i - b) / λ: in the span of D, so that no inverse of R is needed
    scale_nr = torch.where(real_nr, sign_nr / values_nr.clamp_min(1e-300), 0.0)
    mix_nmr = centred_nim.transpose(1, 2) @ (along_nir * scale_nr[:, None])
    read_nmr = reduce_ncm.transpose(1, 2) @ (reduce_ncm @ mix_nmr)
    missing = count - mix_nmr.shape[-1]  # more were asked for than there are heads
    pad = lambda x: torch.nn.functional.pad(x, (0, missing)).float()
    return Components(pad(mix_nmr), pad(read_nmr), pad(torch.where(real_nr, values_nr, 0.0)))


def along_texts(
    x_bp: Tensor, directions_po: Tensor, atoms_wo: Tensor, index_pv: Tensor, counts: Sequence[int]
) -> Tensor:
    """Σ_p x_p ⟨d̂_p, t_p⟩ t_p (r, b, o), t_p what a pair's first texts make of d̂_p, of norm one, for each number of
    texts in `counts`: so x d̂ projected on its texts. `directions_po` d̂; `index_pv` the texts in the order of choice,
    rows of `atoms_wo` (see `core.methods.sparse_text.pursue`)."""
    out = x_bp.new_zeros(len(counts), len(x_bp), directions_po.shape[1])
    step = max(1, _ENTRIES // (directions_po.shape[1] * max(1, len(counts))))
    for start in range(0, len(directions_po), step):
        part = slice(start, start + step)
        unit_rpo = reconstructions(directions_po[part], atoms_wo, index_pv[part], counts).to(x_bp)
        cosine_rp = (unit_rpo * directions_po[part].to(x_bp)).sum(-1)
        out += (x_bp[:, part] * cosine_rp[:, None]) @ unit_rpo
    return out


def _mostly_negative(along_nir: Tensor) -> Tensor:
    """Whether most images of a component are on its negative side (n, r); of an even split, whether their mean is."""
    vote_nr = along_nir.sign().sum(1)
    return (vote_nr < 0) | ((vote_nr == 0) & (along_nir.mean(1) < 0))
