"""A neuron-head pair in an image, live: its coefficient, and where the pair, its neuron and its head get it from.

Paper P (Bu & Gandelsman 2025). A pair's share of a token t is s_t · length along its direction d̂, and sums over tokens
to what it adds to the unit representation; its head's is what the whole head adds along the same d̂, of which the pair's
is a summand; its neuron's is the activation, of which the pair's is what this head's attention picks.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from core.explain.answers import ImageTrace
from core.explain.explainer import to_numpy
from core.explain.neurons import NeuronExplainer
from core.ids import Pair
from core.store.pairs import PairTable

_KEPT = 256  # answers about single images: a few kilobytes each


@dataclass(frozen=True)
class TokenMap:
    """A number for each patch of an image (rows, columns), and one for the class token (a ResNet's mean token)."""

    value_yx: np.ndarray
    class_token: float


@dataclass(frozen=True)
class PairInImage:
    """One pair in one image. `coefficient` x; `pair` and `head` what each adds to the cosine with d̂: the pair's sums to
    x plus its mean; `neuron` the activation. `unit_o` the image's unit representation."""

    address: str
    coefficient: float
    pair: TokenMap
    neuron: TokenMap
    head: TokenMap
    unit_o: np.ndarray = field(repr=False)


class PairExplainer:
    """Explains the pairs of a bundle in any image. Thread-safe through the explainer's lock.

    Raises AddressError for a pair that the bundle does not have.
    """

    def __init__(self, neurons: NeuronExplainer, table: PairTable) -> None:
        self.neurons, self.table = neurons, table
        self._read: OrderedDict[tuple[str, str], PairInImage] = OrderedDict()

    def look(self, pictures: Sequence[Image.Image], address: str | Pair) -> tuple[PairInImage, ...]:
        """The pair in each of some RGB images: one forward pass for all of them, of which nothing is kept."""
        transform = self.neurons.explainer.model.transform
        return self._in(torch.stack([transform(picture) for picture in pictures]), address)

    def read(self, image: ImageTrace, address: str | Pair) -> PairInImage:
        """The pair in an image that was read; a repeated question costs next to nothing."""
        key = image.key, str(address)
        if key not in self._read:
            self._read[key] = self._in(torch.from_numpy(image.pixels)[None], address)[0]
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return self._read[key]

    def _in(self, pixels_bchw: torch.Tensor, address: str | Pair) -> tuple[PairInImage, ...]:
        i, n, m = self.table.at(address)
        explainer, layer = self.neurons.explainer, self.table.neurons.traced[i]
        head = self.table.heads[m]
        reads = head.layer or 0  # as `Tower.trace` numbers a ResNet's pool
        length, direction_o = float(self.table.array("length")[i, n, m]), self.table.direction(address)
        mean = float(self.table.neurons.array("mean_s")[i, n, m]) * length

        def compute() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            model, lens = explainer.model, self.neurons.lens(i)
            trace = model.tower.trace(pixels_bchw.to(model.device), (reads,), neurons=(layer,))
            pair_bt = lens.token_scalars(trace, [n])[:, 0, lens.pairs.index(head)] * length
            toward = torch.from_numpy(direction_o)[None].to(model.device)
            head_bt = explainer.heads_lens.token_scores(trace, reads, toward)[:, 0, head.head]
            unit_bo = trace.representation_bo / trace.norm_b[:, None]
            return to_numpy(pair_bt), to_numpy(trace.neurons[layer][..., n]), to_numpy(head_bt), to_numpy(unit_bo)

        pair_bt, neuron_bt, head_bt, unit_bo = explainer.run(compute)
        return tuple(
            PairInImage(
                str(address),
                float(pair_t.sum()) - mean,
                self._map(pair_t),
                self._map(neuron_t),
                self._map(head_t),
                unit_o,
            )
            for pair_t, neuron_t, head_t, unit_o in zip(pair_bt, neuron_bt, head_bt, unit_bo, strict=True)
        )

    def _map(self, value_t: np.ndarray) -> TokenMap:
        rows, columns = self.neurons.explainer.model.tower.grid
        return TokenMap(value_t[1:].reshape(rows, columns), float(value_t[0]))
