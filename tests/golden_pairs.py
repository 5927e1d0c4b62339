"""Golden arrays of a ResNet's neuron-head pairs (clip_rn.npz): the attention pool, contributions, statistics over the
images, and representations mean-ablated or rebuilt.

Contributions are those of the released code: of the representation as the model gives it, with the biases spread evenly
over pairs. So our scalars are multiplied by the representation's norm, and the constants added here.
"""

from dataclasses import dataclass

import numpy as np
import open_clip
import torch
from torch import Tensor

from core.methods.neuron_head import PoolPairs
from core.methods.pair_ablation import (
    Components,
    along_texts,
    components,
    head_values,
    kept_pairs,
    rebuilt,
    write,
)
from core.methods.pair_scores import (
    PairFit,
    fit_pairs,
    inertia,
    largest_images,
    mask_percentile,
    order,
    uncentred_norms,
)
from core.methods.sparse_text import AtomScaling, pursue, text_atoms
from core.models.modified_resnet import ModifiedResNetTower
from core.models.tower import Trace
from tests.golden_pairs_rules import percentile
from tests.golden_set import GoldenSet

_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def resnet_tower(golden: GoldenSet) -> ModifiedResNetTower:
    """The golden model as upstream builds it."""
    c = golden.config
    visual = open_clip.modified_resnet.ModifiedResNet(
        c["layers"], c["output_dim"], c["heads"], c["image_size"], c["width"]
    )
    missing = visual.load_state_dict(golden.weights, strict=False)
    assert not missing.unexpected_keys and all("num_batches" in key for key in missing.missing_keys), missing
    return ModifiedResNetTower(visual.eval())


def normalised(images_u8: Tensor) -> Tensor:
    """Model input (b, 3, y, x) from RGB bytes (b, y, x, 3)."""
    return ((images_u8.float() / 255 - _MEAN) / _STD).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Pairs:
    """The golden images through our lens, in the released code's scale: `s_bnm` of the representation itself."""

    golden: GoldenSet
    lens: PoolPairs
    trace: Trace
    s_bnm: Tensor
    fit: PairFit

    @classmethod
    def of(cls, golden: GoldenSet) -> "Pairs":
        tower = resnet_tower(golden)
        trace, lens = tower.trace(normalised(golden.images), (0,), neurons=(0,)), PoolPairs(tower)
        s_bnm = lens.scalars(trace) * trace.norm_b[:, None, None]
        s_nim = s_bnm.transpose(0, 1).numpy()
        fit = fit_pairs(s_nim, s_nim.mean(1, dtype=np.float64), lens.lengths_nm.numpy(), golden.config["top_k_pca"])
        return cls(golden, lens, trace, s_bnm, fit)

    @property
    def constant_mo(self) -> Tensor:
        """What the released code adds to every pair of a head."""
        return self.lens.constant_ho / self.lens.neurons

    @property
    def centred_bnm(self) -> Tensor:
        return self.s_bnm - self.s_bnm.mean(0)

    @property
    def unit_nmo(self) -> Tensor:
        """d̂ with its sign."""
        return self.lens.directions() / torch.from_numpy(self.fit.length_nm)[..., None]

    @property
    def neurons_bno(self) -> Tensor:
        return self.lens.phi(self.s_bnm) + self.constant_mo.sum(0)

    def principal(self) -> Components:
        """The two first components of neurons."""
        norms_bn = self.lens.norms(self.s_bnm, self.s_bnm.mean(0))
        top_nk = norms_bn.T.topk(self.golden.config["top_k_pca"], dim=1).indices
        top_nim = torch.stack([self.centred_bnm[rows, n] for n, rows in enumerate(top_nk)])
        return components(top_nim, self.lens.reduce_ncm, 2)

    def released(self, x_nm: np.ndarray | Tensor) -> np.ndarray:
        """The golden sets' order of axes: heads before neurons."""
        return np.asarray(x_nm).swapaxes(0, 1)


@torch.inference_mode()
def resnet_pairs(golden: GoldenSet, kind: str) -> dict[str, np.ndarray]:
    """Every array named above."""
    torch.manual_seed(0)
    pairs = Pairs.of(golden)
    made = {**_pool(pairs), **_contributions(pairs), **_statistics(pairs), **_representations(pairs)}
    return {name: np.asarray(array) for name, array in made.items()}


def _pool(pairs: Pairs) -> dict[str, Tensor]:
    head, tower = pairs.trace.heads[0], pairs.lens.tower
    map_btn = pairs.trace.neurons[0][:, 1:]
    return {
        "conv_map": map_btn.transpose(1, 2).unflatten(2, tower.grid),
        "z": head.z_btd,
        "attention_logits_cls": head.attn_bht.log(),
        "attention_cls": head.attn_bht,
        "representation": pairs.trace.representation_bo,
    }


def _contributions(pairs: Pairs) -> dict[str, Tensor | np.ndarray]:
    lens, constant_mo = pairs.lens, pairs.constant_mo
    direction_nmo, head = lens.directions(), pairs.trace.heads[0]
    weights = lens.tower.head_weights(0)
    value_bhtk = torch.einsum("btd,hkd->bhtk", head.z_btd, weights.wv_hkd) + weights.bv_hk[:, None]
    tokens_btho = torch.einsum("bht,bhtk,hok->btho", head.attn_bht, value_bhtk, weights.wo_hdk)
    written_bho = torch.einsum("bhk,hok->bho", head.out_bhk, weights.wo_hdk)
    pair_bnmo = torch.einsum("bnm,nmo->bnmo", pairs.s_bnm[:2], direction_nmo) + constant_mo
    constant_m = constant_mo.norm(dim=-1).numpy()
    along_nm = torch.einsum("nmo,mo->nm", direction_nmo, constant_mo).numpy()
    norm_nim = uncentred_norms(pairs.s_bnm.transpose(0, 1).numpy(), lens.lengths_nm.numpy(), along_nm, constant_m)
    unit_bo = torch.nn.functional.normalize(pairs.trace.representation_bo).numpy()
    norm_n1b = pairs.neurons_bno.norm(dim=-1).T[..., None].numpy()
    top = pairs.golden.config["inertia_top"]
    return {
        "coef": pairs.s_bnm.transpose(1, 2),
        "direction": pairs.released(direction_nmo),
        "pair_constant": constant_mo,
        "contrib_pair": pair_bnmo.transpose(1, 2),
        "contrib_neuron": pairs.neurons_bno,
        "contrib_head": written_bho + weights.bo_d / weights.heads,
        "contrib_token_head": tokens_btho + weights.bo_d / (weights.heads * head.z_btd.shape[1]),
        "norm_pair": norm_nim.transpose(1, 2, 0),
        "inertia_pair": pairs.released(inertia(unit_bo, largest_images(norm_nim, top))),
        "inertia_neuron": inertia(unit_bo, largest_images(norm_n1b, top))[:, 0],
    }


def _statistics(pairs: Pairs) -> dict[str, Tensor | np.ndarray]:
    fit, k = pairs.fit, pairs.golden.config["top_k_pca"]
    norms_bnm = pairs.centred_bnm.abs() * pairs.lens.lengths_nm
    mean_nmo = torch.einsum("nm,nmo->nmo", pairs.s_bnm.mean(0), pairs.lens.directions()) + pairs.constant_mo
    directions_nro = pairs.principal().directions(pairs.lens.value_nmk, pairs.lens.writer_mok)
    score_mn = pairs.released(fit.score_nm)
    masks = {name: mask_percentile(score_mn, percentile(name)) for name in _named(pairs, "mask_percentile")}
    return {
        "pair_mean": pairs.released(mean_nmo),
        "top_norms": norms_bnm.sort(dim=0).values[-k:].permute(2, 1, 0),
        "pc0": pairs.released(pairs.unit_nmo),
        "neuron_pc0": directions_nro[:, 0],
        "neuron_pc1": directions_nro[:, 1],
        "pair_score": score_mn,
        "pair_order": order(score_mn),
        "omp_pairs": order(score_mn)[: len(pairs.golden.arrays["omp_pairs"])],
        **masks,
    }


def _representations(pairs: Pairs) -> dict[str, Tensor]:
    """Means of everything, and around them what is kept or rebuilt."""
    lens, centred_bnm = pairs.lens, pairs.centred_bnm
    mean_o = pairs.trace.representation_bo.mean(0)
    ablated = _named(pairs, "representation_meanablate")
    masks = [torch.from_numpy(mask_percentile(pairs.fit.score_nm, percentile(name))) for name in ablated]
    kept_rbo = kept_pairs(centred_bnm, lens.value_nmk, lens.writer_mok, masks)
    x_bnm = centred_bnm * torch.from_numpy(pairs.fit.length_nm)
    coords_nmc = lens.coords(lens.basis_mok) / torch.from_numpy(pairs.fit.length_nm)[..., None]
    principal = pairs.principal()
    directions_nro = principal.directions(lens.value_nmk, lens.writer_mok)
    (first_bo,) = rebuilt(principal.along(centred_bnm), directions_nro, (1,))
    atoms_wo = text_atoms(torch.from_numpy(pairs.golden.texts), AtomScaling.PAPER)
    picks, unit_po = pairs.golden.config["omp_components"], pairs.unit_nmo.flatten(0, 1)
    found = pursue(unit_po, atoms_wo, picks)
    (sparse_bo,) = along_texts(x_bnm.flatten(1), unit_po, atoms_wo, found.index_nm, (picks,))
    return {
        **{name: mean_o + kept_bo for name, kept_bo in zip(ablated, kept_rbo, strict=True)},
        "representation_rank1": mean_o + write(head_values(x_bnm, coords_nmc), lens.basis_mok),
        "representation_neuron_pc0": mean_o + first_bo,
        f"representation_sparse{picks}": mean_o + sparse_bo,
    }


def _named(pairs: Pairs, start: str) -> list[str]:
    return [name for name in pairs.golden.arrays if name.startswith(start)]
