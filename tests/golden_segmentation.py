"""Golden arrays of segmentation with a ResNet's neuron-head pairs: seg_* and slide_* of `clip_rn.npz`.

Everything is computed from weights, images and texts, the sign of a pair's direction included: as in the released code
it is that of most of the K images in which the pair contributes most.
"""

import numpy as np
import torch
from open_clip.modified_resnet import ModifiedResNet

from core.methods import pair_segmentation as method
from core.methods.first_order import FirstOrder
from core.methods.layernorm import Convention
from core.models.modified_resnet import ModifiedResNetTower
from core.models.tower import Trace
from tests.golden_set import GoldenSet, Rules, Verdict, close, within
from tests.golden_text import TIE

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def segmentation(golden: GoldenSet, kind: str, convention: Convention = Convention.EQUAL) -> dict[str, np.ndarray]:
    """seg_* of image 0 and slide_* of the larger image."""
    c, tower = golden.config, resnet_tower(golden)
    texts_wo, slide_u8 = (torch.from_numpy(golden.inputs[name]) for name in ("text", "slide_image_u8"))
    lens = FirstOrder(tower, (0,), convention)
    query_wo = method.class_queries(texts_wo)
    trace = tower.trace(pixels(golden.images), neurons=(0,))
    index_wk, cosine_wk = method.choose_pairs(query_wo @ directions(tower, trace, c["top_k_pca"]).T, c["seg_k"])
    mask_wmn = method.pair_masks(index_wk, tower.width, tower.heads)

    def parts(trace: Trace) -> tuple[torch.Tensor, torch.Tensor]:
        contribution_btmo = lens.token_contributions(trace, 0)[:, 1:]
        activation_btn = trace.neurons[0][:, 1:]
        similarity_bwtm = method.head_similarity(method.repair(contribution_btmo, tower.grid), query_wo)
        logits_bwt = method.pair_logits(similarity_bwtm, method.repair(activation_btn, tower.grid), mask_wmn)
        return similarity_bwtm, logits_bwt.unflatten(-1, tower.grid)

    similarity_bwtm, logits_bwyx = parts(trace)
    class_bwtm = method.head_similarity(lens.token_contributions(trace, 0)[:, :1], query_wo)
    size, shape = (c["image_size"],) * 2, tuple(c["ori_shape"])
    slid_wyx = method.slide(
        pixels(slide_u8)[0],
        c["slide_crop"],
        c["slide_stride"],
        lambda windows: parts(tower.trace(windows, neurons=(0,)))[1],
    )
    slide_wyx = method.resize(slid_wyx[None], shape)[0]
    found = {
        "seg_query": query_wo,
        "seg_heads": index_wk % tower.heads,
        "seg_neurons": index_wk // tower.heads,
        "seg_pair_similarity": cosine_wk,
        "seg_head_similarity_image0": torch.cat([class_bwtm, similarity_bwtm], dim=2)[0],
        "seg_logits_image0_grid": logits_bwyx[0],
        "seg_logits_image0": method.resize(logits_bwyx, size)[0],
        "slide_logits": slide_wyx,
        "slide_labels": method.label(slide_wyx),
    }
    return {name: value.detach().numpy() for name, value in found.items()}


def resnet_tower(golden: GoldenSet) -> ModifiedResNetTower:
    """The golden ResNet as upstream builds it."""
    c = golden.config
    visual = ModifiedResNet(c["layers"], c["output_dim"], c["heads"], c["image_size"], c["width"])
    missing, unexpected = visual.load_state_dict(golden.weights, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return ModifiedResNetTower(visual.eval().requires_grad_(False))


def pixels(images_u8: torch.Tensor) -> torch.Tensor:
    """(b, y, x, 3) to the model's input."""
    mean, std = (torch.tensor(value).reshape(3, 1, 1) for value in (MEAN, STD))
    return (images_u8.permute(0, 3, 1, 2).float() / 255 - mean) / std


def directions(tower: ModifiedResNetTower, trace: Trace, largest: int) -> torch.Tensor:
    """The pairs' unit directions (n · heads + h, o), signed as the released code signs them."""
    weights, heads = tower.head_weights(0), trace.heads[0]
    d_nho = torch.einsum("hok,hkn->nho", weights.wo_hdk, weights.wv_hkd)
    moved_bnh = torch.einsum("bht,btn->bnh", heads.attn_bht, heads.z_btd)
    moved_bnh = moved_bnh - moved_bnh.mean(0)
    of_top = moved_bnh.gather(0, moved_bnh.abs().topk(largest, dim=0).indices)
    sign_nh = torch.where((of_top > 0).sum(0) > largest // 2, 1.0, -1.0)
    return torch.nn.functional.normalize(d_nho * sign_nh[..., None], dim=-1).flatten(0, 1)


def _floats(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """1e-4 of the largest entry, as the set's description suggests."""
    return close(golden, name, ours, 1e-4 * float(np.abs(golden.arrays[name]).max()))


def _indices(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Equal wherever the similarity tells neighbours in the list apart, those just outside of it included."""
    theirs = golden.arrays
    every = np.sort(theirs["seg_query"] @ theirs["pc0"].reshape(-1, theirs["pc0"].shape[-1]).T, axis=1)[:, ::-1]
    k = ours.shape[1]
    gap = np.abs(np.diff(every[:, : k + 1], axis=1, prepend=np.inf))
    near = np.minimum(gap[:, :k], gap[:, 1:]) <= TIE * np.abs(every[:, :k])
    wrong = (ours != theirs[name])[~near]
    return within(golden, name, wrong.astype(float), 0.0, f"{near.sum()} near-ties excluded")


def _labels(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Equal but where two classes are closer than the logits' own tolerance."""
    logits = golden.arrays["slide_logits"]
    best = np.sort(logits, axis=0)
    near = best[-1] - best[-2] <= 2e-4 * np.abs(logits).max()
    wrong = (ours != golden.arrays[name])[~near]
    return within(golden, name, wrong.astype(float), 0.0, f"{near.sum()} near-ties excluded")


RULES: Rules = {
    "seg_heads": _indices,
    "seg_neurons": _indices,
    "slide_labels": _labels,
    "seg_": _floats,
    "slide_": _floats,
}
