"""The answers about one image: frozen and of NumPy arrays. All scores are summands of the cosine with a text.

Shape letters: l layer, h head, t token (0 = class token), y and x rows and columns of patches, o joint space.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ImageTrace:
    """An image that was read: the handle for every further question about it.

    `key` sha256 of its pixels and size; `view_yx3` uint8, what the model saw (resized and cropped); `unit_o` the unit
    representation, `norm` its length before; `residual` the largest |sum of parts - unit representation|. `pixels` is
    the model's input, kept so that an image forgotten by the cache is read again.
    """

    key: str
    width: int
    height: int
    view_yx3: np.ndarray = field(repr=False)
    unit_o: np.ndarray = field(repr=False)
    norm: float
    residual: float
    pixels: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class PromptScore:
    """A prompt's cosine with the image, and its probability among the prompts asked together."""

    prompt: str
    cosine: float
    probability: float


@dataclass(frozen=True)
class Heatmap:
    """Where the heads of some layers write toward a text, over the patches of `ImageTrace.view_yx3`.

    With `normalise` "raw": `head_lhyx` and, per head, what stays with the class token, `class_token_lh`; summed over
    heads `layer_lyx`, over all `total_yx`. total + class token = `score`, what these layers' heads add to the cosine
    (or to the difference of two, or to the cosine less the class prompts' average). With "per-layer" each layer is
    divided by its own largest absolute value over patches (so is its class token), and the total is the mean over
    layers, in no unit; `score` stays raw.
    """

    text: str
    against: str | None
    averaged: bool
    normalise: str
    layers: tuple[int | None, ...]
    total_yx: np.ndarray
    layer_lyx: np.ndarray
    head_lhyx: np.ndarray
    class_token_lh: np.ndarray
    score: float
    class_token_score: float

    @property
    def class_token_share(self) -> float:
        """Of the absolute sum over all tokens of these heads, the class token's: in [0, 1]."""
        own, patches = np.abs(self.class_token_lh).sum(), np.abs(self.head_lhyx).sum()
        return float(own / (own + patches)) if own + patches > 0 else 0.0


@dataclass(frozen=True)
class BudgetRow:
    """One summand. `kind`: embedding, mlp, head, bias or offset; `name` a head's address or the part's name."""

    name: str
    kind: str
    layer: int | None
    value: float


@dataclass(frozen=True)
class Budget:
    """One prompt's cosine as a sum over every part of the encoder; `residual` is sum - cosine."""

    prompt: str
    rows: tuple[BudgetRow, ...]
    total: float
    cosine: float

    @property
    def residual(self) -> float:
        return self.total - self.cosine

    def by_layer(self) -> tuple[BudgetRow, ...]:
        """The waterfall in brief: a layer's heads as one row of kind "heads", everything else as it is."""
        out: list[BudgetRow] = []
        for row in self.rows:
            if row.kind != "head":
                out.append(row)
            elif out and (out[-1].kind, out[-1].layer) == ("heads", row.layer):
                out[-1] = BudgetRow(out[-1].name, "heads", row.layer, out[-1].value + row.value)
            else:
                name = "heads" if row.layer is None else f"heads L{row.layer}"
                out.append(BudgetRow(name, "heads", row.layer, row.value))
        return tuple(out)


@dataclass(frozen=True)
class RankedHead:
    """A head and what it adds to the prompt's cosine."""

    address: str
    layer: int | None
    value: float


@dataclass(frozen=True)
class TokenMatrix:
    """What each head (row, by `addresses`) adds to a prompt's cosine through each token (column). Column 0 is the class
    token, the others the patches row by row of a `grid` (rows, columns)."""

    prompt: str
    addresses: tuple[str, ...]
    score_nt: np.ndarray
    grid: tuple[int, int]
