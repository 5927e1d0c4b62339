"""From what shards kept of neurons to the arrays of a bundle: directions, coefficients, images, texts (paper N).

Every number is over the measured images (neurons/image_ids.npy), all of which are there again a few neurons at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from core.bundle.faiss_store import build_flat_fp16
from core.bundle.schema import ARRAY, LISTS
from core.bundle.write import BundleWriter
from core.methods.clusters import chance_distance, concept_clusters
from core.methods.neuron_head import NeuronHead, Principal
from core.methods.sparse_text import AtomScaling, SparseText, pursue, text_atoms
from core.stats.topk import TopK
from precompute.config import QUANTILES
from precompute.neuron_totals import totals
from precompute.neurons import MeasuredNeurons, measures_of
from precompute.plan import Plan

ACTIVE = 0.98
"""A neuron is active in an image whose norm is above this quantile of its own."""
_ENTRIES = 2**24  # numbers of s read at a time: 64 MB


def write_neurons(
    plan: Plan,
    writer: BundleWriter,
    made: Sequence[NeuronHead],
    measured: MeasuredNeurons,
    seen: Callable[[int], None] = lambda n: None,
) -> Mapping[str, Any]:
    """Write the arrays of neurons but for their texts, and the index; returns the axes (see core/bundle/schema.py).

    `made` the lens on each layer; `seen(n)` is told of every n neurons done.
    """
    unit_no = np.load(plan.folder / "representations.npy", mmap_mode="r")
    chance = chance_distance(unit_no[measured.image_ids])
    layers, neurons, images = len(made), made[0].neurons, len(measured.image_ids)
    carriers = [str(pair) for pair in made[0].pairs]  # of the first layer, which has the most
    arrays = _Arrays(writer, layers, neurons, images, [*LISTS[:3], *measures_of(made[0].tower)])
    for i, lens in enumerate(made):
        layer = _Layer(lens, measured, len(carriers), plan.settings.neuron_largest)
        layer.fit(seen)
        arrays.fill(i, layer, plan.settings.top_images, unit_no, chance)
    writer.array("neuron_image_ids", measured.image_ids)
    writer.array("neuron_token_activation_mean", measured.token_mean_lnt.astype(np.float32))
    arrays.write()
    writer.index("neurons", build_flat_fp16(arrays.direction.reshape(layers * neurons, -1)))
    return {
        "neuron_layer": neuron_labels(plan),
        "neuron": neurons,
        "neuron_image": images,
        "neuron_list": arrays.lists,
        "neuron_rank": plan.settings.top_images,
        "neuron_token": measured.token_mean_lnt.shape[-1],
        "later_head": carriers,
        "active": arrays.active_pairs,
        "active_offset": images + 1,
    }


def neuron_labels(plan: Plan) -> list[int | None]:
    """Numbers of the neurons' layers; a ResNet's last map has none."""
    return [None] if plan.is_resnet else list(plan.neuron_layers)


class _Layer:
    """All neurons of one layer over all measured images: n neurons, i images, m later heads."""

    def __init__(self, lens: NeuronHead, measured: MeasuredNeurons, carriers: int, largest: int) -> None:
        self.lens, self.measured, self.carriers = lens, measured, carriers
        n, images = lens.neurons, len(measured.image_ids)
        self.largest = min(largest, images)
        self.largest_ni = np.zeros((n, self.largest), np.int64)
        self.mean_nm = np.zeros((n, len(lens.pairs)))
        self.norm_ni = np.zeros((n, images), np.float32)
        self.coef_ni = np.zeros((n, images), np.float32)
        self.share_nm = np.zeros((n, len(lens.pairs)))
        self.threshold_n = np.zeros(n, np.float32)
        self.principal: Principal

    def chunks(self) -> list[slice]:
        """Neurons read at a time."""
        step = max(1, _ENTRIES // max(1, self.norm_ni.shape[1] * len(self.lens.pairs)))
        return [slice(start, min(start + step, self.lens.neurons)) for start in range(0, self.lens.neurons, step)]

    def fit(self, seen: Callable[[int], None]) -> None:
        """Mean effects, norms and directions; then coefficients, and each later head's share in them."""
        top_nim = np.zeros((self.lens.neurons, self.largest, len(self.lens.pairs)), np.float32)
        reduce_ncm = self.lens.reduce_ncm.cpu().numpy()
        for part in self.chunks():
            s_nim = self.measured.scalars(self.lens.layer, part)
            self.mean_nm[part] = s_nim.mean(1, dtype=np.float64)
            centred_nim = s_nim - self.mean_nm[part, None].astype(np.float32)
            self.norm_ni[part] = np.linalg.norm(centred_nim @ reduce_ncm[part].transpose(0, 2, 1), axis=-1)
            top = TopK((len(s_nim),), self.largest)
            top.update(self.norm_ni[part].T, np.arange(s_nim.shape[1]))
            self.largest_ni[part] = top.ids
            top_nim[part] = np.take_along_axis(s_nim, top.ids[..., None], axis=1)
        device = self.lens.value_nmk.device
        mean_nm = torch.from_numpy(self.mean_nm).to(device)
        self.principal = self.lens.principal(torch.from_numpy(top_nim).to(device), mean_nm)
        read_nm = self.principal.read_nm.cpu().numpy()
        for part in self.chunks():
            s_nim = self.measured.scalars(self.lens.layer, part)
            read_nim = (s_nim - self.mean_nm[part, None].astype(np.float32)) * read_nm[part, None]
            x_ni = read_nim.sum(-1, dtype=np.float64)
            self.coef_ni[part] = x_ni
            total_n = (x_ni**2).mean(1)
            covariance_nm = np.einsum("nim,ni->nm", read_nim, x_ni, optimize=True) / max(1, x_ni.shape[1])
            self.share_nm[part] = covariance_nm / np.where(total_n > 0, total_n, np.inf)[:, None]
            seen(len(s_nim))
        self.threshold_n = np.quantile(self.norm_ni, ACTIVE, axis=1).astype(np.float32)

    @property
    def active_ni(self) -> np.ndarray:
        """Where each neuron is active."""
        return self.norm_ni > self.threshold_n[:, None]

    def padded(self, x_nm: np.ndarray) -> np.ndarray:
        """Columns of the axis later_head: zeros for heads that are not later than this layer."""
        return np.pad(x_nm, ((0, 0), (self.carriers - x_nm.shape[1], 0)))


class _Arrays:
    """The arrays, filled layer by layer."""

    def __init__(self, writer: BundleWriter, layers: int, neurons: int, images: int, lists: list[str]) -> None:
        self.writer, self.lists, self.made = writer, lists, dict[str, list[np.ndarray]]()
        self.norm = writer.memmap("neuron_norm", (layers, neurons, images))
        self.coef = writer.memmap("neuron_coef", (layers, neurons, images))
        self.active: list[np.ndarray] = []

    @property
    def direction(self) -> np.ndarray:
        return np.stack(self.made["direction"])

    def fill(self, i: int, layer: _Layer, ranks: int, unit_no: np.ndarray, chance: float) -> None:
        """Everything of one layer."""
        lens, norm_ni, coef_ni = layer.lens, layer.norm_ni, layer.coef_ni
        r_no, mean = layer.principal.direction_no.cpu().numpy(), layer.mean_nm
        scale_n = norm_ni.max(1)
        divisor_n = np.where(scale_n > 0, scale_n, 1)[:, None]
        self.norm[i], self.coef[i] = norm_ni / divisor_n, coef_ni / divisor_n
        active_ni = layer.active_ni
        self.active.append(np.argwhere(active_ni.T) + np.array([0, i * lens.neurons]))
        total_io, active_io = totals(lens, layer.measured, mean, active_ni)
        square = lambda x_ni: (x_ni.astype(np.float64) ** 2).sum(1)
        all_n = square(norm_ni)
        mean_y = np.einsum("nm,ncm->nc", mean, lens.reduce_ncm.cpu().numpy().astype(np.float64), optimize=True)
        ids, scores, activation = self._tops(layer, ranks)
        values = {
            "direction": r_no,
            "mean_s": layer.padded(mean).astype(np.float32),
            "mean_coef": (mean * layer.principal.read_nm.cpu().numpy()).sum(1),
            "mean_norm": np.linalg.norm(mean_y, axis=1),
            "scale": scale_n,
            "coef_std": coef_ni.std(1, dtype=np.float64),
            "coef_quantiles": np.quantile(coef_ni, QUANTILES, axis=1).T.astype(np.float32),
            "norm_quantiles": np.quantile(norm_ni, QUANTILES, axis=1).T.astype(np.float32),
            "activation_mean": activation,
            "explained": layer.principal.explained_n.cpu().numpy().astype(np.float64),
            "explained_all": square(coef_ni) / np.where(all_n > 0, all_n, np.inf),
            "threshold": layer.threshold_n,
            "total": total_io,
            "total_active": active_io,
            "share_above": (norm_ni > np.quantile(norm_ni, ACTIVE)).mean(1),
            "later_share": layer.padded(layer.share_nm).astype(np.float32),
            "concepts": self._concepts(layer, unit_no, chance),
            "top_ids": ids,
            "top_scores": scores,
        }
        for name, value in values.items():
            self.made.setdefault(name, []).append(value)

    def _tops(self, layer: _Layer, ranks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Top images by each of the lists, and the mean activation."""
        n, image_ids = layer.lens.neurons, layer.measured.image_ids
        lists = [TopK((n,), ranks, largest=name != "-") for name in self.lists]
        measure_nia, measured = layer.measured.measures(layer.lens.layer), self.lists[3:]
        activation_n = measure_nia[..., measured.index("activation mean")].mean(1, dtype=np.float64)
        by_name = {"+": layer.coef_ni, "-": layer.coef_ni, "norm": layer.norm_ni}
        by_name |= {name: measure_nia[..., i] for i, name in enumerate(measured)}
        for top, name in zip(lists, self.lists, strict=True):
            top.update(by_name[name].T, image_ids)
        ids = np.stack([top.ids for top in lists], axis=1)
        scores = np.stack([top.scores for top in lists], axis=1)
        return ids, np.where(ids < 0, np.float32(np.nan), scores), activation_n

    def _concepts(self, layer: _Layer, unit_no: np.ndarray, chance: float) -> np.ndarray:
        """Clusters among each neuron's images of largest norm; none for a neuron without effect."""
        found = np.zeros(layer.lens.neurons, np.int16)
        for n, rows in enumerate(layer.largest_ni):
            if layer.norm_ni[n].any():
                ids = layer.measured.image_ids[rows]
                found[n] = concept_clusters(unit_no[ids].astype(np.float32), chance).max(initial=-1) + 1
        return found

    def write(self) -> None:
        for name in ("neuron_norm", "neuron_coef"):
            self.writer.close_memmap(name)
        for name, values in self.made.items():
            self.writer.array(f"neuron_{name}", np.stack(values))
        pairs = np.concatenate(self.active)
        pairs = pairs[np.lexsort([pairs[:, 1], pairs[:, 0]])]
        counts = np.bincount(pairs[:, 0], minlength=self.norm.shape[2])
        self.active_pairs = len(pairs)
        self.writer.array("neuron_active_units", pairs[:, 1].astype(np.int32))
        self.writer.array("neuron_active_offsets", np.append(0, np.cumsum(counts)).astype(np.int64))


def describe_neurons(
    plan: Plan, writer: BundleWriter, texts_wo: np.ndarray, progress: Callable[[int, int], None] | None = None
) -> int:
    """Sparse decomposition of every direction over the pool, atoms of norm one; returns the texts a neuron.

    `progress` is called with (done, total) picks. Raises PoolError for a pool whose texts are all one.
    """
    direction_lno = np.load(plan.folder / ARRAY["neuron_direction"].path)
    layers, neurons, out = direction_lno.shape
    atoms_wo = text_atoms(torch.from_numpy(texts_wo), AtomScaling.UNIT)
    count = min(plan.settings.neuron_texts, out, len(texts_wo))
    flat = torch.from_numpy(direction_lno.reshape(-1, out))
    write_texts(writer, "neuron_text", pursue(flat, atoms_wo, count, progress=progress), (layers, neurons))
    return count


def write_texts(writer: BundleWriter, name: str, found: SparseText, shape: tuple[int, ...]) -> None:
    """The three arrays of a sparse decomposition, the directions arranged as `shape`."""
    writer.array(f"{name}_index", found.index_nm.numpy().astype(np.int32).reshape(*shape, -1))
    writer.array(f"{name}_coef", found.coefficient_nm.numpy().astype(np.float32).reshape(*shape, -1))
    writer.array(f"{name}_error", found.residual_nm.numpy().astype(np.float32).reshape(*shape, -1))
