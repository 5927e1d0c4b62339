"""Grad-CAM (Selvaraju et al. 2017) of a text's cosine, by the `grad-cam` package: a baseline of segmentation.

As the package advises for transformers, the map is of the last block's first LayerNorm, the last place where patches
still matter; in a ResNet it is of the last map.
"""

from typing import Any

import torch
from torch import Tensor, nn

from core.models.load import LoadedModel
from core.models.tower import input_dtype


def grad_cam(model: LoadedModel, pixels: Tensor, text_o: Tensor) -> Tensor:
    """Maps (b, rows, columns) in [0, 1], as large as the preprocessed images (b, 3, s, s), toward a unit text (o,)."""
    from pytorch_grad_cam import GradCAM  # here, since it brings OpenCV and Matplotlib, which only this needs

    visual: Any = model.tower.visual
    grid = model.tower.grid
    vit = model.tower.kind == "vit"
    layer = visual.transformer.resblocks[-1].ln_1 if vit else visual.layer4
    patches = lambda x_btd: x_btd[:, 1:].unflatten(1, grid).permute(0, 3, 1, 2)
    # its hooks stay on the model until it is released, and would read every other pass
    with model.tower.lock, torch.enable_grad():
        method = GradCAM(_Cosine(visual, text_o), [layer], reshape_transform=patches if vit else None)
        try:
            # the weights take no gradients here, so the pixels must, for there to be any
            map_byx = method(pixels.clone().requires_grad_(), [lambda score: score] * len(pixels))
        finally:
            method.activations_and_grads.release()
    return torch.from_numpy(map_byx).float().clamp(0, 1)


class _Cosine(nn.Module):
    """The score that is differentiated."""

    def __init__(self, visual: nn.Module, text_o: Tensor) -> None:
        super().__init__()
        self.visual: Any = visual
        self.text_o = text_o

    def forward(self, pixels: Tensor) -> Tensor:
        out = self.visual(pixels.to(input_dtype(self.visual)))
        representation_bo = (out[0] if isinstance(out, tuple) else out).float()
        return nn.functional.normalize(representation_bo, dim=-1) @ self.text_o
