"""Sparse text: a direction as a signed sum of a few texts, by orthogonal matching pursuit. Papers N (§4.3) and P.

Pick the atom (a text of the pool, scaled) with the largest |⟨atom, residual⟩|, fit all picked atoms by least squares,
take the new residual, repeat. For thousands of directions at once nearly all the time goes into ⟨atom, residual⟩ over
the whole pool, so these are *screened* in bfloat16 with a proven error bound, and only atoms that the bound cannot rule
out (one or two a direction) are compared again, in float64. So every pick is the one that float64 makes, and everything
else (least squares by Gram-Schmidt, residual, coefficients) is float64: supports and coefficients equal scikit-learn's.
No text-by-text Gram matrix is formed.

Memory beside the arguments: 2 bytes an entry of the pool for its screening copy and, for a block of b directions,
8 b m (o + m) for the least squares and 2 b w for the scores: 0.2 GB at 30,000 texts, m = 128, o = 512, b = 256.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from core.errors import PoolError

EXHAUSTED = 2.0**-26
"""A correlation up to this, relative to the norms of atom and direction, is rounding, and the pursuit ends: √ε of
float64. (scikit-learn ends where an atom's *new part* is that small, which can be a pick later.)"""
BLOCK = 256
"""Directions pursued at a time."""
SCORES = 2**26
"""Most scores (texts x directions) held at a time; with a large pool a block has fewer directions."""
_GROUP = 32  # atoms that are first ruled out together, by their largest score
_SLICE = 8192  # atoms converted to float64 at a time
_CROWD = 64  # groups left for one direction from which on all its correlations are computed in float64 instead


class AtomScaling(StrEnum):
    """How a text embedding becomes an atom, after the pool's mean is subtracted."""

    UNIT = "unit"
    """Every text divided by its own norm, as the papers describe it."""
    PAPER = "paper"
    """Every *dimension* divided by its norm over the texts, as the released code does; norms then differ by text."""


@dataclass(frozen=True)
class SparseText:
    """The decomposition of n directions into m picks each.

    `index_nm` rows of the pool in order of choice, -1 where nothing was left to explain; `coefficient_nm` of the least
    squares fit on all picks (0 where there is none); `residual_nm` the share of the direction's squared norm that is
    left after the first 1..m picks (1 throughout for a zero direction, about which texts say nothing).
    """

    index_nm: Tensor
    coefficient_nm: Tensor
    residual_nm: Tensor

    @property
    def cosine_nm(self) -> Tensor:
        """Cosine between the direction and its reconstruction from the first 1..m picks: a projection, so √(1 - ε)."""
        return (1 - self.residual_nm).clamp_min(0).sqrt()


def text_atoms(texts_wo: Tensor, scaling: AtomScaling = AtomScaling.UNIT) -> Tensor:
    """Atoms (w, o) float64 of text embeddings, centred on their mean over the pool.

    A text that equals the mean is a zero atom and is never picked. PoolError if that holds for all of them (a pool of
    one text, or of the same text throughout) or an embedding is not finite.
    """
    if texts_wo.ndim != 2 or not texts_wo.shape[0]:
        raise PoolError(f"The pool's embeddings have shape {tuple(texts_wo.shape)}; expected one row a text.")
    texts = texts_wo.double()
    if not texts.isfinite().all():
        raise PoolError("Embeddings of the text pool are not finite. Embed the pool again and check the text weights.")
    centred = texts - texts.mean(0)
    # what float64 leaves of a text that equals the mean, or of a dimension in which all texts agree
    nothing = 1e-12 * texts.norm(dim=1).amax()
    if (centred.norm(dim=1) <= nothing).all():
        raise PoolError(
            f"The text pool has {len(texts)} text{'s' if len(texts) > 1 else ''} and no two differ. Directions are "
            "described by how texts differ from the pool's mean: give at least two different texts."
        )
    norm = centred.norm(dim=1 if scaling is AtomScaling.UNIT else 0, keepdim=True)
    return torch.where(norm > nothing, centred / norm, 0)


def pursue(
    directions_no: Tensor,
    atoms_wo: "Tensor | Dictionary",
    picks: int,
    *,
    block: int = BLOCK,
    screen: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SparseText:
    """Decompose directions (n, o) over atoms (w, o) with at most `picks` atoms each, on the tensors' device.

    Ties go to the earlier text, so of equal atoms only the first is ever picked. Whoever asks about the same atoms
    again gives them as a `Dictionary`, which takes longer to make than one direction to pursue. `screen` dtype of the
    screening products (None: the fastest here); neither it nor `block` changes a pick. `progress` is called with
    (picks made, n · picks). A direction that its picks represent exactly, or a pool without further independent atoms,
    ends with -1. ValueError on shapes that do not fit or directions that are not finite.
    """
    dictionary = atoms_wo if isinstance(atoms_wo, Dictionary) else None
    atoms_wo = atoms_wo.atoms_wo if isinstance(atoms_wo, Dictionary) else atoms_wo
    if directions_no.ndim != 2 or atoms_wo.ndim != 2 or directions_no.shape[1] != atoms_wo.shape[1]:
        raise ValueError(
            f"directions {tuple(directions_no.shape)} and atoms {tuple(atoms_wo.shape)}: expected (n, o) and (w, o)"
        )
    if picks < 1 or block < 1 or not len(atoms_wo):
        raise ValueError(f"{picks} picks, blocks of {block}, {len(atoms_wo)} atoms: expected at least one of each")
    if not directions_no.isfinite().all():
        raise ValueError("directions hold NaN or infinity: leave out units that have no direction")
    dictionary = dictionary or Dictionary(atoms_wo, screen)
    block = max(1, min(block, SCORES // len(atoms_wo)))
    parts, total = [], len(directions_no) * picks
    for start in range(0, len(directions_no), block):
        rows_no = directions_no[start : start + block].double()

        def made(step: int, start: int = start, rows: int = len(rows_no)) -> None:
            if progress is not None:
                progress(start * picks + rows * step, total)

        parts.append(_pursue_block(rows_no, dictionary, picks, made))
    if not parts:
        empty = torch.zeros(0, picks, dtype=torch.float64, device=directions_no.device)
        return SparseText(empty.long(), empty, empty)
    return SparseText(*(torch.cat(part) for part in zip(*parts, strict=True)))


def refit(directions_no: Tensor, atoms_wo: Tensor, index_nm: Tensor) -> Tensor:
    """Least squares coefficients (n, m) float64 on given picks, -1 for none: `index_nm[:, :k]` are the k-pick results.

    The picks must be independent, as those of `pursue` are.
    """
    given_nm = index_nm >= 0
    picked_nmo = atoms_wo[index_nm.clamp_min(0)].double() * given_nm[..., None]
    gram_nmm = picked_nmo @ picked_nmo.mT + torch.diag_embed((~given_nm).double())
    target_nm = (picked_nmo @ directions_no.double()[..., None])[..., 0]
    return torch.linalg.solve(gram_nmm, target_nm)


def reconstruct(result: SparseText, atoms_wo: Tensor) -> Tensor:
    """The directions' reconstructions (n, o) float64 from all their picks."""
    picked_nmo = atoms_wo[result.index_nm.clamp_min(0)].double()
    return torch.einsum("nm,nmo->no", result.coefficient_nm, picked_nmo)


def fastest_screen(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively; elsewhere it would be emulated, slower than float32."""
    if device.type == "cuda":
        return torch.bfloat16
    can = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return torch.bfloat16 if can.get("avx512_bf16") or can.get("amx_bf16") else torch.float32


def _pursue_block(
    rows_no: Tensor, dictionary: "Dictionary", picks: int, made: Callable[[int], None]
) -> tuple[Tensor, Tensor, Tensor]:
    """Index, coefficient and residual (n, m) of one block. Finished directions are dropped from the work arrays."""
    (n, o), device = rows_no.shape, rows_no.device
    norm_n1 = rows_no.norm(dim=1, keepdim=True)
    residual_lo = torch.where(norm_n1 > 0, rows_no / norm_n1, 0)
    index_nm = torch.full((n, picks), -1, device=device)
    left_nm = torch.ones(n, picks, dtype=torch.float64, device=device)
    along_nm = torch.zeros_like(left_nm)  # coefficients over the orthonormal basis
    upper_nmm = torch.eye(picks, dtype=torch.float64, device=device).repeat(n, 1, 1)  # atoms = basis · upper
    basis_lmo = torch.zeros(n, picks, o, dtype=torch.float64, device=device)
    live_l = torch.arange(n, device=device)
    for step in range(picks):
        best_l, score_l = dictionary.best(residual_lo)
        # where a text is the best again, what is left is rounding: a residual is orthogonal to its picks
        again_l = (index_nm[live_l, :step] == best_l[:, None]).any(1)
        going = (score_l.abs() > EXHAUSTED * dictionary.norm_w[best_l]) & ~again_l
        if not going.all():
            live_l, best_l, residual_lo, basis_lmo = (x[going] for x in (live_l, best_l, residual_lo, basis_lmo))
            if not len(live_l):
                break
        # one Gram-Schmidt step is enough: what is new in an atom is at least EXHAUSTED of it, or it were not the best
        atom_lo, known_lko = dictionary.rows(best_l), basis_lmo[:, :step]
        within_l1k = torch.bmm(atom_lo[:, None], known_lko.mT)
        next_lo = atom_lo - torch.bmm(within_l1k, known_lko)[:, 0]
        length_l = next_lo.norm(dim=1)
        next_lo /= length_l[:, None]
        along_l = (next_lo * residual_lo).sum(1)
        residual_lo -= along_l[:, None] * next_lo
        basis_lmo[:, step] = next_lo
        upper_nmm[live_l, :step, step], upper_nmm[live_l, step, step] = within_l1k[:, 0], length_l
        index_nm[live_l, step], along_nm[live_l, step] = best_l, along_l
        left_nm[live_l, step:] = residual_lo.square().sum(1, keepdim=True)
        made(step + 1)
    made(picks)
    coefficient_nm = torch.linalg.solve_triangular(upper_nmm, along_nm[..., None], upper=True)[..., 0]
    return index_nm, coefficient_nm * norm_n1, left_nm


class Dictionary:
    """A pool of atoms that answers which one a residual correlates with most, exactly."""

    def __init__(self, atoms_wo: Tensor, screen: torch.dtype | None = None) -> None:
        screen = screen or fastest_screen(atoms_wo.device)
        self.atoms_wo = atoms_wo
        self.screen_wo = torch.nn.functional.pad(atoms_wo.to(screen), (0, 0, 0, -len(atoms_wo) % _GROUP))
        self.norm_w = torch.cat([part.double().norm(dim=1) for part in self._slices()])
        self.reach = float(self.norm_w.amax())
        self.unit = torch.finfo(screen).eps / 2
        rounding = (
            part.double() - copy.double()
            for part, copy in zip(self._slices(), self.screen_wo[: len(atoms_wo)].split(_SLICE), strict=True)
        )
        slack = max(float(part.norm(dim=1).amax()) for part in rounding)
        # float32 sums of o products; a GPU may also round partial sums to bfloat16, or factors to TF32
        sums = self.reach * ((atoms_wo.shape[1] + 2) * 2.0**-24 + (2.0**-8 if atoms_wo.is_cuda else 0))
        self.error = 1.01 * (slack + sums)  # for a residual of norm one, whose own rounding makes its norm up to 1.004

    def rows(self, index_n: Tensor) -> Tensor:
        return self.atoms_wo.index_select(0, index_n).double()

    def _slices(self) -> tuple[Tensor, ...]:
        return self.atoms_wo.split(_SLICE)

    def best(self, residual_no: Tensor) -> tuple[Tensor, Tensor]:
        """The atom with the largest |⟨atom, residual⟩| for each residual (ties: the earliest), and that product.

        Screening: with e = |computed - true| ≤ E + u |computed|, an atom can only be the best if its computed score is
        at least top (1 - 4u) - 2E. E: rounding of the atoms and of the residual (Cauchy-Schwarz), and of the sums.
        """
        unit_no = residual_no / residual_no.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        screen_no = unit_no.to(self.screen_wo.dtype)
        score_wn = self.screen_wo @ screen_no.T
        # group g holds atoms g, g + groups, g + 2 groups, ...: a reduction over the slowest axis, which is the fast one
        score_rgn = score_wn.view(_GROUP, -1, len(residual_no))
        peak_gn = torch.maximum(score_rgn.amax(0), -score_rgn.amin(0))
        error_n = (unit_no - screen_no.double()).norm(dim=1) * self.reach + self.error
        floor_n = (peak_gn.amax(0).double() * (1 - 4 * self.unit) - 2 * error_n).to(torch.float32)
        open_gn = peak_gn >= floor_n
        crowded_n = open_gn.sum(0) > _CROWD
        group_c, row_c = torch.nonzero(open_gn & ~crowded_n, as_tuple=True)
        seen_rc = score_rgn[:, group_c, row_c].abs() >= floor_n[row_c]
        member_k, which_k = torch.nonzero(seen_rc, as_tuple=True)
        atom_k, row_k = member_k * len(peak_gn) + group_c[which_k], row_c[which_k]
        # the last group's padding is all zero: an atom past the pool competes only where nothing is left
        atom_k, row_k = atom_k[atom_k < len(self.atoms_wo)], row_k[atom_k < len(self.atoms_wo)]
        best_n, score_n = self._compare(atom_k, row_k, residual_no)
        if crowded_n.any():
            for rows in torch.nonzero(crowded_n)[:, 0].split(16):
                best_n[rows], score_n[rows] = self._best_of_all(residual_no[rows])
        return best_n, score_n

    def _best_of_all(self, residual_no: Tensor) -> tuple[Tensor, Tensor]:
        """The same over the whole pool in float64: for residuals that are as good as orthogonal to it."""
        score_nw = torch.cat([residual_no @ part.double().T for part in self._slices()], dim=1).abs()
        # a matrix product rounds equal atoms apart, by where they stand: those that close are compared once more
        rounding_n = residual_no.norm(dim=1) * self.reach * (residual_no.shape[1] * 2.0**-52)
        top_n = score_nw.amax(1)
        row_k, atom_k = torch.nonzero(
            (score_nw >= (top_n - rounding_n)[:, None]) & (top_n > rounding_n)[:, None], as_tuple=True
        )
        return self._compare(atom_k, row_k, residual_no)

    def _compare(self, atom_k: Tensor, row_k: Tensor, residual_no: Tensor) -> tuple[Tensor, Tensor]:
        """For each residual the best of its candidates (atom, row) in float64, the earliest of equals; 0 for none."""
        n, none = len(residual_no), len(self.atoms_wo)
        exact_k = (self.rows(atom_k) * residual_no.index_select(0, row_k)).sum(1)
        top_n = exact_k.new_zeros(n).scatter_reduce(0, row_k, exact_k.abs(), "amax")
        tied_k = exact_k.abs() == top_n[row_k]
        best_n = row_k.new_full((n,), none).scatter_reduce(0, row_k[tied_k], atom_k[tied_k], "amin")
        won_k = atom_k == best_n[row_k]
        score_n = exact_k.new_zeros(n).index_copy(0, row_k[won_k], exact_k[won_k])
        return torch.where(best_n < none, best_n, 0), score_n
