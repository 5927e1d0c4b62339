"""How the final LayerNorm is divided among the parts of a residual stream: one named choice.

LN(x) = γ ∘ (x - μ)/σ + β is linear in x once σ is known, but its mean and offset belong to no part in particular.
`own` centres each part by its own mean (exact and linear part by part; β and b_O are parts of their own). `equal` gives
every part the same share of μ and β, and every head of b_O, as the released code of papers H and N does. Totals are the
same; single parts differ by up to a fifth.
"""

from enum import StrEnum

from torch import Tensor

from core.models.readout import Readout
from core.models.tower import Trace


class Convention(StrEnum):
    """Which part carries the LayerNorm's mean and offset."""

    OWN = "own"
    EQUAL = "equal"


def shares(layers: int) -> int:
    """Parts of a ViT's residual stream: the embedding, and an attention and an MLP a layer."""
    return 2 * layers + 1


def contribution(x_ebd: Tensor, readout: Readout, trace: Trace, convention: Convention, share: float) -> Tensor:
    """What residual-stream terms (..., b, d) add to the unit representation: (..., b, o).

    `share` is the part's share of μ and β, used by `equal` only: 1/(2L+1) for a layer's attention or MLP.
    """
    scale_b1 = (1 / (trace.scale_b * trace.norm_b))[:, None]
    if convention is Convention.OWN:
        return readout.centred(x_ebd) * scale_b1
    offset_o = readout.offset()
    if offset_o is None:
        return readout.linear(x_ebd) * scale_b1
    mean_ebd = x_ebd - share * trace.mean_b[:, None]
    return readout.linear(mean_ebd) * scale_b1 + share * offset_o / trace.norm_b[:, None]
