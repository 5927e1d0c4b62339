"""What neurons cost under the second-order lens: see `tests.bench`. ViT-B-32's shape, random weights."""

import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from core.methods.first_order import FirstOrder
from core.methods.layernorm import Convention
from core.methods.neuron_head import Principal
from core.methods.second_order import SecondOrder
from core.models.load import LoadedModel, load_model
from core.models.taps import Tap, tapped
from core.models.tower import Trace
from precompute.statistics import HeadStatistics
from tests.bench_tools import plain, ratio, say, seconds

LAYERS = (8, 9, 10)
NAME = "ViT-B-32"


def bench_neurons_pass() -> None:
    """Heads of four layers and every neuron of three: scalars, norms and coefficients, over a plain encode_image."""
    images = torch.randn(32, 3, 224, 224)
    model = load_model(NAME, allow_random_weights=True, device="cpu")
    heads = FirstOrder(model.tower, (8, 9, 10, 11))
    kept = HeadStatistics.empty_like(heads)
    lenses = [SecondOrder(model.tower, layer) for layer in LAYERS]
    first = model.tower.trace(images, (), LAYERS)
    fits = [_fit(lens, lens.scalars(first), 8) for lens in lenses]

    @torch.inference_mode()
    def ours() -> None:
        trace = model.tower.trace(images, heads.layers, LAYERS)
        kept.update(heads, heads.parts(trace))
        for lens, (mean_nm, principal) in zip(lenses, fits, strict=True):
            _measure(lens, trace, mean_nm, principal)

    measured, base = ratio(ours, lambda: plain(model, images), rounds=9)
    detail = f"scalars, norms, coefficients of 9,216 neurons; plain {base * 1e3:.0f} ms a batch of 32"
    say(f"pass {NAME}, 4 layers' heads, 3 of neurons", f"{measured:.3f} x plain", "<= 1.35", detail)


def bench_neurons_direct() -> None:
    """One layer's effects formed neuron by neuron, as the released code of paper N does, and in closed form.

    The direct way is timed on one image and 128 of 3,072 neurons, the tensors of all of which would take 0.5 GB each.
    """
    some, batch = 128, 32
    model = load_model(NAME, allow_random_weights=True, device="cpu")
    layer, images = LAYERS[0], torch.randn(batch, 3, 224, 224)
    trace = model.tower.trace(images, (), (layer,))
    direct = _Direct(model, images[:1], trace, layer, some)
    for convention in Convention:
        lens = SecondOrder(model.tower, layer, convention)
        mean_nm, principal = _fit(lens, lens.scalars(trace), 8)
        with torch.inference_mode():
            ours = lambda lens=lens, mean_nm=mean_nm, principal=principal: _measure(lens, trace, mean_nm, principal)
            faster, theirs = _faster(ours, direct.phi, 5)
        speed = faster * lens.neurons / some * batch
        goal = ">= 300 x" if convention is Convention.OWN else "none"
        detail = (
            f"direct {theirs * lens.neurons / some:.0f} s an image, by {some} neurons; {len(lens.later)} later layers"
        )
        say(f"second order against direct, {convention}", f"{speed:,.0f} x faster", goal, detail)
    lens = SecondOrder(model.tower, layer, Convention.EQUAL)
    phi_no, direct_no = lens.phi(lens.scalars(trace)[:1], range(some))[0], direct.phi()
    error = float((phi_no - direct_no).abs().max() / direct_no.abs().max())
    say("the same numbers", f"{error:.1e} of the largest", "<= 1e-4", f"{some} neurons, convention equal")
    lenses = [SecondOrder(model.tower, layer) for layer in LAYERS]
    scalars, effects = (sum(lens.neurons * of(lens) for lens in lenses) * 4 for of in (
        lambda lens: len(lens.pairs), lambda lens: model.tower.out_dim))  # fmt: skip
    detail = f"layers {LAYERS}: {scalars / 1e3:.0f} kB of scalars for {effects / 1e6:.1f} MB of effects, fp32"
    say("bytes an image", f"1/{effects / scalars:.1f}", "<= 1/20", detail)


def bench_neurons_components() -> None:
    """First components of a layer's 3,072 neurons over 5,000 images, from scalars; forming each effect from them first,
    as an upper bound of what forming costs. Timed on 64 neurons."""
    some, count, largest = 64, 5_000, 100
    model = load_model(NAME, allow_random_weights=True, device="cpu")
    for layer in LAYERS:
        lens = SecondOrder(model.tower, layer)
        every, lens.value_nmk = lens.neurons, lens.value_nmk[:some].contiguous()
        rng = torch.Generator().manual_seed(0)
        s_nim = torch.rand(some, count, len(lens.pairs), generator=rng) ** 8  # many small, few large
        found: list[Principal] = []

        def ours(lens: SecondOrder = lens, s_nim: Tensor = s_nim, found: list[Principal] = found) -> None:
            lens.__dict__.pop("reduce_ncm", None)  # folding the weights is part of it
            found[:] = [_fit(lens, s_nim.transpose(0, 1), largest)[1]]

        formed: list[np.ndarray] = []

        def theirs(lens: SecondOrder = lens, s_nim: Tensor = s_nim, formed: list[np.ndarray] = formed) -> None:
            formed[:] = [_formed_components(lens, s_nim, largest)]

        with torch.inference_mode():
            faster, base = _faster(ours, theirs, 3)
        error = float(np.abs(found[0].direction_no.numpy() - formed[0]).max())
        detail = f"{base / faster * every / some:.1f} s for {every:,}; directions equal to {error:.0e}"
        say(f"first components, layer {layer}, {count:,} images", f"{faster:.1f} x faster", ">= 20 x", detail)


def _measure(lens: SecondOrder, trace: Trace, mean_nm: Tensor, principal: Principal) -> None:
    s_bnm = lens.scalars(trace)
    lens.norms(s_bnm, mean_nm)
    lens.coefficients(s_bnm, mean_nm, principal)


def _fit(lens: SecondOrder, s_bnm: Tensor, largest: int) -> tuple[Tensor, Principal]:
    """Mean and first components over a batch."""
    mean_nm = s_bnm.mean(0)
    top_nk = lens.norms(s_bnm, mean_nm).topk(largest, dim=0).indices.T
    top_nim = s_bnm.transpose(0, 1).gather(1, top_nk[..., None].expand(-1, -1, s_bnm.shape[2]))
    return mean_nm, lens.principal(top_nim, mean_nm)


def _formed_components(lens: SecondOrder, s_nim: Tensor, largest: int) -> np.ndarray:
    """As the released code does once φ is there: centre, rank by norm, singular vectors, vote on the sign."""
    found = []
    for n, d_mo in enumerate(lens.directions()):
        phi_io = (s_nim[n] @ d_mo).numpy()
        centred_io = phi_io - phi_io.mean(0)
        top_io = centred_io[np.argsort(np.linalg.norm(centred_io, axis=-1))[-largest:]]
        axis_o = np.linalg.svd(top_io, full_matrices=False)[2][0]
        found.append(axis_o if ((top_io @ axis_o) > 0).sum() > largest // 2 else -axis_o)
    return np.stack(found)


def _faster(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """How many times faster, as the median of neighbouring timings; and the median time of theirs."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(b / a for a, b in pairs), statistics.median(b for _, b in pairs)


class _Direct:
    """φ of the first `some` neurons of a layer in one image the way paper N's released code computes it: a residual
    stream a neuron, through each later head's values and whole attention matrix, then out for every token."""

    def __init__(self, model: LoadedModel, image: Tensor, trace: Trace, layer: int, some: int) -> None:
        self.visual, self.layer, self.some = model.tower.visual, layer, some
        self.blocks = model.tower.visual.transformer.resblocks
        self.every = self.blocks[layer].mlp.c_proj.in_features
        self.p_tn = trace.neurons[layer][0, :, :some]
        self.end = (trace.mean_b[0], trace.scale_b[0], trace.norm_b[0])
        taps = {f"{i}": Tap(self.blocks[i].ln_1, "input") for i in range(layer + 1, len(self.blocks))}
        with torch.inference_mode(), tapped(taps) as seen:
            self.visual(image)
        self.entering = {int(i): x_btd[0] for i, x_btd in seen.items()}

    @torch.inference_mode()
    def phi(self) -> Tensor:
        """(n, o), under the convention `equal`."""
        mean, scale, norm = self.end
        proj_do, post, write = self.visual.proj, self.visual.ln_post, self.blocks[self.layer].mlp.c_proj
        phi_no = torch.zeros(self.some, proj_do.shape[1])
        for i, entering_td in self.entering.items():
            attention, ln = self.blocks[i].attn, self.blocks[i].ln_1
            h, k = attention.num_heads, attention.head_dim
            parts = (2 * i + 1) * self.every
            z_td = ln(entering_td)
            query, key = ((z_td @ w.T + b).unflatten(-1, (h, k)) for w, b in zip(
                attention.in_proj_weight.chunk(3)[:2], attention.in_proj_bias.chunk(3)[:2], strict=True))  # fmt: skip
            attn_hts = torch.softmax(torch.einsum("thk,shk->hts", query, key) / k**0.5, dim=-1)
            value_hkd, bias_hk = attention.in_proj_weight.chunk(3)[2].view(h, k, -1), attention.in_proj_bias.chunk(3)[2]
            variance_t1, mean_t1 = torch.var_mean(entering_td, -1, correction=0, keepdim=True)
            for head in range(h):
                x_tnd = torch.einsum("tn,dn->tnd", self.p_tn, write.weight[:, : self.some]) + write.bias / self.every
                u_tnd = (x_tnd - mean_t1[:, None] / parts) * ln.weight / torch.sqrt(variance_t1 + ln.eps)[:, None]
                v_tnk = (u_tnd + ln.bias / parts) @ value_hkd[head].T + bias_hk.view(h, k)[head] / parts
                mixed_tnk = torch.einsum("ts,snk->tnk", attn_hts[head], v_tnk)
                y_tnd = mixed_tnk @ attention.out_proj.weight.view(-1, h, k)[:, head].T
                y_nd = (y_tnd + attention.out_proj.bias / (parts * h))[0]
                share = 1 / (parts * h * (2 * len(self.blocks) + 1))
                phi_no += ((y_nd - mean * share) * post.weight / scale + post.bias * share) @ proj_do / norm
        return phi_no


BENCHES = {
    "neurons-pass": bench_neurons_pass,
    "neurons-direct": bench_neurons_direct,
    "neurons-components": bench_neurons_components,
}
