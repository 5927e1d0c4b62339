"""A bundle's neurons by definition: φ of every neuron and image formed in full (float64), everything else from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.images import DecodePolicy, decode
from core.models.load import load_model
from tests.reference.plain_second_order import plain_second_order


@dataclass(frozen=True)
class PlainNeurons:
    """One layer: `phi_ino` effects, `pair_inmo` by later head, `p_itn` activations, `first_in` p_0 / (σρ)."""

    phi_ino: np.ndarray
    pair_inmo: np.ndarray
    p_itn: np.ndarray

    @property
    def centred_ino(self) -> np.ndarray:
        return self.phi_ino - self.phi_ino.mean(0)

    @property
    def norm_in(self) -> np.ndarray:
        return np.linalg.norm(self.centred_ino, axis=-1)

    def largest(self, n: int, count: int) -> np.ndarray:
        """Images of largest ‖φ - b‖ of one neuron."""
        return np.argsort(-self.norm_in[:, n], kind="stable")[:count]

    def direction(self, n: int, count: int) -> tuple[np.ndarray, float]:
        """First right singular vector of its largest images, most of them on its + side; and what it explains."""
        rows = self.centred_ino[self.largest(n, count), n]
        _, singular, vectors = np.linalg.svd(rows, full_matrices=False)
        along = rows @ vectors[0]
        sign = np.sign(np.sign(along).sum()) or np.sign(along.mean())
        return vectors[0] * sign, float(singular[0] ** 2 / (singular**2).sum())


def plain_neurons(model: Path, files: list[Path], layer: int) -> PlainNeurons:
    """All of one layer, a few images at a time."""
    loaded = load_model(str(model), device="cpu")
    pixels = [loaded.transform(decode(file.read_bytes(), DecodePolicy())) for file in files]
    few = [torch.stack(pixels[start : start + 16]) for start in range(0, len(pixels), 16)]
    made = [plain_second_order(loaded.tower.visual, images, layer, "own") for images in few]
    stack = lambda name: torch.cat([getattr(one, name) for one in made]).numpy()
    return PlainNeurons(stack("phi_bno"), stack("pair_bnmo"), stack("p_btn"))
