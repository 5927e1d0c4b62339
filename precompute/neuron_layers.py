"""Which layers' neurons to analyse, where the user did not say: those of most second-order effect on a pilot."""

from dataclasses import replace

import torch

from core.errors import InputError
from core.methods.layer_effect import layer_totals, share_of_variance
from core.methods.layernorm import Convention
from core.models.load import LoadedModel
from precompute.config import DEFAULT_NEURON_LAYERS, Settings
from precompute.manifest import Manifest
from precompute.reader import read_images

_PILOT = 64
_BATCH = 8  # every layer's activations are there at once: 8 x 257 tokens x 24 layers x 4,096 neurons take 0.8 GB


def resolve_neuron_layers(model: LoadedModel, manifest: Manifest, settings: Settings) -> Settings:
    """`settings` with the neuron layers written out; `layer_effects` says what they were chosen by.

    Raises InputError for layers without later attention, and under the `equal` convention unless none are asked for.
    """
    tower, asked = model.tower, settings.neuron_layers
    if asked == () or (tower.kind == "vit" and tower.layers < 2):
        return replace(settings, neuron_layers=())
    if settings.layernorm is not Convention.OWN:
        if asked is None:
            return replace(settings, neuron_layers=())
        raise InputError("Neurons are measured under --layernorm own; add it, or --neuron-layers none.")
    if tower.kind == "resnet":
        if asked not in (None, (0,)):
            raise InputError(
                "A CLIP-ResNet has one layer of neurons, the channels of its last map: leave out --neuron-layers, or "
                "write none to leave neurons out."
            )
        return replace(settings, neuron_layers=(0,))
    if asked is not None:
        wrong = [layer for layer in asked if layer >= tower.layers - 1]
        if wrong:
            raise InputError(
                f"Neurons of layers 0 to {tower.layers - 2} have later attention in this model; --neuron-layers asked "
                f"for {wrong}."
            )
        return replace(settings, neuron_layers=tuple(sorted(set(asked))))
    effects = layer_effects(model, manifest, settings)
    best = sorted(effects, key=lambda layer: (-effects[layer], layer))[:DEFAULT_NEURON_LAYERS]
    return replace(settings, neuron_layers=tuple(sorted(best)))


def layer_effects(model: LoadedModel, manifest: Manifest, settings: Settings) -> dict[int, float]:
    """Each candidate layer's share of variance (see core/methods/layer_effect.py) over the usable images of a pilot,
    64 spread evenly over the manifest."""
    count = min(_PILOT, manifest.table.num_rows)
    rows = manifest.table.take([i * manifest.table.num_rows // count for i in range(count)])
    layers = tuple(range(model.tower.layers - 1))
    totals: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    units: list[torch.Tensor] = []
    reads = read_images(manifest.root, rows, settings.policy, prepare=model.transform)
    pixels = [read.prepared for read in reads if read.code is None]
    for start in range(0, len(pixels), _BATCH):
        with torch.inference_mode():
            batch = torch.stack(pixels[start : start + _BATCH]).to(model.device)
            trace = model.tower.trace(batch, (), neurons=layers)
            units.append(trace.representation_bo / trace.norm_b[:, None])
            for layer in layers:
                totals[layer].append(layer_totals(model.tower, trace, layer))
    if not units:  # the run itself says what is wrong with the images
        return dict.fromkeys(layers, 0.0)
    unit_no = torch.cat(units)
    return {layer: share_of_variance(torch.cat(totals[layer]), unit_no) for layer in layers}
