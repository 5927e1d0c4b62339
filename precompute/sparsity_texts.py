"""How well texts stand in for directions: pairs, and neurons' first components, rebuilt from texts (paper P, figure 2).

Each direction is replaced by the unit vector that its first m texts make of it, and what a unit adds is projected on
that, its mean unchanged. See `precompute.sparsity` for the rest of the representation, and for the letters; v texts.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from core.methods.pair_ablation import along_texts, write
from core.methods.sparse_text import pursue
from precompute.characterise import Source
from precompute.sparsity import Change, Judged, LayerFit, Row, Scalars, Seen, Tally, layer_number


def text_rows(
    fits: Sequence[LayerFit],
    kept: Scalars,
    judged: Judged,
    atoms_wo: Tensor,
    counts: Sequence[int],
    pool: str,
    index_lpv: Sequence[Tensor] | None = None,
    seen: Seen = lambda n: None,
) -> list[Row]:
    """Pairs, then neurons, rebuilt from each number of texts of `counts`: by layer, and of all layers together.

    `index_lpv` the texts of each layer's pairs (n·m rows) where they are known; neurons are then left out. `seen` is
    told of neurons done. Holds len(counts) numbers of the joint space an image, twice.
    """
    tally, everything = Tally(judged), slice(0, len(judged.label_i))
    together: dict[Change, Tensor] = {}
    for at, fit in enumerate(fits):
        index_pv = None if index_lpv is None else index_lpv[at]
        for change, change_io in _changes(fit, kept, atoms_wo, counts, pool, index_pv, seen):
            tally.add(change, layer_number(fit), everything, change_io)
            if len(fits) > 1:
                together[change] = together.get(change, torch.zeros_like(change_io)) + change_io
    for change, change_io in together.items():
        tally.add(change, None, everything, change_io)
    return tally.rows()


def stored_texts(source: Source, pairs: Sequence[int], neurons: int) -> list[Tensor] | None:
    """The texts of each layer's pairs as a bundle keeps them, (n·m, v); None unless it describes every pair.

    `pairs` how many heads read each layer: on the bundle's axis they are the last ones.
    """
    heads, rows = source.array("pair_score").shape[-1], np.asarray(source.array("pair_text_rows"))
    if len(rows) < neurons * sum(pairs):
        return None
    index = np.asarray(source.array("pair_text_index"))
    all_lnmv = np.full((len(pairs) * neurons * heads, index.shape[1]), -1, np.int64)
    all_lnmv[rows] = index
    parts = all_lnmv.reshape(len(pairs), neurons, heads, -1)
    return [torch.from_numpy(part[:, heads - m :].reshape(neurons * m, -1)) for part, m in zip(parts, pairs, strict=True)]


def _changes(
    fit: LayerFit,
    kept: Scalars,
    atoms_wo: Tensor,
    counts: Sequence[int],
    pool: str,
    index_pv: Tensor | None,
    seen: Seen,
) -> Iterator[tuple[Change, Tensor]]:
    lens, out = fit.lens, fit.lens.writer_mok.shape[1]
    m, device = len(lens.pairs), fit.device
    atoms_wo = atoms_wo.to(device)
    all_io = torch.zeros(fit.images, out, device=device)
    pairs_rio = torch.zeros(len(counts), fit.images, out, device=device)
    neurons_rio = torch.zeros_like(pairs_rio)
    for part in fit.parts():
        s_nim = kept.scalars(lens.layer, part) - fit.mean_nm[part, None]
        centred_inm = torch.from_numpy(s_nim).to(device).transpose(0, 1)
        all_io += write(torch.einsum("inm,nmk->imk", centred_inm, lens.value_nmk[part]), lens.writer_mok)
        unit_po = torch.nn.functional.normalize(lens.directions(part).flatten(0, 1), dim=-1)
        x_ip = (centred_inm * lens.lengths_nm[part]).flatten(1)
        if index_pv is None:
            chosen_pv = pursue(unit_po, atoms_wo, max(counts)).index_nm
        else:
            chosen_pv = index_pv[part.start * m : part.stop * m].to(device)
        pairs_rio += along_texts(x_ip, unit_po, atoms_wo, chosen_pv, counts)
        if index_pv is None:
            first = fit.components.of(part)
            unit_no = first.directions(lens.value_nmk[part], lens.writer_mok, 1)[:, 0]
            x_in = (centred_inm * first.read_nmr[..., 0]).sum(-1)
            index_nv = pursue(unit_no, atoms_wo, max(counts)).index_nm
            neurons_rio += along_texts(x_in, unit_no, atoms_wo, index_nv, counts)
        seen(part.stop - part.start)
    for unit, made_rio in (("pairs", pairs_rio), ("neurons", neurons_rio))[: 1 if index_pv is not None else 2]:
        for count, made_io in zip(counts, made_rio, strict=True):
            yield Change("texts", unit, count, pool=pool), made_io - all_io
