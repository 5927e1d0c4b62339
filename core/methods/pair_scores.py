"""Scores of neuron-head pairs: how strong each one is, which are kept, which way it points, how alike its images are.

Paper P (Bu & Gandelsman 2025), §3 and figure 3. A pair is a scalar of the image times a direction of the weights, s D,
so ‖(s - s̄) D‖ = |s - s̄| ‖D‖ and everything here is made of scalars: no direction is formed.

- *Score* of a pair: the mean of its K largest centred norms (K = 50 of the paper's 1,000 images). Pairs are ordered by
  it, and of a percentile those at or above it are kept.
- *Sign* of its direction: + if most of those K images project positively; of an even split, if their mean does.
- *Inertia*: the sum (not the mean) of squared distances of unit representations to their mean over the images of
  largest uncentred norm; for n unit vectors e it is n - ‖Σ e‖²/n.

The released code spreads the biases over the pairs, c = W_O b_V / C + b_O / (C H) for each pair of a head, and means
‖s D + c‖ by an uncentred norm; here biases are parts of their own and c is left out unless it is given.

Letters: n neurons, i images, m heads, k the chosen images of a pair, o joint space. Arrays are numpy's; call with some
neurons at a time (`fit_pairs` needs 24 bytes an entry of `s_nim` for those it looks at, which are at most `_ENTRIES`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LARGEST = 50
"""Images whose centred norms make a score and a sign."""
INERTIA_IMAGES = 10
_ENTRIES = 2**22  # numbers of s, or of gathered representations, looked at a time: 16 MB in float32


@dataclass(frozen=True)
class PairFit:
    """What scalars say of each pair: `score_nm` float32, `sign_nm` ±1 int8, `length_nm` float32 = sign ‖D‖, so that a
    pair's signed coefficient is x = (s - s̄) length; `std_nm` float32 of x over all images given."""

    score_nm: np.ndarray
    sign_nm: np.ndarray
    length_nm: np.ndarray
    std_nm: np.ndarray


def fit_pairs(s_nim: np.ndarray, mean_nm: np.ndarray, length_nm: np.ndarray, largest: int = LARGEST) -> PairFit:
    """Score, sign and spread of every pair of some neurons.

    `s_nim` scalars of all images, `mean_nm` their means s̄ (any float type; float64 best), `length_nm` ‖D‖, not
    negative. `largest` K, all images where there are fewer. ValueError without images, or on shapes that don't fit.
    """
    n, images, m = s_nim.shape
    if not images or largest < 1 or mean_nm.shape != (n, m) or length_nm.shape != (n, m):
        raise ValueError(
            f"scalars {s_nim.shape}, means {mean_nm.shape}, lengths {length_nm.shape}, {largest} largest: expected "
            "(n, i, m) with an image at least, (n, m) twice, and one or more"
        )
    score_nm, std_nm = np.zeros((n, m), np.float32), np.zeros((n, m), np.float32)
    sign_nm = np.ones((n, m), np.int8)
    k = min(largest, images)
    for part in _parts(n, images * m):
        centred_nmi = _by_pair(s_nim[part]) - mean_nm[part, :, None].astype(np.float32)
        size_nmi = np.abs(centred_nmi)
        ids_nmk = np.argpartition(size_nmi, images - k, axis=-1)[..., images - k :]
        top_nmk = np.take_along_axis(centred_nmi, ids_nmk, axis=-1)
        score_nm[part] = np.abs(top_nmk).mean(-1, dtype=np.float64) * length_nm[part]
        std_nm[part] = centred_nmi.std(-1, dtype=np.float64) * length_nm[part]
        vote_nm, mean_top_nm = np.sign(top_nmk).sum(-1), top_nmk.mean(-1, dtype=np.float64)
        sign_nm[part] = np.where((vote_nm < 0) | ((vote_nm == 0) & (mean_top_nm < 0)), -1, 1)
    return PairFit(score_nm, sign_nm, (sign_nm * length_nm).astype(np.float32), std_nm)


def order(score_nm: np.ndarray) -> np.ndarray:
    """Flat positions in `score_nm` (any shape), best score first; of equal scores the earlier position."""
    return np.argsort(-score_nm.ravel(), kind="stable")


def mask_percentile(score_nm: np.ndarray, percentile: float) -> np.ndarray:
    """Which scores are kept: those at or above this percentile of all given (any shape); 0 keeps all. The percentile
    lies between two scores where it must (numpy's linear interpolation, as in the released code)."""
    return score_nm >= np.percentile(score_nm, percentile)


def uncentred_norms(
    s_nim: np.ndarray,
    length_nm: np.ndarray,
    along_nm: np.ndarray | None = None,
    constant: np.ndarray | float = 0.0,
) -> np.ndarray:
    """‖s D + c‖ (n, i, m) float32: `along_nm` D·c and `constant` ‖c‖, a number or (m,), for the released code's
    convention; without them ‖s D‖ = |s| ‖D‖, which is what `inertia` goes by here."""
    size_nim = np.abs(s_nim).astype(np.float32) * length_nm[:, None].astype(np.float32)
    if along_nm is None:
        return size_nim
    square_nim = size_nim.astype(np.float64) ** 2 + 2 * s_nim.astype(np.float64) * along_nm[:, None]
    return np.sqrt((square_nim + np.asarray(constant, np.float64) ** 2).clip(0)).astype(np.float32)


def largest_images(norm_nim: np.ndarray, top: int = INERTIA_IMAGES) -> np.ndarray:
    """Positions (n, m, k) of the `top` images of largest norm (n, i, m), in no order; all where there are fewer."""
    n, images, m = norm_nim.shape
    k = min(top, images)
    found_nmk = np.zeros((n, m, k), np.int64)
    for part in _parts(n, images * m):
        norm_nmi = _by_pair(norm_nim[part])
        found_nmk[part] = np.argpartition(norm_nmi, images - k, axis=-1)[..., images - k :]
    return found_nmk


def inertia(unit_io: np.ndarray, images_nmk: np.ndarray) -> np.ndarray:
    """Sum of squared distances to their mean of the representations at `images_nmk`, positions in `unit_io`: (n, m)
    float32, for any leading shape. `unit_io` unit vectors, of any float type (their true norms are used)."""
    flat_pk = images_nmk.reshape(-1, images_nmk.shape[-1])
    square_i = np.einsum("io,io->i", unit_io, unit_io, dtype=np.float64)
    out_p = np.zeros(len(flat_pk), np.float32)
    for part in _parts(len(flat_pk), flat_pk.shape[1] * unit_io.shape[1]):
        sum_po = unit_io[flat_pk[part]].sum(1, dtype=np.float32)
        mean_square_p = np.einsum("po,po->p", sum_po, sum_po, dtype=np.float64) / flat_pk.shape[1]
        out_p[part] = (square_i[flat_pk[part]].sum(1) - mean_square_p).clip(0)
    return out_p.reshape(images_nmk.shape[:-1])


def _by_pair(x_nim: np.ndarray) -> np.ndarray:
    """(n, m, i) float32, each pair's images side by side."""
    return np.ascontiguousarray(x_nim.transpose(0, 2, 1), np.float32)


def _parts(count: int, each: int) -> Iterator[slice]:
    """So many rows at a time that they hold at most `_ENTRIES` numbers, `each` a row; one at the least."""
    step = max(1, _ENTRIES // max(1, each))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
