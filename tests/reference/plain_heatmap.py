"""Heatmaps written out token by token (paper H, §4.4): no linearity in the text is used, no array is summed at once."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PlainHeatmap:
    """`head_lhn` over the patches, `class_token_lh`, `layer_ln` and `total_n`; `score` of all tokens, never scaled."""

    head_lhn: np.ndarray
    class_token_lh: np.ndarray
    layer_ln: np.ndarray
    total_n: np.ndarray
    score: float


def plain_heatmap(
    tokens_ltho: np.ndarray,
    text_o: np.ndarray,
    against_o: np.ndarray | None = None,
    classes_co: np.ndarray | None = None,
    per_layer: bool = False,
) -> PlainHeatmap:
    """From each token's contribution through each head, token 0 the class token. Of two texts, the difference of their
    two maps; with class prompts, less the mean of all classes' maps; per layer, each layer divided by its largest
    absolute patch and the mean of the layers taken."""
    layers, tokens, heads, _ = tokens_ltho.shape
    map_lht = np.zeros((layers, heads, tokens))
    for layer in range(layers):
        for head in range(heads):
            for token in range(tokens):
                part_o = tokens_ltho[layer, token, head]
                value = float(part_o @ text_o)
                if against_o is not None:
                    value -= float(part_o @ against_o)
                if classes_co is not None:
                    value -= sum(float(part_o @ class_o) for class_o in classes_co) / len(classes_co)
                map_lht[layer, head, token] = value
    score = float(map_lht.sum())
    if per_layer:
        for layer in range(layers):
            largest = max(abs(map_lht[layer, :, token].sum()) for token in range(1, tokens))
            map_lht[layer] /= largest * layers
    layer_ln = np.stack([sum(map_lht[layer, head, 1:] for head in range(heads)) for layer in range(layers)])
    return PlainHeatmap(map_lht[:, :, 1:], map_lht[:, :, 0], layer_ln, sum(layer_ln), score)
