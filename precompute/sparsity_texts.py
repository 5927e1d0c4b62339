"""How well texts stand in for directions: pairs, and neurons' first components, rebuilt from texts (paper P, figure 2).

Each direction, a pair's own or a neuron's first component, is replaced by the unit vector that its first m texts make
of it; what the pair or neuron adds is projected on that, its mean unchanged (as in the released code). See
`precompute.sparsity` for the rest of the representation, and for the letters; v texts.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from core.methods.characterise import reconstructions
from core.methods.pair_ablation import along_texts, write
from core.methods.sparse_text import pursue
from precompute.sparsity import Judged, Row, Tally
from precompute.sparsity_fit import Block, Change, LayerFit, Scalars, Seen, layer_number


def text_rows(
    fits: Sequence[LayerFit],
    kept: Scalars,
    judged: Judged,
    atoms_wo: Tensor,
    counts: Sequence[int],
    pool: str,
    seen: Seen = lambda n: None,
) -> list[Row]:
    """Pairs, then neurons, rebuilt from each number of texts of `counts`: by layer, and of all layers together.

    `seen` is told of neurons done. Holds len(counts) vectors of the joint space an image, four times.
    """
    tally, everything = Tally(judged), slice(0, len(judged.label_i))
    together: dict[Change, Tensor] = {}
    for fit in fits:
        for change, change_io in _changes(fit, kept, atoms_wo, counts, pool, seen):
            tally.add(everything, [(change, layer_number(fit), change_io)])
            if len(fits) > 1:
                together[change] = together.get(change, torch.zeros_like(change_io)) + change_io
    tally.add(everything, [(change, None, change_io) for change, change_io in together.items()])
    return tally.rows()


def _changes(
    fit: LayerFit,
    kept: Scalars,
    atoms_wo: Tensor,
    counts: Sequence[int],
    pool: str,
    seen: Seen,
) -> Iterator[tuple[Change, Tensor]]:
    lens, device = fit.lens, fit.device
    atoms_wo, texts = atoms_wo.to(device), max(counts)
    all_io = torch.zeros(fit.images, lens.writer_mok.shape[1], device=device)
    pairs_rio = torch.zeros(len(counts), *all_io.shape, device=device)
    neurons_rio = torch.zeros_like(pairs_rio)
    for part in fit.parts():
        s_nim = kept.scalars(lens.layer, part) - fit.mean_nm[part, None]
        centred_inm = torch.from_numpy(s_nim).to(device).transpose(0, 1)
        all_io += lens.total(centred_inm, part)
        direction_nmo = lens.directions(part)
        unit_po = torch.nn.functional.normalize(direction_nmo.flatten(0, 1), dim=-1)
        x_ip = (centred_inm * lens.lengths_nm[part]).flatten(1)
        pairs_rio += along_texts(x_ip, unit_po, atoms_wo, pursue(unit_po, atoms_wo, texts).index_nm, counts)
        first_no = fit.component_nro[part, 0]
        texts_rno = reconstructions(first_no, atoms_wo, pursue(first_no, atoms_wo, texts).index_nm, counts)
        read_rnm = torch.einsum("nmo,rno->rnm", direction_nmo, texts_rno)
        neurons_rio += torch.einsum("inm,rnm->rin", centred_inm, read_rnm) @ texts_rno
        seen(part.stop - part.start)
    for unit, made_rio in (("pairs", pairs_rio), ("neurons", neurons_rio)):
        for count, made_io in zip(counts, made_rio, strict=True):
            yield Change("texts", unit, count, pool=pool), made_io - all_io


class DescribedPairs:
    """What the pairs that a bundle describes add when all others are mean-ablated: themselves, and rebuilt from their
    first texts, for each number of them in `counts`.

    `row_p` (layer position · neurons + neuron) · heads + head of each, heads on the bundle's axis, where those that are
    not later than a layer come first; `index_pv` their texts.
    """

    def __init__(
        self,
        fits: Sequence[LayerFit],
        row_p: np.ndarray,
        index_pv: np.ndarray,
        atoms_wo: Tensor,
        counts: Sequence[int],
        pool: str,
    ) -> None:
        self._counts, self._pool = counts, pool
        self._heads = max(len(fit.lens.pairs) for fit in fits)
        self._made = {fit.lens.layer: self._of(fit, at, row_p, index_pv, atoms_wo) for at, fit in enumerate(fits)}

    def _of(
        self, fit: LayerFit, at: int, row_p: np.ndarray, index_pv: np.ndarray, atoms_wo: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Neurons and heads (p,) of a layer's pairs, and what s - s̄ is multiplied with (r, p, o): D, then by texts."""
        lens, absent = fit.lens, self._heads - len(fit.lens.pairs)
        mine = np.flatnonzero(row_p // (lens.neurons * self._heads) == at)
        by_neuron = np.divmod(row_p[mine].astype(np.int64) % (lens.neurons * self._heads), self._heads)
        neuron_p, head_p = (torch.from_numpy(position).to(fit.device) for position in by_neuron)
        head_p = head_p - absent
        value_pk, writer_pok = lens.value_nmk[neuron_p, head_p], lens.writer_mok
        direction_po = value_pk.new_zeros(len(value_pk), writer_pok.shape[1])
        for head, writer_ok in enumerate(writer_pok):
            direction_po[head_p == head] = value_pk[head_p == head] @ writer_ok.T
        unit_po = torch.nn.functional.normalize(direction_po, dim=-1)
        chosen_pv = torch.from_numpy(index_pv[mine].astype(np.int64)).to(fit.device)
        texts_rpo = reconstructions(unit_po, atoms_wo.to(fit.device), chosen_pv, self._counts)
        # D projected on the text direction t: ⟨D, t⟩ t
        projected_rpo = (direction_po * texts_rpo).sum(-1, keepdim=True) * texts_rpo
        return neuron_p, head_p, torch.cat([direction_po[None], projected_rpo])

    def __call__(self, fit: LayerFit, block: Block) -> Iterator[tuple[Change, Tensor]]:
        """The changes of some images; see `precompute.sparsity.sparsity`."""
        neuron_p, head_p, written_rpo = self._made[fit.lens.layer]
        c_pb = block.by_head_mbn[head_p, :, neuron_p]
        all_bo = write(block.value_bmk, fit.lens.writer_mok)
        everything = fit.mean_nm.size
        kept = Change("kept", "pairs", 100 * len(neuron_p) / everything, len(neuron_p))
        texts = [Change("texts", "pairs", count, len(neuron_p), self._pool) for count in self._counts]
        for change, written_po in zip([kept, *texts], written_rpo, strict=True):
            yield change, c_pb.T @ written_po - all_bo
