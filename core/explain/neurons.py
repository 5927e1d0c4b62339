"""MLP neurons in one image, live: which are active, where, toward what, and which concepts they spell.

Paper N (Gandelsman et al. 2025): second-order effects through `core.methods.second_order`, against the means,
directions and thresholds that a bundle stores.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.errors import InputError
from core.explain.answers import ImageTrace
from core.explain.explainer import Explainer, to_numpy
from core.explain.neuron_answers import ActivationMap, DiscoveredConcept, Effects, RankedNeuron
from core.ids import Neuron
from core.methods.concepts import discover
from core.methods.neuron_effects import activity, direct_effects, indirect_effects
from core.methods.neuron_head import NeuronHead
from core.methods.neuron_lens import neuron_lens
from core.methods.segmentation import TOP_NEURONS, choose_neurons, neuron_map
from core.models.tower import Trace
from core.store.neurons import NeuronTable

_KEPT = 8  # images whose traces are kept: 2 MB each in a ViT-B/32, 13 MB in a ViT-L/14
BY = ("norm", "prompt")
"""What neurons are ranked by: ‖φ - b‖ over the threshold, or the prompt's |⟨φ - b, t⟩|."""


@dataclass(frozen=True)
class _Read:
    """One image: the trace, and by layer position s - s̄ (n, m), ‖φ - b‖ and x (n,)."""

    trace: Trace
    centred: tuple[Tensor, ...]
    norm_ln: np.ndarray
    coef_ln: np.ndarray


class NeuronExplainer:
    """Explains the neurons of a bundle in any image. Thread-safe through the explainer's lock.

    `explainer` must be of the bundle's own model (`Explainer.check_bundle`). Raises AddressError for a neuron that is
    not analysed, InputError for prompts as `Explainer.embed`.
    """

    def __init__(self, explainer: Explainer, table: NeuronTable) -> None:
        self.explainer, self.table = explainer, table
        self._images: OrderedDict[str, _Read] = OrderedDict()
        self._lenses: tuple[NeuronHead, ...] = ()

    def ranked(self, image: ImageTrace, k: int = 24, prompt: str | None = None) -> tuple[RankedNeuron, ...]:
        """The k neurons that stand out most: without a prompt by ‖φ - b‖ over the neuron's own threshold, with one by
        |⟨φ - b, t⟩|, what of the cosine is due to this neuron in this image rather than in any."""
        read = self._read(image)
        over_ln = read.norm_ln / np.maximum(self._threshold_ln, np.finfo(np.float32).tiny)
        less_ln = mean_ln = None
        key_ln = over_ln
        if prompt is not None:
            less_ln, mean_ln = self._toward(read, prompt)
            key_ln = np.abs(less_ln)
        order = np.argsort(-key_ln.ravel(), kind="stable")[: max(0, k)]
        activation_ln = self._activation(read)
        rows = []
        for row in order.tolist():
            i, n = divmod(row, self.table.neurons)
            effect = None if less_ln is None or mean_ln is None else float(less_ln[i, n] + mean_ln[i, n])
            less = None if less_ln is None else float(less_ln[i, n])
            rows.append(
                RankedNeuron(
                    address=self.table.address(row),
                    label=self.table.label(row),
                    norm=float(read.norm_ln[i, n]),
                    coefficient=float(read.coef_ln[i, n]),
                    over_threshold=float(over_ln[i, n]),
                    activation=float(activation_ln[i, n]),
                    effect=effect,
                    less_mean=less,
                )
            )
        return tuple(rows)

    def activation_map(self, image: ImageTrace, address: str | Neuron) -> ActivationMap:
        """Where a neuron is active."""
        i, n = self.table.at(address)
        return self._map(i, n, to_numpy(self._read(image).trace.neurons[self.table.traced[i]][0, :, n]))

    def look(
        self, pictures: Sequence[Image.Image], address: str | Neuron
    ) -> tuple[tuple[ActivationMap, np.ndarray], ...]:
        """Where a neuron is active in each of some RGB images, and their unit representations (o,): one forward pass
        for all of them, of which nothing is kept."""
        i, n = self.table.at(address)
        model, layer = self.explainer.model, self.table.traced[i]
        pixels_bchw = torch.stack([model.transform(picture) for picture in pictures])

        def compute() -> tuple[np.ndarray, np.ndarray]:
            tower, device = self.explainer.model.tower, self.explainer.model.device  # it may have moved
            trace = tower.trace(pixels_bchw.to(device), (), neurons=(layer,))
            unit_bo = trace.representation_bo / trace.norm_b[:, None]
            return to_numpy(trace.neurons[layer][..., n]), to_numpy(unit_bo)

        p_bt, unit_bo = self.explainer.run(compute)
        return tuple((self._map(i, n, p_t), unit_o) for p_t, unit_o in zip(p_bt, unit_bo, strict=True))

    def scores(self, image: ImageTrace, address: str | Neuron) -> tuple[float, float]:
        """‖φ - b‖ and coefficient x of a neuron in an image."""
        i, n = self.table.at(address)
        read = self._read(image)
        return float(read.norm_ln[i, n]), float(read.coef_ln[i, n])

    def coefficients(self, image: ImageTrace) -> tuple[np.ndarray, np.ndarray]:
        """x of every neuron (l, n), and s - s̄ of every neuron and later head (l, n, m), 0 where a head is not later:
        times the length of their pair's direction it is that pair's x."""
        read = self._read(image)
        heads = self.table.bundle.axes["later_head"].size
        centred_lnm = np.zeros((*read.coef_ln.shape, heads), np.float32)
        for i, centred_nm in enumerate(read.centred):
            centred_lnm[i, :, heads - centred_nm.shape[1] :] = to_numpy(centred_nm)
        return read.coef_ln, centred_lnm

    def active(self, image: ImageTrace) -> int:
        """How many of the bundle's neurons are active: ‖φ - b‖ above their own thresholds."""
        return int((self._read(image).norm_ln > self._threshold_ln).sum())

    def effects(self, image: ImageTrace, address: str | Neuron, prompt: str) -> Effects:
        """One neuron's direct, second-order and indirect effect on a prompt's cosine, and the second by later head."""
        i, n = self.table.at(address)
        read, layer = self._read(image), self.table.traced[i]
        text_o = torch.from_numpy(self.explainer.embed([prompt])[0].copy())

        def compute() -> Effects:
            model, lens = self.explainer.model, self._lens[i]
            toward = text_o.to(model.device)
            d_mo = lens.directions([n])[0]
            mean_m = self._mean_s(i)[n]
            by_m = read.centred[i][n] * (d_mo @ toward)
            mean = float(mean_m @ (d_mo @ toward))
            direct = None
            if model.tower.kind == "vit":  # what a ResNet's neurons write is read by the pool's heads alone
                direct = float(direct_effects(model.tower, read.trace, layer, [n])[0, 0] @ toward)
            mean_t = torch.from_numpy(np.array(self.table.array("token_activation_mean")[i, n]))[None].to(model.device)
            pixels = torch.from_numpy(image.pixels)[None].to(model.device)
            indirect = indirect_effects(model.tower, pixels, layer, [n], mean_t)[0, 0] @ toward
            by_head = sorted(zip(map(str, lens.pairs), by_m.tolist(), strict=True), key=lambda pair: -abs(pair[1]))
            second = float(by_m.sum()) + mean
            name = str(Neuron(self.table.layers[i], n))
            return Effects(name, prompt, direct, second, mean, float(indirect), tuple(by_head))

        return self.explainer.run(compute)

    def concepts(self, image: ImageTrace, k: int = 12, neurons: int = 5) -> tuple[DiscoveredConcept, ...]:
        """Texts by w_j = Σ over active neurons of γ_j ‖φ - b‖, the sign of the coefficient x included, so that a neuron
        on the − side of its direction speaks against its texts (paper N, A.5, which takes the + side alone)."""
        read = self._read(image)
        i, n = np.nonzero(read.norm_ln > self._threshold_ln)
        found = discover(
            np.asarray(self.table.array("text_index"))[i, n],
            np.asarray(self.table.array("text_coef"))[i, n],
            read.norm_ln[i, n] * np.sign(read.coef_ln[i, n]),
            neurons,
        )
        behind = lambda c: zip(found.neuron_cb[c].tolist(), found.part_cb[c].tolist(), strict=True)
        name = lambda a: self.table.address(int(i[a]) * self.table.neurons + int(n[a]))
        return tuple(
            DiscoveredConcept(
                self.table.pool_text(int(found.text_c[c])),
                float(found.weight_c[c]),
                tuple((name(a), part) for a, part in behind(c) if a >= 0),
            )
            for c in range(min(max(0, k), len(found.text_c)))
            if found.weight_c[c] > 0
        )

    def map_toward(
        self, image: ImageTrace, prompt: str, top: int = TOP_NEURONS, average_o: np.ndarray | None = None
    ) -> tuple[np.ndarray, tuple[tuple[str, float], ...]]:
        """The mean activation map (rows, columns) of the `top` neurons whose direction is most along or against a
        prompt (paper N, §5.3), and these with ⟨r_n, prompt⟩, the largest first. `average_o` is subtracted from the
        prompt's embedding, as in `Explainer.heatmap`. InputError for less than one neuron."""
        if top < 1:
            raise InputError(f"{top} neurons were asked for; a map is the mean of at least one.")
        read = self._read(image)
        embedded_o = self.explainer.embed([prompt])[0]
        text_o = torch.from_numpy((embedded_o - (0 if average_o is None else average_o)).astype(np.float32))

        def compute() -> tuple[np.ndarray, tuple[tuple[str, float], ...]]:
            tower, device = self.explainer.model.tower, self.explainer.model.device
            direction_no = torch.from_numpy(np.array(self.table.array("direction"), np.float32)).flatten(0, 1)
            index_wk, similarity_wk = choose_neurons(direction_no.to(device), text_o[None].to(device), top)
            activation_btn = torch.cat([read.trace.neurons[layer] for layer in self.table.traced], -1)
            pairs = zip(index_wk[0].tolist(), similarity_wk[0].tolist(), strict=True)
            chosen = tuple((self.table.address(row), value) for row, value in pairs)
            return to_numpy(neuron_map(activation_btn, index_wk[0], tower.grid)[0]), chosen

        return self.explainer.run(compute)

    def lens(self, i: int) -> NeuronHead:
        """The lens on a layer, by its position among the table's. To be called in `Explainer.run`."""
        return self._lens[i]

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _lens(self) -> tuple[NeuronHead, ...]:
        """The lenses on the model as it is: it may have moved to the CPU. Called under the lock."""
        tower = self.explainer.model.tower
        if not self._lenses or self._lenses[0].tower is not tower:
            self._images.clear()
            self._lenses = tuple(neuron_lens(tower, layer) for layer in self.table.traced)
        return self._lenses

    @cached_property
    def _threshold_ln(self) -> np.ndarray:
        return np.asarray(self.table.array("threshold"))

    def _mean_s(self, i: int) -> Tensor:
        """s̄ (n, m) of a layer, without the columns of heads that are not later than it."""
        mean_nm = np.array(self.table.array("mean_s")[i][:, -len(self._lens[i].pairs) :])
        return torch.from_numpy(mean_nm).to(self.explainer.model.device)

    def _read(self, image: ImageTrace) -> _Read:
        def compute() -> _Read:
            lenses = self._lens  # first: it forgets the images of a model that moved
            if image.key in self._images:
                self._images.move_to_end(image.key)
                return self._images[image.key]
            pixels = torch.from_numpy(image.pixels)[None].to(self.explainer.model.device)
            trace = self.explainer.model.tower.trace(pixels, (), neurons=self.table.traced)
            centred, norms, coefs = [], [], []
            for i, lens in enumerate(lenses):
                s_nm = lens.scalars(trace)[0] - self._mean_s(i)
                centred.append(s_nm)
                norms.append(to_numpy(lens.norms(s_nm[None], torch.zeros_like(s_nm))[0]))
                coefs.append(to_numpy((s_nm * self._read_nm(i)).sum(-1)))
            made = _Read(trace, tuple(centred), np.stack(norms), np.stack(coefs))
            self._images[image.key] = made
            while len(self._images) > _KEPT:
                self._images.popitem(last=False)
            return made

        return self.explainer.run(compute)

    def _read_nm(self, i: int) -> Tensor:
        """D r of every neuron of a layer, so that x = (D r) · (s - s̄)."""
        lens = self._lens[i]
        if i not in self._reads or self._reads[i][0] is not lens:
            direction_no = torch.from_numpy(np.array(self.table.array("direction")[i])).to(lens.value_nmk.device)
            self._reads[i] = lens, lens.along(direction_no)
        return self._reads[i][1]

    @cached_property
    def _reads(self) -> dict[int, tuple[NeuronHead, Tensor]]:
        return {}

    def _toward(self, read: _Read, prompt: str) -> tuple[np.ndarray, np.ndarray]:
        """⟨φ - b, t⟩ and ⟨b, t⟩ of every neuron, (l, n)."""
        text_o = torch.from_numpy(self.explainer.embed([prompt])[0].copy())

        def compute() -> tuple[np.ndarray, np.ndarray]:
            less, mean = [], []
            for i, lens in enumerate(self._lens):
                along_nm = lens.along(text_o.to(self.explainer.model.device))
                less.append(to_numpy((read.centred[i] * along_nm).sum(-1)))
                mean.append(to_numpy((self._mean_s(i) * along_nm).sum(-1)))
            return np.stack(less), np.stack(mean)

        return self.explainer.run(compute)

    def _map(self, i: int, n: int, p_t: np.ndarray) -> ActivationMap:
        rows, columns = self.explainer.model.tower.grid
        name = str(Neuron(self.table.layers[i], n))
        return ActivationMap(name, p_t[1:].reshape(rows, columns), float(p_t[0]), float(p_t.mean()))

    def _activation(self, read: _Read) -> np.ndarray:
        return np.stack([to_numpy(activity(read.trace, layer).max_bn[0]) for layer in self.table.traced])
