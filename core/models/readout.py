"""The last step from the residual stream to the joint space, which every part of the image passes through.

A ViT ends in a LayerNorm of the class token and a projection; a ResNet's attention pool writes into the joint space
itself. Both are linear in a part once the class token's mean μ and scale σ are known, which is what makes exact
decompositions possible (paper H, eq. 1-4).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerNormReadout:
    """f(x) = P (γ ∘ (x - μ) / σ + β). `gain_d` γ, `offset_d` β, `eps`, `proj_od` P; fp32."""

    gain_d: Tensor
    offset_d: Tensor
    eps: float
    proj_od: Tensor

    @property
    def out_dim(self) -> int:
        return self.proj_od.shape[0]

    def moments(self, x_bd: Tensor) -> tuple[Tensor, Tensor]:
        """μ and σ = sqrt(var + eps) of the class token's final residual, each of shape (b,)."""
        mean_b = x_bd.mean(-1)
        return mean_b, torch.sqrt(x_bd.var(-1, unbiased=False) + self.eps)

    def linear(self, x_ed: Tensor) -> Tensor:
        """P (γ ∘ x), without centring: (..., d) -> (..., o)."""
        return (x_ed * self.gain_d) @ self.proj_od.T

    def centred(self, x_ed: Tensor) -> Tensor:
        """P (γ ∘ Cx), C subtracting the vector's own mean: (..., d) -> (..., o)."""
        return self.linear(x_ed - x_ed.mean(-1, keepdim=True))

    def offset(self) -> Tensor:
        """Pβ, (o,): the part that no component writes."""
        return self.proj_od @ self.offset_d


@dataclass(frozen=True)
class IdentityReadout:
    """The attention pool of a CLIP-ResNet writes the representation itself: μ = 0, σ = 1, no offset."""

    out_dim: int

    def moments(self, x_bd: Tensor) -> tuple[Tensor, Tensor]:
        """Zeros and ones of shape (b,)."""
        return x_bd.new_zeros(x_bd.shape[0]), x_bd.new_ones(x_bd.shape[0])

    def linear(self, x_ed: Tensor) -> Tensor:
        """The part as it is."""
        return x_ed

    centred = linear

    def offset(self) -> None:
        """There is none."""
        return None


Readout = LayerNormReadout | IdentityReadout
