"""A directory of golden arrays (see `tests.golden`): loading it, rebuilding its model, judging one array."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import open_clip
import torch

from core.models.openclip_vit import OpenClipViT

HELPERS = ("sv_", "ts_margin", "topk_gap", "pca_major", "pca_sv", "pca_sign_safe", "_stable_", "noise")


class Verdict(NamedTuple):
    """Whether an array matches; its largest absolute and relative error; what was allowed; a remark."""

    good: bool
    error: float
    relative: float
    tolerance: float | None  # None: exact
    remark: str = ""


@dataclass(frozen=True)
class GoldenSet:
    """One activation of a directory: the model's inputs and the arrays to match."""

    config: dict
    weights: dict[str, torch.Tensor]
    images: torch.Tensor
    texts: np.ndarray
    arrays: dict[str, np.ndarray]
    noise: dict[str, list[float]]
    inputs: dict[str, np.ndarray] = field(default_factory=dict)  # of a ResNet's set, what is neither weight nor result

    @classmethod
    def load(cls, folder: Path, activation: str) -> "GoldenSet":
        inputs = np.load(folder / "inputs.npz")
        arrays: dict[str, np.ndarray] = {}
        noise: dict[str, list[float]] = {}
        for part in ("first", "second"):
            path = folder / f"{part}_{activation}.npz"
            if path.is_file():
                stored = dict(np.load(path))
                noise |= json.loads(str(stored.pop("noise", "{}")))
                arrays |= stored
        return cls(
            config=json.loads(str(inputs["config"])),
            weights={k[7:]: torch.from_numpy(inputs[k]) for k in inputs.files if k.startswith("visual.")},
            images=torch.from_numpy(inputs["images_pool"]),
            texts=inputs["texts"],
            arrays=arrays,
            noise=noise,
        )

    @property
    def wanted(self) -> list[str]:
        return [name for name in self.arrays if not any(helper in name for helper in HELPERS)]

    def tolerance(self, name: str, noise: float | None = None) -> float:
        """30 x the reference's own float32 noise (or another array's, where it was not stored), at least 2e-6 of the
        largest entry."""
        known = self.noise.get(name, [0.0])[0]
        return max(30 * max(known, noise or 0.0), 2e-6 * float(np.abs(self.arrays[name]).max()))


#: Our version of some arrays of a set, by name.
Method = Callable[[GoldenSet, str], dict[str, np.ndarray]]
#: Judges one array (its shape and finiteness are checked); keyed by how the array's name begins.
Rules = Mapping[str, Callable[[GoldenSet, str, np.ndarray], Verdict]]


def build_tower(golden: GoldenSet, activation: str) -> OpenClipViT:
    """The golden model as upstream builds it."""
    c = golden.config
    vision = {key: c[key] for key in ("layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size")}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    clip = open_clip.model.CLIP(c["embed_dim"], vision, text, quick_gelu=activation == "quickgelu")
    clip.visual.load_state_dict(golden.weights)
    return OpenClipViT(clip.visual.eval())


def close(golden: GoldenSet, name: str, ours: np.ndarray, tolerance: float | None = None) -> Verdict:
    """The rule of a plain float array."""
    return within(golden, name, np.abs(ours.astype(np.float64) - golden.arrays[name]), tolerance)


def within(
    golden: GoldenSet, name: str, error: np.ndarray, tolerance: float | None = None, remark: str = ""
) -> Verdict:
    """A verdict on errors already taken; no error at all (everything left out as a tie) is no match."""
    worst = float(error.max()) if error.size else np.inf
    bound = golden.tolerance(name) if tolerance is None else tolerance
    return Verdict(worst <= bound, worst, worst / max(float(np.abs(golden.arrays[name]).max()), 1e-300), bound, remark)
