"""The table of sparsity and rank of a bundle that is being made, from the scalars that its run kept."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from core.bundle.write import BundleWriter
from core.methods.neuron_head import NeuronHead
from core.methods.sparse_text import text_atoms
from precompute.characterise import Unfinished, doublings, labels
from precompute.neurons import MeasuredNeurons
from precompute.plan import Plan
from precompute.sparsity import Judged, as_table, sparsity
from precompute.sparsity_fit import GRID, fitted
from precompute.sparsity_texts import DescribedPairs

TEXTS = 8
"""Most texts that pairs are rebuilt from here; the command takes any number."""


def write_sparsity(
    plan: Plan,
    writer: BundleWriter,
    made: Sequence[NeuronHead],
    measured: MeasuredNeurons,
    pool: str,
    seen: Callable[[int], None] = lambda n: None,
) -> None:
    """After the arrays of pairs and of classes; no table where no measured image has a class. `seen` is told of
    measured images done."""
    source = Unfinished(plan.folder)
    label_i = labels(source)
    if not (label_i >= 0).any():
        return
    unit_io = np.asarray(source.array("representations")[measured.image_ids])
    judged = Judged(unit_io, label_i, np.asarray(source.array("class_embeddings")))
    # heads that are not later than a layer come first on the axis, as nothing
    by_layer = zip(made, source.array("pair_score"), strict=True)
    fits = fitted(
        made, measured, len(label_i), GRID, [np.asarray(s_nm[:, -len(lens.pairs) :]) for lens, s_nm in by_layer]
    )
    atoms_wo = text_atoms(torch.from_numpy(np.array(source.array("text_embeddings"), np.float32)))
    row_p, index_pv = (np.asarray(source.array(f"pair_text_{name}")) for name in ("rows", "index"))
    described = DescribedPairs(fits, row_p, index_pv, atoms_wo, doublings(min(TEXTS, index_pv.shape[1])), pool)
    writer.table("sparsity", as_table(sparsity(fits, measured, judged, seen, [described])))
