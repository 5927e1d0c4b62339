"""The statistics of a bundle's heads and parts, streamed: update by batches, merge by shards, save and load.

Memory does not depend on how many images there are.
"""

from collections.abc import Mapping

import numpy as np
import torch

from core.methods.first_order import FirstOrder, Parts
from core.stats.cross import CrossMoments
from core.stats.moments import Moments
from core.stats.quantiles import Quantiles


class HeadStatistics:
    """Moments of every head's coordinates r, and each part's share of the representation's variance.

    A part's share is Σ_o Cov(part_o, representation_o) / Σ_o Var(representation_o): the shares of all parts sum to
    one, and one may be negative. Heads get theirs in their own coordinates, Cov(r, Qᵀ representation). Population: the
    images decoded.
    """

    def __init__(self, layers: int, heads: int, coords: int, parts: int, out: int) -> None:
        self.coords = Moments((layers, heads, coords))
        self.norms = Quantiles((layers, heads))
        self.with_unit = CrossMoments((layers, heads, coords))
        self.parts = CrossMoments((parts, out))
        self.part_norms = Moments((parts, 1))
        self.worst_residual = 0.0

    @classmethod
    def empty_like(cls, lens: FirstOrder) -> "HeadStatistics":
        layers, heads, out, coords = lens.basis_lhoc.shape
        return cls(layers, heads, coords, len(lens.names), out)

    def update(self, lens: FirstOrder, parts: Parts) -> None:
        """Add a batch."""
        coords_blhc = parts.coords_blhc.cpu().numpy()
        unit_blhc = torch.einsum("bo,lhoc->blhc", parts.unit_bo, lens.basis_lhoc).cpu().numpy()
        part_bpo = parts.part_pbo.transpose(0, 1).cpu().numpy()
        self.coords.update(coords_blhc)
        self.norms.update(np.linalg.norm(coords_blhc, axis=-1))
        self.with_unit.update(coords_blhc, unit_blhc)
        self.parts.update(part_bpo, np.broadcast_to(parts.unit_bo.cpu().numpy()[:, None], part_bpo.shape))
        self.part_norms.update(np.linalg.norm(part_bpo, axis=-1)[..., None])
        self.worst_residual = max(self.worst_residual, float(parts.residual_b.max()))

    def merge(self, other: "HeadStatistics") -> None:
        """Add another shard's images."""
        for name in _MEMBERS:
            getattr(self, name).merge(getattr(other, name))
        self.worst_residual = max(self.worst_residual, other.worst_residual)

    @property
    def total_variance(self) -> float:
        """Total variance of the unit representation; zero when all images have the same one."""
        return float(self.parts.var_y[0].sum())

    @property
    def head_share(self) -> np.ndarray:
        """(layer, head) covariance share."""
        return self.with_unit.cov.sum(-1) / (self.total_variance or np.inf)

    @property
    def part_share(self) -> np.ndarray:
        """(part,) covariance share."""
        return self.parts.cov.sum(-1) / (self.total_variance or np.inf)

    def state(self) -> dict[str, np.ndarray]:
        """Named arrays, for a partial file."""
        out = {f"{name}.{key}": value for name in _MEMBERS for key, value in getattr(self, name).state().items()}
        return out | {"worst_residual": np.array(self.worst_residual)}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> "HeadStatistics":
        made = cls.__new__(cls)
        for name, kind in _MEMBERS.items():
            own = {key.split(".", 1)[1]: value for key, value in state.items() if key.startswith(f"{name}.")}
            setattr(made, name, kind.from_state(own))
        made.worst_residual = float(state["worst_residual"])
        return made


_MEMBERS: dict[str, type[Moments] | type[Quantiles] | type[CrossMoments]] = {
    "coords": Moments,
    "norms": Quantiles,
    "with_unit": CrossMoments,
    "parts": CrossMoments,
    "part_norms": Moments,
}
