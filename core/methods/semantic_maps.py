"""Windows of an image through a tower: for each method, logits of every class on the window's patches.

One forward pass a batch of windows serves all methods of `core.methods.pair_segmentation`, for a CLIP-ResNet (the
neurons are the last map's channels, the heads the pool's) and for a ViT whose neurons of some layers are known (the
activations p of these layers, the heads of every later layer; S is each head's contribution by token).

Under the convention `own` the output bias b_O is nobody's, so what a head writes at a token is a_t times a vector of
the token, and its cosine does not depend on the attention a_t. Under `equal`, as in the released code, every head
writes its share of b_O at every token: where a head does not look, that share is all there is and S says nothing.

The attention pool has one positional embedding, and a ViT's is fixed as well: windows of another size than the model's
input are resized to it. In the released code the two are equal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.errors import InputError
from core.ids import parse, traced
from core.methods import pair_segmentation as method
from core.methods.first_order import FirstOrder
from core.methods.layernorm import Convention
from core.models.modified_resnet import ModifiedResNetTower
from core.models.tower import AttentionTrace, Tower, Trace

METHODS = {
    "pairs": "activation of a class's neurons times similarity of their heads (paper P, equation 6)",
    "heads": "similarity of what heads write, mean over heads",
    "neurons": "activation of a class's neurons, mean over neurons",
    "maskclip": "MaskCLIP: each token through the last value and output projections",
}
NEEDS = {"pairs": "pair_coords", "neurons": "neuron_direction"}
"""Methods that need an array of the bundle: the others need the model alone."""


@dataclass(frozen=True)
class Classes:
    """What is looked for: `texts_wo` unit embeddings; `pair_wmn` and `neuron_wn` bool, each class's pairs and neurons
    (None where no method needs them), neurons of the layers side by side."""

    texts_wo: Tensor
    pair_wmn: Tensor | None = None
    neuron_wn: Tensor | None = None


def choose(
    texts_wo: Tensor, methods: Sequence[str], array: Callable[[str], np.ndarray], pairs: int | None = None,
    neurons: int | None = None,
) -> Classes:  # fmt: skip
    """The classes' pairs and neurons, as the methods need them, from a bundle's arrays by name: `pairs` and `neurons` a
    class, by default PAIR_SHARE of all there are. InputError for one class, or for more than there are."""
    query_wo = method.class_queries(texts_wo)
    tensor = lambda name: torch.from_numpy(np.array(array(name), np.float32)).to(texts_wo.device)
    pair_wmn = neuron_wn = None
    if "pairs" in methods:
        coords_nmk = tensor("pair_coords").flatten(0, 1)
        cosine_wr = method.pair_cosines(tensor("pair_basis"), coords_nmk, query_wo)
        index_wk, _ = method.choose_pairs(cosine_wr, _count(pairs, int(torch.isfinite(cosine_wr[0]).sum()), "pairs"))
        pair_wmn = method.pair_masks(index_wk, *coords_nmk.shape[:2])
    if "neurons" in methods:
        cosine_wn = query_wo @ tensor("neuron_direction").flatten(0, 1).T
        index_wk, _ = method.choose_pairs(cosine_wn, _count(neurons, cosine_wn.shape[1], "neurons"))
        neuron_wn = method.pair_masks(index_wk, cosine_wn.shape[1], 1)[:, 0]
    return Classes(texts_wo, pair_wmn, neuron_wn)


def head_layers(heads: Sequence[str] | None, layers: Sequence[int | None]) -> tuple[int, ...]:
    """The attention layers to read: of the pairs' heads (addresses, a layer after the other), or without pairs those
    that a bundle analyses. A ResNet's pool is layer 0."""
    found = layers if heads is None else [getattr(parse(head), "layer", None) for head in heads]
    return tuple(dict.fromkeys(traced(found)))


def _count(asked: int | None, there: int, what: str) -> int:
    count = max(1, round(method.PAIR_SHARE * there)) if asked is None else asked
    if not 1 <= count <= there:
        raise InputError(f"{count:,} {what} a class were asked for; this bundle has {there:,}.")
    return count


class SemanticMaps:
    """Logits by the `methods` for windows (b, 3, s, s), preprocessed as the model's images are.

    `layers` are the attention layers whose heads are read, in the order of the pairs' heads, `neuron_layers` the layers
    of the neurons. `sink`: the patch that is repaired before pairs, heads and neurons are read, or None. `zeroed`:
    neurons of a ResNet that are set to zero in all tokens before the positional embedding is added (registers that
    drive the attention sink). InputError for one class, for `zeroed` of a ViT, or for neurons that are not there.
    """

    def __init__(
        self, tower: Tower, classes: Classes, methods: Sequence[str], *, layers: tuple[int, ...],
        neuron_layers: tuple[int, ...] = (), convention: Convention = Convention.OWN, sink: int | None = method.LAST,
        zeroed: Sequence[int] = (),
    ) -> None:  # fmt: skip
        if zeroed and tower.kind != "resnet":
            raise InputError("Neurons can be set to zero before the attention pool of a ResNet; this is a ViT.")
        wrong = [n for n in zeroed if not 0 <= n < tower.width]
        if wrong:
            raise InputError(f"The neurons of this model are 0 to {tower.width - 1:,}, not {wrong[0]}.")
        self.tower, self.classes, self.methods = tower, classes, tuple(methods)
        self.layers, self.neuron_layers, self.sink, self.zeroed = layers, neuron_layers, sink, tuple(zeroed)
        self._query_wo = method.class_queries(classes.texts_wo)
        self._lens = FirstOrder(tower, layers, convention)

    @torch.inference_mode()
    def stacked(self, pixels_bcyx: Tensor) -> Tensor:
        """All methods' logits side by side, (b, methods · w, rows, columns); `split` takes them apart."""
        made = self(pixels_bcyx)
        return torch.cat([made[name] for name in self.methods], dim=1)

    def split(self, logits_vyx: Tensor) -> dict[str, Tensor]:
        """By method, what `stacked` put side by side along the first axis: (w, y, x)."""
        parts = logits_vyx.split(len(self.classes.texts_wo))
        return dict(zip(self.methods, parts, strict=True))

    @torch.inference_mode()
    def __call__(self, pixels_bcyx: Tensor) -> Mapping[str, Tensor]:
        """Logits (b, w, rows, columns) on the patches, by method."""
        tower, texts_wo = self.tower, self.classes.texts_wo
        size: Any = tower.visual.image_size
        rows, columns = size if isinstance(size, tuple | list) else (size, size)
        if pixels_bcyx.shape[-2:] != (rows, columns):
            pixels_bcyx = functional.interpolate(pixels_bcyx, (rows, columns), mode="bicubic", antialias=True)
        last = tower.layers - 1
        trace = tower.trace(pixels_bcyx, tuple(sorted({*self.layers, last})), neurons=self.neuron_layers)
        if self.zeroed:
            trace = self._without(trace)
        out: dict[str, Tensor] = {}
        similarity_bwtm = self._similarity(trace) if {"pairs", "heads"} & set(self.methods) else None
        activation_btn = self._activation(trace) if {"pairs", "neurons"} & set(self.methods) else None
        for name in self.methods:
            if name == "maskclip":
                out[name] = method.value_logits(self._values(trace.heads[last]), texts_wo)
            elif name == "heads" and similarity_bwtm is not None:
                out[name] = method.head_logits(similarity_bwtm)
            elif name == "neurons" and activation_btn is not None and self.classes.neuron_wn is not None:
                out[name] = method.neuron_logits(activation_btn, self.classes.neuron_wn)
            elif similarity_bwtm is not None and activation_btn is not None and self.classes.pair_wmn is not None:
                out[name] = method.pair_logits(similarity_bwtm, activation_btn, self.classes.pair_wmn)
            else:
                raise ValueError(f"method {name!r} is unknown, or its units were not chosen")
        return {name: logits_bwt.unflatten(-1, tower.grid) for name, logits_bwt in out.items()}

    def _similarity(self, trace: Trace) -> Tensor:
        """S (b, w, t, m), the sink repaired; a layer at a time, whose contributions are all that is held."""
        if self._lens.convention is Convention.OWN:
            # the attention cancels, so it is left out: of a head that looks at one token, fp32 rounds the rest to zero
            even = lambda heads: replace(heads, attn_bht=torch.ones_like(heads.attn_bht))
            trace = replace(trace, heads={layer: even(heads) for layer, heads in trace.heads.items()})
        by_layer = []
        for layer in self.layers:
            contribution_btho = self._lens.token_contributions(trace, layer)[:, 1:]
            repaired = method.repair(contribution_btho, self.tower.grid, self.sink)
            by_layer.append(method.head_similarity(repaired, self._query_wo))
        return torch.cat(by_layer, dim=-1)

    def _activation(self, trace: Trace) -> Tensor:
        """N (b, t, n), the sink repaired."""
        activation_btn = torch.cat([trace.neurons[layer][:, 1:] for layer in self.neuron_layers], dim=-1)
        return method.repair(activation_btn, self.tower.grid, self.sink)

    def _values(self, heads: AttentionTrace) -> Tensor:
        """What the last attention would write if each patch attended to itself alone, in the joint space (b, t, o)."""
        weights, readout = self.tower.head_weights(self.tower.layers - 1), self.tower.readout
        value_bthk = torch.einsum("btd,hkd->bthk", heads.z_btd[:, 1:], weights.wv_hkd) + weights.bv_hk
        written_btd = torch.einsum("bthk,hdk->btd", value_bthk, weights.wo_hdk) + weights.bo_d
        offset_o = readout.offset()
        if offset_o is None:
            return written_btd
        scale_bt = readout.moments(written_btd)[1]
        return readout.centred(written_btd) / scale_bt[..., None] + offset_o

    def _without(self, trace: Trace) -> Trace:
        """The trace of a ResNet whose neurons `zeroed` are zero, its attention recomputed."""
        activation_btn = trace.neurons[0].clone()
        activation_btn[..., list(self.zeroed)] = 0
        assert isinstance(self.tower, ModifiedResNetTower)  # see __init__
        z_btd = activation_btn + self.tower.position_td
        heads = AttentionTrace(z_btd, *self.tower.head_weights(0).attend(z_btd))
        return replace(trace, heads={0: heads}, neurons={0: activation_btn})
