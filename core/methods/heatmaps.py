"""Where in the image a head, a layer or all of them write toward a text. Paper H (Gandelsman et al. 2024), §4.4.

A heatmap is a token's share of the contribution, read along the text; so a head's map plus the class token's own share
sums to exactly what the head scores with the text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.methods.first_order import FirstOrder
from core.models.tower import Trace


@dataclass(frozen=True)
class Heatmaps:
    """`map_bwlhyx` over the image's grid and `class_token_bwlh`, the share that stays with the class token.

    In units of the cosine between the image and the text: everything here, with the other parts, sums to it.
    """

    map_bwlhyx: Tensor
    class_token_bwlh: Tensor

    def by_layer(self) -> Tensor:
        """Summed over heads: (b, w, l, y, x)."""
        return self.map_bwlhyx.sum(3)

    def total(self) -> Tensor:
        """Summed over the chosen layers and heads: (b, w, y, x)."""
        return self.map_bwlhyx.sum((2, 3))


def text_heatmaps(
    lens: FirstOrder,
    trace: Trace,
    texts_wo: Tensor,
    *,
    against_o: Tensor | None = None,
    average_o: Tensor | None = None,
    layers: tuple[int, ...] | None = None,
) -> Heatmaps:
    """Heatmaps of unit texts (w, o).

    `against_o` another text's embedding: the contrast of the two, positive where the first is written. `average_o` the
    mean of the class prompts' embeddings: subtracting it subtracts the average of the class prompts' heatmaps, as the
    paper does, since heatmaps are linear in the text. `layers` some of the lens's (None: all).
    """
    for other in (against_o, average_o):
        if other is not None:
            texts_wo = texts_wo - other
    scores_bwlht = torch.stack([lens.token_scores(trace, layer, texts_wo) for layer in layers or lens.layers], dim=2)
    rows, columns = lens.tower.grid
    grid = scores_bwlht[..., 1:].unflatten(-1, (rows, columns))
    return Heatmaps(map_bwlhyx=grid, class_token_bwlh=scores_bwlht[..., 0])
