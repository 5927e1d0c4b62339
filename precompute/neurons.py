"""What one pass keeps of neurons, and how it is read again when all images are there (papers N and P).

The statistics of a neuron need its mean effect b and its direction r, which are known only after the pass. So the pass
keeps each neuron's scalars s (neurons x later heads numbers an image) of the images measured: all, or at most
`Settings.neuron_images` spread evenly over the manifest. They are working state, one file a shard and layer, removed
when the bundle is finished: 74 kB an image for ViT-B/32 at layer 10, 221 kB at layer 8, 131 kB for RN50.

Half precision with a fixed factor: s is an average of activations over σρ, of the order of 1e-3 (the largest seen are
about 1), so that without the factor the small ones would be subnormal. Rounding is then 2⁻¹¹ of each number. A ResNet
has no σ to divide by: its s are larger, and so is what its factor lets pass.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.bundle.atomic import atomic_npy, load_arrays
from core.bundle.npy import map_npy
from core.errors import ModelError
from core.methods.neuron_effects import activity, direct_scalars
from core.methods.neuron_head import NeuronHead
from core.methods.neuron_lens import neuron_lens
from core.models.load import LoadedModel
from core.models.tower import Tower, Trace
from precompute.ablation import chosen
from precompute.plan import Plan

_FP16_MAX = 65504.0
_IDS, _TOKENS = "neuron_id", "neuron_tokens"
MEASURES = ("activation max", "activation mean", "first order")
"""What is kept of each neuron beside s: its largest and mean activation over tokens, and its activation at the class
token over σρ, the coefficient of its direct ("logit lens") effect, which a ResNet's neurons don't have."""


def factor(plan: Plan) -> float:
    """What s is multiplied with on disk: up to 64 passes, in a ResNet up to 2,047."""
    return 32.0 if plan.is_resnet else 1024.0


def measures_of(tower: Tower) -> tuple[str, ...]:
    """Those of MEASURES that a tower's neurons have."""
    return MEASURES[:2] if tower.kind == "resnet" else MEASURES


def lenses(plan: Plan, model: LoadedModel) -> list[NeuronHead]:
    """The lens on each neuron layer of the plan."""
    return [neuron_lens(model.tower, layer) for layer in plan.neuron_layers]


class KeptNeurons:
    """What one shard keeps of its measured images, in the order of the batches."""

    def __init__(self, plan: Plan, shard: int, made: Sequence[NeuronHead], tokens: int) -> None:
        rows = plan.rows(shard)
        wanted = np.intersect1d(np.asarray(rows), chosen(plan.images, plan.settings.neuron_images))
        self._plan, self._shard, self._lenses = plan, shard, made
        self._wanted = set(wanted.tolist()) if made else set()
        self._ids: list[int] = []
        size = len(self._wanted)
        self._scalars = [np.zeros((lens.neurons, size, len(lens.pairs)), np.float16) for lens in made]
        self._measures = [np.zeros((lens.neurons, size, len(measures_of(lens.tower))), np.float32) for lens in made]
        neurons = made[0].neurons if made else 0
        self._tokens = np.zeros((len(made), neurons, tokens), np.float64)

    def layers(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The neuron layers that a pass over these images must tap: none where no image of them is measured."""
        measured = not self._wanted.isdisjoint(ids)
        return tuple(lens.layer for lens in self._lenses) if measured else ()

    def update(self, ids: Sequence[int], trace: Trace) -> None:
        """Add a batch, its images in the order of `ids`; traced with the neurons of `layers(ids)`."""
        at = [b for b, image_id in enumerate(ids) if image_id in self._wanted]
        if not at:
            return
        here = slice(len(self._ids), len(self._ids) + len(at))
        self._ids += [ids[b] for b in at]
        for i, lens in enumerate(self._lenses):
            p_btn = trace.neurons[lens.layer][at]
            s_bnm = lens.scalars(trace)[at] * factor(self._plan)
            if float(s_bnm.abs().max()) > _FP16_MAX:
                raise ModelError(
                    f"Neurons of image {self._ids[here.start]} or one of the {len(at) - 1} after it act more strongly "
                    "than half precision can keep: add --neuron-layers none to leave neurons out."
                )
            self._scalars[i][:, here] = s_bnm.transpose(0, 1).cpu().numpy()
            self._measures[i][:, here] = measures(trace, lens)[at].transpose(0, 1).cpu().numpy()
            self._tokens[i] += p_btn.sum(0).T.double().cpu().numpy()

    def save(self) -> dict[str, np.ndarray]:
        """Write the large arrays beside the shard's partial; returns the small ones, which go into it."""
        count = len(self._ids)  # images that could not be used leave room at the end
        for i, lens in enumerate(self._lenses):
            atomic_npy(_path(self._plan, self._shard, lens.layer, "s"), self._scalars[i][:, :count])
            atomic_npy(_path(self._plan, self._shard, lens.layer, "a"), self._measures[i][:, :count])
        return {_IDS: np.array(self._ids, np.int64), _TOKENS: self._tokens}


def measures(trace: Trace, lens: NeuronHead) -> Tensor:
    """(b, n, 3 or 2): see MEASURES."""
    active = activity(trace, lens.layer)
    direct = [direct_scalars(trace, lens.layer)] if len(measures_of(lens.tower)) == 3 else []
    return torch.stack([active.max_bn, active.mean_bn, *direct], dim=-1)


class MeasuredNeurons:
    """What all shards kept, read a few neurons at a time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.factor = factor(plan)
        parts = [load_arrays(plan.partial(shard), [_IDS, _TOKENS]) for shard in range(plan.shards)]
        self.image_ids = np.concatenate([part[_IDS] for part in parts])
        total_lnt = np.sum([part[_TOKENS] for part in parts], axis=0)
        self.token_mean_lnt = total_lnt / max(1, len(self.image_ids))
        some = [shard for shard, part in enumerate(parts) if part[_IDS].size]  # an empty file cannot be mapped
        self._maps = {
            (layer, kind): [map_npy(_path(plan, shard, layer, kind)) for shard in some]
            for layer in plan.neuron_layers
            for kind in ("s", "a")
        }

    def scalars(self, layer: int, neurons: slice) -> np.ndarray:
        """s of some neurons of one layer, (n, i, m) fp32, images in the order of `image_ids`."""
        return self._read(layer, "s", neurons).astype(np.float32) / np.float32(self.factor)

    def measures(self, layer: int) -> np.ndarray:
        """What `measures_of` names, of all neurons of one layer: (n, i, 3 or 2) fp32."""
        return self._read(layer, "a", slice(None))

    def _read(self, layer: int, kind: str, neurons: slice) -> np.ndarray:
        return np.concatenate([part[neurons] for part in self._maps[layer, kind]], axis=1)

    def shards(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        """All neurons of one layer, some images at a time: positions in `image_ids`, and s · factor (n, i, m) fp16 as
        it lies on disk."""
        start = 0
        for part_nim in self._maps[layer, "s"]:
            yield slice(start, start + part_nim.shape[1]), part_nim
            start += part_nim.shape[1]


def _path(plan: Plan, shard: int, layer: int, kind: str) -> Path:
    """Beside the partial, sharing its stem, so that it is copied and removed with it."""
    return plan.partial(shard).with_suffix(f".{kind}{layer}.npy")
