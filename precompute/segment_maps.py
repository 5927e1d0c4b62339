"""The ways to a map of where a text is, for a batch of images; see `core.methods.segmentation`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.bundle.read import Bundle
from core.errors import InputError
from core.ids import traced
from core.methods.first_order import FirstOrder
from core.methods.heatmaps import text_heatmaps
from core.methods.layernorm import Convention
from core.methods.segmentation import (
    attention_map,
    choose_neurons,
    full_attention,
    neuron_map,
    resize,
    rollout_map,
    stretch,
)
from core.models.load import LoadedModel
from core.models.tower import Trace
from precompute.grad_cam import grad_cam

METHODS = {
    "heads": "what the bundle's heads write toward the class, by patch (paper H)",
    "heads-average": "the same, less the average over the classes",
    "neurons": "mean activation of the neurons whose direction is most along or against the class (paper N)",
    "neurons-average": "the same, along or against the class less the average over the classes",
    "neurons-signed": "as neurons, those against the class counted negatively",
    "attention": "the class token's attention in the last layer, mean over heads",
    "rollout": "attention rolled out through all layers",
    "grad-cam": "Grad-CAM of the class's cosine",
}
NEURON_METHODS = ("neurons", "neurons-average", "neurons-signed")


@dataclass(frozen=True)
class Unable:
    """A method that a model or bundle cannot be asked for, and why."""

    method: str
    reason: str


def usable(asked: Sequence[str], bundle: Bundle, classes: int) -> tuple[tuple[str, ...], tuple[Unable, ...]]:
    """Of the methods asked for those that can be had, and why the others cannot. InputError if none can."""
    reasons: dict[str, str] = {}
    resnet = bundle.facts["model"]["tower"] == "resnet"
    if classes < 2:
        told = "the images have one class, whose average is itself"
        reasons |= {"heads-average": told, "neurons-average": told}
    if resnet:
        reasons["rollout"] = "a ResNet attends once, in its pool: there is nothing to roll out"
    if not bundle.has("neuron_direction"):
        reasons |= dict.fromkeys(NEURON_METHODS, "this bundle has no neurons")
    able = tuple(method for method in asked if method not in reasons)
    unable = tuple(Unable(method, reasons[method]) for method in asked if method in reasons)
    if not able:
        raise InputError("Nothing can be scored: " + "; ".join(f"{one.method}: {one.reason}" for one in unable) + ".")
    return able, unable


class Maps:
    """Maps by the `methods`, for one model and bundle; `top` neurons for a class."""

    def __init__(self, model: LoadedModel, bundle: Bundle, methods: Sequence[str], top: int) -> None:
        self.model, self.methods, self.top = model, methods, top
        labels = bundle.axes["layer"].labels or []
        layers = traced(labels)
        self.lens = FirstOrder(model.tower, layers, Convention(bundle.facts["layernorm"]))
        self.neuron_layers: tuple[int, ...] = ()
        if set(NEURON_METHODS) & set(methods):
            self.neuron_layers = traced(bundle.axes["neuron_layer"].labels or ())
            direction_lno = torch.from_numpy(np.array(bundle.array("neuron_direction"), np.float32))
            self.direction_no = direction_lno.flatten(0, 1).to(model.device)

    def __call__(self, pixels: Tensor, text_o: Tensor, average_o: Tensor) -> Mapping[str, Tensor]:
        """For each method maps (b, rows, columns) in [0, 1], as large as the preprocessed images (b, 3, rows, columns),
        toward the unit text; `average_o` the mean of all classes' texts."""
        device, tower = self.model.device, self.model.tower
        pixels, text_o, average_o = pixels.to(device), text_o.to(device), average_o.to(device)
        every = range(tower.layers) if "rollout" in self.methods else (tower.layers - 1,)
        with torch.inference_mode():
            trace = tower.trace(pixels, tuple(sorted({*self.lens.layers, *every})), neurons=self.neuron_layers)
            made = {m: self._patches(m, trace, text_o, average_o) for m in self.methods if m != "grad-cam"}
        if "grad-cam" in self.methods:
            made["grad-cam"] = grad_cam(self.model, pixels, text_o)
        size = (pixels.shape[-2], pixels.shape[-1])
        return {method: stretch(resize(made[method].float().cpu(), size)) for method in self.methods}

    def _patches(self, method: str, trace: Trace, text_o: Tensor, average_o: Tensor) -> Tensor:
        tower = self.model.tower
        if method.startswith("heads"):
            average = average_o if method == "heads-average" else None
            return text_heatmaps(self.lens, trace, text_o[None], average_o=average).total()[:, 0]
        if method in NEURON_METHODS:
            toward_o = text_o - average_o if method == "neurons-average" else text_o
            index_wk, similarity_wk = choose_neurons(self.direction_no, toward_o[None], self.top)
            activation_btn = torch.cat([trace.neurons[layer] for layer in self.neuron_layers], -1)
            sign_k = similarity_wk[0] if method == "neurons-signed" else None
            return neuron_map(activation_btn, index_wk[0], tower.grid, sign_k)
        if method == "attention":
            return attention_map(trace.heads[tower.layers - 1].attn_bht, tower.grid)
        layers = range(tower.layers)
        rows = [full_attention(tower.head_weights(layer), trace.heads[layer].z_btd) for layer in layers]
        return rollout_map(rows, tower.grid)
