"""What cues need of a live model: representations of many pictures, and every neuron's indirect effect on a class.

Paper N (Gandelsman et al. 2025) compares cues by second-order effects with cues by indirect effects: what is lost when
a neuron's activation is replaced by its mean and the rest of the model runs on.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from core.errors import InputError
from core.explain.explainer import Explainer
from core.methods.neuron_effects import indirect_effects
from core.store.neurons import NeuronTable

Progress = Callable[[int, int], None]
_BATCH = 32
_NEURONS = 32  # ablated between two chances for other sessions


def represent(explainer: Explainer, images: Sequence[Image.Image], progress: Progress | None = None) -> np.ndarray:
    """Unit representations (n, o) of RGB images, a batch at a time: others wait for a batch, not for all."""
    parts = []
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH]

        def compute(part: Sequence[Image.Image] = part) -> np.ndarray:
            trace = explainer.model.tower.trace(explainer.model.batch(part), ())
            return (trace.representation_bo / trace.norm_b[:, None]).float().cpu().numpy()

        parts.append(explainer.run(compute))
        if progress is not None:
            progress(start + len(part), len(images))
    return np.concatenate(parts) if parts else np.zeros((0, explainer.model.tower.out_dim), np.float32)


def indirect(
    explainer: Explainer, table: NeuronTable, images: Sequence[Image.Image], progress: Progress | None = None
) -> np.ndarray:
    """The indirect effect of every neuron of the table, (n, o), its mean over some RGB images: mean-ablated token by
    token, by the means the bundle stores. Its product with t_c2 - t_c1 is what the neuron adds to the difference of
    cosines. Costs a pass from the neuron's layer on for each neuron and image. InputError without images."""
    if not images:
        raise InputError("Indirect effects are measured on images; there is none of this class.")
    total, made = len(table.layers) * table.neurons, []
    for i, layer in enumerate(table.traced):
        mean_nt = np.asarray(table.array("token_activation_mean")[i])
        for start in range(0, table.neurons, _NEURONS):
            rows = range(start, min(start + _NEURONS, table.neurons))

            def compute(layer: int = layer, rows: range = rows, mean_nt: np.ndarray = mean_nt) -> np.ndarray:
                model = explainer.model
                replaced_nt = torch.from_numpy(mean_nt[rows.start : rows.stop].copy()).to(model.device)
                effect_bno = indirect_effects(model.tower, model.batch(images), layer, list(rows), replaced_nt)
                return effect_bno.mean(0).cpu().numpy()

            made.append(explainer.run(compute))
            if progress is not None:
                progress(i * table.neurons + rows.stop, total)
    return np.concatenate(made)
