"""What the pairs of a CLIP-ResNet's neurons and heads cost: see `tests.bench`. RN50's shape, random weights."""

import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from core.methods.first_order import FirstOrder
from core.methods.neuron_head import PoolPairs
from core.methods.pair_scores import fit_pairs, inertia, largest_images, uncentred_norms
from core.models.load import LoadedModel, load_model
from precompute.pairs import ordered
from precompute.statistics import HeadStatistics
from tests.bench_tools import plain, ratio, say, seconds

NAME = "RN50"
BATCH = 32
_SOME, _IMAGES, _TOP = 64, 1_000, 24


def bench_pairs_pass() -> None:
    """Heads, and every pair's coefficient kept in half precision, over a plain encode_image; then with what finishing
    takes for each image: both ends, quantiles, intervals, scores, inertia of all pairs."""
    images = torch.randn(BATCH, 3, 224, 224)
    model = load_model(NAME, allow_random_weights=True, device="cpu")
    heads, lens = FirstOrder(model.tower, (0,)), PoolPairs(model.tower)
    kept = HeadStatistics.empty_like(heads)
    pairs = lens.neurons * len(lens.pairs)
    stored = np.zeros((lens.neurons, BATCH, len(lens.pairs)), np.float16)

    @torch.inference_mode()
    def ours() -> None:
        trace = model.tower.trace(images, (0,), neurons=(0,))
        kept.update(heads, heads.parts(trace))
        stored[:] = (lens.scalars(trace) * 32).transpose(0, 1).numpy()

    measured, base = ratio(ours, lambda: plain(model, images), rounds=5)
    finishing = _finishing(model, lens)
    each = statistics.median(seconds(finishing) for _ in range(3)) * lens.neurons / _SOME / _IMAGES
    detail = f"{pairs:,} pairs, {2 * pairs / 1e3:.0f} kB an image while it runs; plain {base * 1e3:.0f} ms a batch"
    say(f"pass {NAME}, all pairs' coefficients", f"{measured:.3f} x plain", "none", detail)
    together = measured + each * BATCH / base
    detail = f"finishing {each * 1e3:.1f} ms an image, by {_SOME} neurons over {_IMAGES:,} images"
    say("the same, with ends and statistics", f"{together:.3f} x plain", "<= 1.5", detail)


def _finishing(model: LoadedModel, lens: PoolPairs) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    s_nim = rng.standard_normal((_SOME, _IMAGES, len(lens.pairs)), np.float32)
    unit_io = rng.standard_normal((_IMAGES, model.tower.out_dim)).astype(np.float16)
    length_nm = lens.lengths_nm[:_SOME].numpy().astype(np.float64)

    def finish() -> None:
        mean_nm = s_nim.mean(1, dtype=np.float64)
        fit = fit_pairs(s_nim, mean_nm, length_nm)
        inertia(unit_io, largest_images(uncentred_norms(s_nim, length_nm)))
        ordered((s_nim - mean_nm[:, None].astype(np.float32)) * fit.length_nm[:, None], np.arange(_IMAGES), _TOP)

    return finish


def bench_pairs_direct() -> None:
    """An image's pairs formed as contributions, token by token, as paper P's released code does, and in closed form;
    then directions by a singular value decomposition of collected contributions, and from weights."""
    model = load_model(NAME, allow_random_weights=True, device="cpu")
    lens = PoolPairs(model.tower)
    with torch.inference_mode():
        trace = model.tower.trace(torch.randn(BATCH, 3, 224, 224), (0,), neurons=(0,))
        direct = lambda: _contributions(model, trace.heads[0].z_btd[0], trace.heads[0].attn_bht[0])
        closed = lambda: lens.scalars(trace)
        direct_hno = direct()
        pairs = [(seconds(closed), seconds(direct)) for _ in range(3)]
        faster = statistics.median(theirs / ours for ours, theirs in pairs) * BATCH
        detail = (
            f"direct {statistics.median(b for _, b in pairs):.2f} s and {direct_hno.numel() * 4 / 1e6:.0f} MB an image"
        )
        say(f"pool of {NAME}, all pairs", f"{faster:,.0f} x faster", ">= 50 x", detail)
        s_nm = lens.scalars(trace)[0] * trace.norm_b[0]
        error = float((s_nm.T[..., None] * lens.directions().transpose(0, 1) - direct_hno).abs().max())
        say("the same numbers", f"{error / float(direct_hno.abs().max()):.1e} of the largest", "<= 1e-4", "one image")
        _directions(lens, trace.norm_b, lens.scalars(trace))


def _directions(lens: PoolPairs, norm_b: Tensor, s_bnm: Tensor) -> None:
    some = 32
    # float64: the images of a random model differ by little, which fp32 would round away from one direction
    scalar_bnm = (s_bnm[:, :some] * norm_b[:, None, None]).double()
    collected = scalar_bnm[..., None] * lens.directions(range(some)).double()
    found: list[np.ndarray] = []

    def svd() -> None:
        flat_bpo = collected.flatten(1, 2).numpy()
        centred = flat_bpo - flat_bpo.mean(0)
        found[:] = [np.linalg.svd(centred[:, p], full_matrices=False)[2][0] for p in range(flat_bpo.shape[1])]

    made: list[Tensor] = []

    def weights() -> None:
        made[:] = [lens.coords(lens.basis_mok)]

    lens.basis_mok  # noqa: B018  # once a model
    theirs, ours = seconds(svd) * lens.neurons / some, statistics.median(seconds(weights) for _ in range(3))
    unit = torch.nn.functional.normalize(lens.directions(range(some)).flatten(0, 1), dim=1).numpy()
    least = float(np.abs((unit * np.stack(found)).sum(1)).min())
    detail = f"singular vectors {theirs:.0f} s for all, by {len(found)} pairs over {len(norm_b)} images"
    say("directions of all pairs", f"{theirs / ours:,.0f} x faster", "none", detail)
    say("the same directions", f"1 - |cosine| <= {1 - least:.0e}", "<= 1e-6", f"{len(found)} pairs")


def _contributions(model: LoadedModel, z_td: Tensor, attn_ht: Tensor) -> Tensor:
    """(h, n, o) of one image: each neuron's own values at every token, mixed by attention, through the projection."""
    weights = model.tower.head_weights(0)
    out = []
    for h in range(weights.heads):
        value_tnk = z_td[:, :, None] * weights.wv_hkd[h].T
        out.append(torch.einsum("t,tnk->nk", attn_ht[h], value_tnk) @ weights.wo_hdk[h].T)
    return torch.stack(out)


BENCHES = {"pairs-pass": bench_pairs_pass, "pairs-direct": bench_pairs_direct}
