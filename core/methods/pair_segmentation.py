"""Training-free semantic segmentation with neuron-head pairs (paper P, equation 6), and what it is measured against.

A class is a text. Its k pairs are those whose direction is most like the text; where in the image the class is, pair
by pair, is the product of two maps: where the neuron is active, and where what the head writes is like the text:

    logit_w(t) = (1/k) Σ_{(n,m) of w} N_n(t) S_m(t),    N the activation, S the cosine of the head's contribution at t
               = (1/k) Σ_m S_m(t) (M_w N(t))_m,         M_w the 0/1 matrix of the class's pairs

The second form costs one product of matrices a class, whatever k is. Texts are centred over the classes for choosing
and for S, so what all classes share says nothing; that needs two classes. Beside it stand its halves, S alone and N
alone, and MaskCLIP (Zhou et al. 2022): each token through the last value and output projections, and its cosine with
the (uncentred) text.

The attention sink: a CLIP-ResNet's pool looks at the last token whatever is there, so that token's vectors tell
nothing of its place. `repair` puts the mean of its neighbours there, before anything is normalised.

Letters beyond `core.models.tower`: w classes, n neurons, m heads that read them, t the patches, class token dropped.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from core.errors import InputError

PAIR_SHARE = 20_000 / 262_144
"""Of all pairs those that speak for a class: the paper's 20,000 of RN50x64's 262,144."""
SCALE = 40.0
"""What logits are multiplied by before the softmax over classes, in the released code."""
SHORT_SIDES = {"paper": 512 / 384, "code": 384 / 384}
"""The image's short side over the window's: the paper says 512 for windows of 384 pixels, its code takes 384."""
STRIDE = 192 / 384
"""From one window to the next, over the window's side."""
LAST = -1
"""The token that is repaired: the last patch, as in the released code."""
MOST_WINDOWS = 4_096
MOST_LOGITS = 2**29  # 2 GB in fp32


def class_queries(texts_wo: Tensor) -> Tensor:
    """Class embeddings less their mean over the classes, of norm one: (w, o). InputError for one class, which is its
    own mean, and for classes whose texts are all the same to the model."""
    if len(texts_wo) < 2:
        raise InputError(
            f"{len(texts_wo)} class was given. Every place is given to one of the classes, and a text is read by what "
            "sets it apart from the others: name two or more, the surroundings among them."
        )
    centred_wo = texts_wo - texts_wo.mean(0)
    length_w1 = centred_wo.norm(dim=-1, keepdim=True)
    if not (length_w1 > 1e-4).all():  # a text's own norm is one; this is what fp32 leaves of equal texts
        raise InputError("One of the classes is no different from the mean of all of them. Name different things.")
    return centred_wo / length_w1


def pair_cosines(basis_mok: Tensor, coords_nmk: Tensor, query_wo: Tensor) -> Tensor:
    """The cosine of every pair's direction, basis[m] coords[n, m] of norm one, with each unit query: (w, n · heads),
    pair (n, m) at n · heads + m. -inf where the coordinates are zero: there is no such pair."""
    toward_wmk = torch.einsum("mok,wo->wmk", basis_mok, query_wo)
    cosine_wnm = torch.einsum("nmk,wmk->wnm", coords_nmk, toward_wmk)
    return cosine_wnm.masked_fill(~coords_nmk.any(-1), -torch.inf).flatten(1)


def choose_pairs(cosine_wr: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Of each class the k pairs most like it: positions (w, k) among the r pairs, and the cosines, largest first. Pairs
    that do not exist (a head that comes before the neuron) have cosine -inf. ValueError if k pairs are not there."""
    there = int(torch.isfinite(cosine_wr).sum(-1).min())
    if not 1 <= k <= there:
        raise ValueError(f"{k} pairs asked for, of {there}")
    cosine_wk, index_wk = cosine_wr.topk(k, dim=-1)
    return index_wk, cosine_wk


def pair_masks(index_wk: Tensor, neurons: int, heads: int) -> Tensor:
    """M (w, m, n) bool, from positions n · heads + m."""
    mask_wr = torch.zeros(len(index_wk), neurons * heads, dtype=torch.bool, device=index_wk.device)
    mask_wr.scatter_(1, index_wk, True)
    return mask_wr.unflatten(1, (neurons, heads)).transpose(1, 2).contiguous()


def repair(x: Tensor, grid: tuple[int, int], token: int | None = LAST) -> Tensor:
    """One patch of (b, t, ...) replaced by the mean of its west, north and north-west neighbours (on the first row or
    column, of those on the other side). None repairs nothing; so does a grid of one row or column."""
    rows, columns = grid
    if token is None or rows < 2 or columns < 2:
        return x
    y, x_at = divmod(token % (rows * columns), columns)
    north, west = (y - 1 if y else 1), (x_at - 1 if x_at else 1)
    near = [y * columns + west, north * columns + x_at, north * columns + west]
    out = x.clone()
    out[:, y * columns + x_at] = x[:, near].mean(1)
    return out


def head_similarity(contribution_btmo: Tensor, query_wo: Tensor) -> Tensor:
    """S (b, w, t, m): the cosine of what each head writes at each token with each query."""
    return torch.einsum("btmo,wo->bwtm", functional.normalize(contribution_btmo, dim=-1), query_wo)


def pair_logits(similarity_bwtm: Tensor, activation_btn: Tensor, mask_wmn: Tensor) -> Tensor:
    """Equation 6 in closed form: (b, w, t). A class at a time, so that nothing larger than its masks is kept."""
    by_class = [
        (similarity_bwtm[:, w] * (activation_btn @ mask_mn.T.to(activation_btn))).sum(-1) / mask_mn.sum()
        for w, mask_mn in enumerate(mask_wmn)
    ]
    return torch.stack(by_class, dim=1)


def head_logits(similarity_bwtm: Tensor) -> Tensor:
    """Head maps alone: the mean of S over the heads, (b, w, t)."""
    return similarity_bwtm.mean(-1)


def neuron_logits(activation_btn: Tensor, mask_wn: Tensor) -> Tensor:
    """Neuron maps alone: the mean activation of each class's neurons, (b, w, t)."""
    share_wn = mask_wn.to(activation_btn) / mask_wn.sum(-1, keepdim=True)
    return (activation_btn @ share_wn.T).transpose(1, 2)


def value_logits(value_bto: Tensor, texts_wo: Tensor) -> Tensor:
    """MaskCLIP: the cosine of each token's projected value with each text, (b, w, t)."""
    return (functional.normalize(value_bto, dim=-1) @ texts_wo.T).transpose(1, 2)


def starts(length: int, crop: int, stride: int) -> list[int]:
    """Where windows begin along a side: every `stride`, the last one shifted back to end at the border."""
    if length <= crop:
        return [0]
    return [*range(0, length - crop, stride), length - crop]


def slide(
    image_cyx: Tensor, crop: int, stride: int, score: Callable[[Tensor], Tensor], batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:  # fmt: skip
    """Logits (w, y, x) of an image: those of windows, each drawn bilinearly at the window's size, summed, and divided
    by how many windows saw a pixel.

    `score` takes windows (b, c, s, s) and gives logits on their patches (b, w, rows, columns). Windows have `crop`
    pixels a side, or the image's short side if that is less. InputError for an image of more than MOST_WINDOWS windows.
    """
    rows, columns = image_cyx.shape[1:]
    side = min(crop, rows, columns)
    corners = [(y, x) for y in starts(rows, side, stride) for x in starts(columns, side, stride)]
    if len(corners) > MOST_WINDOWS:
        raise InputError(
            f"An image of {columns:,} × {rows:,} pixels makes {len(corners):,} windows; at most {MOST_WINDOWS:,} are "
            "looked at. Take a smaller short side or a longer stride, or cut the image."
        )
    total_wyx: Tensor | None = None
    count_yx = image_cyx.new_zeros(rows, columns)
    for begin in range(0, len(corners), batch):
        part = corners[begin : begin + batch]
        pixels = torch.stack([image_cyx[:, y : y + side, x : x + side] for y, x in part])
        drawn_bwyx = resize(score(pixels), (side, side))
        if total_wyx is None:
            check_size(drawn_bwyx.shape[1], rows, columns)
            total_wyx = drawn_bwyx.new_zeros(drawn_bwyx.shape[1], rows, columns)
        for (y, x), drawn_wyx in zip(part, drawn_bwyx, strict=True):
            total_wyx[:, y : y + side, x : x + side] += drawn_wyx
            count_yx[y : y + side, x : x + side] += 1
        if progress is not None:
            progress(begin + len(part), len(corners))
    assert total_wyx is not None  # there is at least one window
    return total_wyx / count_yx


def resize(logits_bwyx: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear between pixel centres, to (rows, columns)."""
    return functional.interpolate(logits_bwyx, size, mode="bilinear", align_corners=False)


def check_size(classes: int, rows: int, columns: int) -> None:
    """InputError for a picture whose logits would not fit into memory."""
    if classes * rows * columns > MOST_LOGITS:
        raise InputError(
            f"{classes:,} classes at each of {columns:,} × {rows:,} pixels are too many numbers to hold. Take a "
            "smaller image or short side, or fewer classes."
        )


def label(logits_wyx: Tensor, within: Sequence[int] | None = None) -> Tensor:
    """The class of each pixel (y, x). `within`: the only classes that may be given."""
    if within is None:
        return logits_wyx.argmax(0)
    kept = torch.as_tensor(within, device=logits_wyx.device)
    return kept[logits_wyx[kept].argmax(0)]


def confidence(logits_wyx: Tensor) -> Tensor:
    """The probability of each pixel's class (y, x), by the softmax of SCALE x logits."""
    return 1 / torch.exp(SCALE * (logits_wyx - logits_wyx.amax(0))).sum(0)
