"""Where in an image a prompt is: a map by heads or by neurons, cut into object and surroundings; for any one image."""

from dataclasses import dataclass

import numpy as np
import torch

from core.errors import InputError
from core.explain.answers import ImageTrace
from core.explain.explainer import Explainer
from core.explain.neurons import NeuronExplainer
from core.methods import segmentation


@dataclass(frozen=True)
class Segment:
    """`map_yx` a number a patch, as `by` heads or neurons have it (in units of the cosine, or of the activation);
    `unit_yx` the same as large as what the model sees, stretched to [0, 1]; `mask_yx` where that is above `cut`, which
    is `threshold`, or the map's own mean if that is None. `neurons`: those averaged, with ⟨r_n, prompt⟩."""

    text: str
    by: str
    map_yx: np.ndarray
    unit_yx: np.ndarray
    mask_yx: np.ndarray
    threshold: float | None
    cut: float
    neurons: tuple[tuple[str, float], ...] = ()

    @property
    def share(self) -> float:
        """Of the pixels, how many are in the mask."""
        return float(self.mask_yx.mean())


def by_heads(
    explainer: Explainer, image: ImageTrace, prompt: str, threshold: float | None, average_o: np.ndarray | None = None
) -> Segment:
    """By tokens: what the explainer's layers of heads write toward the prompt (paper H, §4.4), `average_o` as for
    `Explainer.heatmap`. InputError as there, and for a threshold outside 0 to 1."""
    found = explainer.heatmap(image, prompt, average_o=average_o)
    return _cut(found.text, "heads", found.total_yx, image, threshold)


def by_neurons(
    live: NeuronExplainer, image: ImageTrace, prompt: str, threshold: float | None,
    top: int = segmentation.TOP_NEURONS, average_o: np.ndarray | None = None,
) -> Segment:  # fmt: skip
    """By neurons: the mean activation of the `top` whose direction is most along or against the prompt (paper N, §5.3),
    less `average_o` as in `by_heads`. InputError as for `NeuronExplainer.map_toward`, and for the threshold."""
    map_yx, neurons = live.map_toward(image, prompt, top, average_o)
    return _cut(" ".join(prompt.split()), "neurons", map_yx, image, threshold, neurons)


def _cut(
    text: str, by: str, map_yx: np.ndarray, image: ImageTrace, threshold: float | None,
    neurons: tuple[tuple[str, float], ...] = (),
) -> Segment:  # fmt: skip
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"A map is cut between 0 and 1, not at {threshold}.")
    rows, columns = image.view_yx3.shape[:2]
    patches = torch.from_numpy(np.array(map_yx, np.float32))[None]
    unit_byx = segmentation.stretch(segmentation.resize(patches, (rows, columns)))
    mask_yx = segmentation.mask(unit_byx, threshold)[0].numpy()
    unit_yx = unit_byx[0].numpy()
    cut = float(unit_yx.mean()) if threshold is None else threshold
    return Segment(text, by, map_yx, unit_yx, mask_yx, threshold, cut, neurons)
