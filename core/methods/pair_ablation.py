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
  D, and ⟨φ - b, u⟩ = read · (s - s̄) with read = D u. So a neuron rebuilt from r of them is another set of
  scalars of the same pairs, c = mix readᵀ (s - s̄).
- *Components of pairs*: a pair has one, its own direction; the first already gives everything back, by algebra.
- *Texts*: a pair's unit direction replaced by a unit vector made of texts, its mean unchanged: Σ x d̂ with other d̂.

Letters beyond `core.methods.second_order`: r masks or components, v texts. All sums are of the units of s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.methods.characterise import reconstructions

_RANK = 1e-10  # a squared singular value below this share of the first is rounding: the component is left out
_ENTRIES = 2**23  # numbers of rebuilt directions formed at a time: 32 MB in float32


def head_values(scalars_bnm: Tensor, value_nmk: Tensor, keep_nm: Tensor | None = None) -> Tensor:
    """Σ_n c value (b, m, k): what each head makes of the neurons, in its own space; `keep_nm` bool, None for all."""
    c_mbn = scalars_bnm.permute(2, 0, 1)
    if keep_nm is not None:
        c_mbn = c_mbn * keep_nm.T[:, None].to(c_mbn.dtype)
    return torch.bmm(c_mbn, value_nmk.transpose(0, 1)).transpose(0, 1)


def write(head_values_bmk: Tensor, writer_mok: Tensor) -> Tensor:
    """Σ_m writer v, (b, o)."""
    return torch.einsum("bmk,mok->bo", head_values_bmk, writer_mok)


def kept_pairs(centred_bnm: Tensor, value_nmk: Tensor, writer_mok: Tensor, keep_rnm: Sequence[Tensor]) -> Tensor:
    """Σ (s - s̄) D over the pairs that each mask (n, m) keeps: (r, b, o). A mask of neurons is one of (n, 1)."""
    shape = value_nmk.shape[:2]
    sums = [write(head_values(centred_bnm, value_nmk, keep.expand(shape)), writer_mok) for keep in keep_rnm]
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

    def rebuilt(self, centred_bnm: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Scalars (b, n, m) of the contributions rebuilt from the first r components, for each r of `counts`."""
        along_nbr = centred_bnm.transpose(0, 1) @ self.read_nmr
        mixed = lambda r: along_nbr[..., :r] @ self.mix_nmr[..., :r].transpose(1, 2)
        return [mixed(r).transpose(0, 1) for r in counts]

    def directions(self, value_nmk: Tensor, writer_mok: Tensor) -> Tensor:
        """u (n, r, o). For thousands of neurons it is n·r·o numbers: ask for some."""
        return torch.einsum("nmr,nmk,mok->nro", self.mix_nmr, value_nmk, writer_mok)


def components(top_nim: Tensor, reduce_ncm: Tensor, count: int) -> Components:
    """Of each neuron, from `top_nim`, its centred scalars s - s̄ at the images of largest ‖φ - b‖, and `reduce_ncm`
    with D Dᵀ = RᵀR (`NeuronHead.reduce_ncm`). By the images' own Gram matrix, in float64."""
    centred_nim, reduce_ncm = top_nim.double(), reduce_ncm.double()
    y_nic = centred_nim @ reduce_ncm.transpose(1, 2)
    values_ni, vectors_nii = torch.linalg.eigh(y_nic @ y_nic.transpose(1, 2))
    values_nr, vectors_nir = values_ni.flip(-1)[:, :count], vectors_nii.flip(-1)[..., :count]
    real_nr = values_nr > _RANK * values_nr[:, :1].clamp_min(torch.finfo(torch.float64).tiny)
    # an image's coefficient is its entry of the eigenvector times the singular value, so their signs agree
    sign_nr = torch.where(_mostly_negative(vectors_nir), -1.0, 1.0)
    scale_nr = torch.where(real_nr, sign_nr / values_nr.clamp_min(1e-300).sqrt(), 0.0)
    mix_nmr = centred_nim.transpose(1, 2) @ (vectors_nir * scale_nr[:, None])
    read_nmr = reduce_ncm.transpose(1, 2) @ (reduce_ncm @ mix_nmr)
    missing = count - mix_nmr.shape[-1]  # fewer images than components
    pad = lambda x: torch.nn.functional.pad(x, (0, missing)).float()
    return Components(pad(mix_nmr), pad(read_nmr), pad(torch.where(real_nr, values_nr, 0.0)))


def along_texts(
    x_bp: Tensor, directions_po: Tensor, atoms_wo: Tensor, index_pv: Tensor, counts: Sequence[int]
) -> Tensor:
    """Σ_p x_p t_p (r, b, o): each direction replaced by its projection on its first texts, of norm one, for each number
    of texts in `counts`. `index_pv` the texts in order of choice, rows of `atoms_wo` (`core.methods.sparse_text`)."""
    out = x_bp.new_zeros(len(counts), len(x_bp), directions_po.shape[1])
    step = max(1, _ENTRIES // (directions_po.shape[1] * max(1, len(counts))))
    for start in range(0, len(directions_po), step):
        part = slice(start, start + step)
        rebuilt_rpo = reconstructions(directions_po[part], atoms_wo, index_pv[part], counts).to(x_bp)
        out += x_bp[:, part] @ rebuilt_rpo
    return out


def _mostly_negative(along_nir: Tensor) -> Tensor:
    """Whether most images of a component are on its negative side (n, r); of an even split, whether their mean is."""
    vote_nr = along_nir.sign().sum(1)
    return (vote_nr < 0) | ((vote_nr == 0) & (along_nir.mean(1) < 0))
