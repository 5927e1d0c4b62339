"""A tiny model and some pictures, with everything about them written out plainly in float64."""

from pathlib import Path

import numpy as np
import torch

from core.explain import Explainer
from core.images import decode
from core.models.load import load_model
from tests.reference.plain_attention import own_share, pool_contributions, vit_residual_terms
from tests.reference.plain_run import PlainTexts, load_plain, plain_run

SHOWN = 3
"""The image of a bundle that tests of the Image page look at."""


class Case:
    """The model in `folder` ("vit" or "resnet") and the image files: its own answers, and the plain ones."""

    def __init__(self, folder: Path, kind: str, files: list[Path]) -> None:
        self.kind, self.folder, self.files = kind, folder, files
        self.model = load_model(str(folder), device="cpu")
        self.explainer = Explainer(self.model, layers=range(self.model.tower.layers))
        self.images = [decode(file.read_bytes()) for file in files]
        self.plain = plain_run(folder, files)
        self.texts = PlainTexts(folder)

    def text(self, prompt: str) -> np.ndarray:
        """The unit embedding (o,)."""
        return self.texts.encode_texts([prompt])[0].astype(np.float64)

    def tokens_ltho(self, n: int) -> np.ndarray:
        """Contributions of one image's tokens through each head, from the attention written out."""
        clip, preprocess, _ = load_plain(self.folder)
        visual, pixels = clip.visual.double(), preprocess(self.images[n])[None].double()
        if self.kind == "vit":
            terms = vit_residual_terms(visual, pixels)
            out = own_share(visual, terms["attention"], terms["final"])[0]
        else:
            seen: list[torch.Tensor] = []
            with_hook = visual.attnpool.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
            norm = visual(pixels).norm()
            with_hook.remove()
            out = pool_contributions(visual.attnpool, seen[0]) / norm
        return out.detach().numpy().reshape(self.model.tower.layers, -1, self.model.tower.heads, out.shape[-1])
