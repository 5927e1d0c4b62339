"""Which way of labelling to believe: several methods label the same units, and the labels are scored alike.

Every method sees half A of the images, or weights alone, and is scored on half B (every other image), less the images
that a unit's direction was made from. A unit's number is its projection on its direction d; for a head d is the first
principal component over half A. Methods are compared by their mean over units, intervals by bootstrap over units, and
each with random texts of the pool for the same units (paired).

Letters: u units, w texts of the pool, o joint space, m picks, c classes, i images, h images of half A.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.methods.label_scores import NAMES, Estimate, interval, once, positives
from core.methods.textspan import textspan

PICKS = 10
"""Texts of a sparse decomposition or of TextSpan that the first one with the right sign is looked for among."""
SUM = 5
"""Texts of a label that is a weighted sum of several."""
RANDOM_TEXTS = 20
"""Random texts a unit, whose mean is what chance scores there."""
DRAWS = 2_000
TEXTSPAN, TEXTSPAN_FIRST, UNIT, UNIT_SUM, PAPER, PAPER_SUM = (
    "TextSpan", "TextSpan first choice", "OMP unit", f"OMP unit × {SUM} texts", "OMP paper scaling",
    f"OMP paper scaling × {SUM} texts",
)  # fmt: skip
NEAREST, CLASS_NEAR, CLASS_MEAN, FITTED, HAND, RANDOM = (
    "nearest text", "nearest class name", "class of largest mean", "best correlated text", "by hand", "random text",
)  # fmt: skip
METHODS = {
    TEXTSPAN: "Of TextSpan's texts, from the covariance of half A, the one whose score in the head follows the first "
    "component most closely: this app's own label of a head's + end.",
    TEXTSPAN_FIRST: "The text that TextSpan chose first, with the sign that it has along the component.",
    UNIT: "The first text with a positive coefficient in an orthogonal matching pursuit of the direction, every text "
    "centred and of norm one: the paper's method, and this bundle's own labels of neurons and pairs.",
    UNIT_SUM: f"The same method's first {SUM} texts together, each cosine times its coefficient, signs and all.",
    PAPER: "The first such text where every dimension is divided by its norm over the texts, as released code has it.",
    PAPER_SUM: f"The first {SUM} texts of that together.",
    NEAREST: "The text whose embedding, less the pool's mean, has the largest cosine with the direction.",
    CLASS_NEAR: "The class whose name's embedding, less the mean over classes, has the largest cosine with the "
    "direction.",
    CLASS_MEAN: "The name of the class whose images in half A have the largest mean number.",
    FITTED: "The text whose cosine with the images of half A correlates most with the unit's number there: no rule "
    "from weights, a fit to the very measure, so about the best that one text of this pool can reach.",
    HAND: "The labels that stand in this installation's database, each at the end it was given for.",
    RANDOM: f"Texts of the pool by chance, {RANDOM_TEXTS} a unit.",
}


@dataclass(frozen=True)
class Choice:
    """A method's labels of units: `text_u` in words, "" for none, and `embedding_uo` (u, o) whose products with the
    representations predict the number; NaN where there is none."""

    text_u: tuple[str, ...]
    embedding_uo: np.ndarray


@dataclass(frozen=True)
class Pool:
    """Texts and their unit embeddings (w, o)."""

    texts: Sequence[str]
    embedding_wo: np.ndarray

    def choose(self, row_u: np.ndarray, sign_u: np.ndarray | None = None) -> Choice:
        """One text a unit, -1 for none; where its sign is negative it says what the − end is."""
        sign_u = np.ones(len(row_u)) if sign_u is None else sign_u
        made_uo = np.where((row_u >= 0)[:, None], np.asarray(self.embedding_wo)[row_u] * sign_u[:, None], np.nan)
        named = (f"{'−' if sign < 0 else ''}{self.texts[row]}" for row, sign in zip(row_u, sign_u, strict=True))
        told = tuple(text if row >= 0 else "" for row, text in zip(row_u, named, strict=True))
        return Choice(told, made_uo.astype(np.float32))


@dataclass(frozen=True)
class Component:
    """A head's first principal component `axis_c`, turned toward that text of TextSpan's whose score follows it most
    closely, `closest`, a row of the pool; `first` the row of TextSpan's first choice and `sign` whether that points
    along (+1) or against it. -1 where there are no texts: a head that does not vary."""

    axis_c: np.ndarray
    closest: int
    first: int
    sign: int


def first_component(r_hc: np.ndarray, texts_wc: np.ndarray, picks: int) -> Component:
    """From a head's coordinates in half A and the pool's texts in the same coordinates."""
    centred_hc = r_hc.astype(np.float64) - r_hc.mean(0, dtype=np.float64)
    cov_cc = centred_hc.T @ centred_hc / len(r_hc)
    index_m = textspan(cov_cc, texts_wc, picks).index_m
    index_m = index_m[index_m >= 0]
    if not len(index_m):
        return Component(np.zeros(len(cov_cc)), -1, -1, 1)
    axis_c = np.linalg.eigh(cov_cc)[1][:, -1]
    score_hm = centred_hc @ texts_wc[index_m].T
    with_axis_m = (centred_hc @ axis_c) @ score_hm
    r_m = with_axis_m / np.maximum(np.linalg.norm(score_hm, axis=0), np.finfo(np.float64).tiny)
    best = int(np.abs(r_m).argmax())
    turn = 1 if r_m[best] >= 0 else -1
    return Component(turn * axis_c, int(index_m[best]), int(index_m[0]), 1 if turn * r_m[0] >= 0 else -1)


def nearest(direction_uo: np.ndarray, embedding_wo: np.ndarray) -> np.ndarray:
    """(u,) rows of the texts of largest cosine, each less the mean of all; -1 for a direction of zeros."""
    centred_wo = np.asarray(embedding_wo, np.float64) - np.mean(embedding_wo, axis=0, dtype=np.float64)
    norm_w1 = np.linalg.norm(centred_wo, axis=1, keepdims=True)
    atoms_wo = (centred_wo / np.where(norm_w1 > 0, norm_w1, 1)).astype(np.float32)
    best_u = (direction_uo.astype(np.float32) @ atoms_wo.T).argmax(1)
    return np.where(direction_uo.any(1), best_u, -1)


def class_of_largest_mean(number_uh: np.ndarray, class_h: np.ndarray, classes: int) -> np.ndarray:
    """(u,) the class whose images in half A have the largest mean number; `class_h` -1 for none."""
    known_h = class_h >= 0
    member_hc = np.zeros((int(known_h.sum()), classes), np.float32)
    member_hc[np.arange(len(member_hc)), class_h[known_h]] = 1
    count_c = member_hc.sum(0)
    mean_uc = (number_uh[:, known_h] @ member_hc) / np.maximum(count_c, 1)
    return np.where(count_c > 0, mean_uc, -np.inf).argmax(1)


def best_correlated(number_uh: np.ndarray, unit_ho: np.ndarray, embedding_wo: np.ndarray) -> np.ndarray:
    """(u,) the text whose cosine with the images correlates most with the number, over half A."""
    centred_ho = unit_ho.astype(np.float32) - unit_ho.mean(0, dtype=np.float32)
    texts_wo = np.asarray(embedding_wo, np.float32)
    spread_w = np.sqrt(np.einsum("wo,op,wp->w", texts_wo, centred_ho.T @ centred_ho, texts_wo, optimize=True))
    covariance_uw = (number_uh.astype(np.float32) @ centred_ho) @ texts_wo.T
    return (covariance_uw / np.maximum(spread_w, np.finfo(np.float32).tiny)).argmax(1)


def pursued(
    direction_uo: np.ndarray, pool: Pool, paper: bool, progress: Callable[[int, int], None] | None = None
) -> tuple[Choice, Choice]:
    """Labels by orthogonal matching pursuit with unit atoms or the paper's scaling: the first text of positive
    coefficient, and the weighted sum of the first SUM texts, each embedding times coefficient and atom's norm."""
    import torch  # pages that only read a finished table need not wait for it

    from core.methods.sparse_text import AtomScaling, pursue, refit, text_atoms

    scaling = AtomScaling.PAPER if paper else AtomScaling.UNIT
    atoms_wo = text_atoms(torch.from_numpy(np.array(pool.embedding_wo)), scaling)
    picks = min(PICKS, *atoms_wo.shape)
    direction_no = torch.from_numpy(np.array(direction_uo, np.float32))
    found = pursue(direction_no, atoms_wo, picks, progress=progress)
    index_um, coef_um = found.index_nm.numpy(), found.coefficient_nm.numpy()
    plus_um = (index_um >= 0) & (coef_um > 0)
    first_u = np.take_along_axis(index_um, plus_um.argmax(1)[:, None], 1)[:, 0]
    index_um = index_um[:, :SUM]
    coef_um = refit(direction_no, atoms_wo, found.index_nm[:, :SUM]).numpy()
    weight_um = np.where(index_um >= 0, coef_um * atoms_wo.norm(dim=1).numpy()[index_um], 0)
    sum_uo = np.einsum("um,umo->uo", weight_um, np.asarray(pool.embedding_wo)[index_um])
    sum_uo[~(index_um >= 0).any(1)] = np.nan
    told = tuple(
        "; ".join(f"{'−' if c < 0 else ''}{pool.texts[w]}" for w, c in zip(index, coef, strict=True) if w >= 0)
        for index, coef in zip(index_um.tolist(), coef_um.tolist(), strict=True)
    )
    return pool.choose(np.where(plus_um.any(1), first_u, -1)), Choice(told, sum_uo.astype(np.float32))


def scored(
    embedding_uko: np.ndarray, number_ui: np.ndarray, kept_ui: np.ndarray, unit_io: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Every figure (u, k) of k labels a unit, over the images of half B that the unit keeps; NaN for none."""
    made = {name: np.full(embedding_uko.shape[:2], np.nan) for name in NAMES}
    unit_oi = unit_io.astype(np.float32).T
    for u, (embedding_ko, number_i, kept_i) in enumerate(zip(embedding_uko, number_ui, kept_ui, strict=True)):
        number_n, there_k = number_i[kept_i], np.isfinite(embedding_ko).all(1)
        predictor_kn = (embedding_ko[there_k] @ unit_oi)[:, kept_i]
        for name, value_k in once(predictor_kn, number_n, positives(number_n)).items():
            made[name][u, there_k] = value_k
        if progress is not None:
            progress(u + 1, len(number_ui))
    return made


def mean_over_units(value_u: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Mean and 95 % percentile bootstrap interval over units; NaN ones left out."""
    known_n = value_u[~np.isnan(value_u)]
    if not len(known_n):
        return Estimate(float("nan"), float("nan"), float("nan"))
    drawn_rn = np.random.default_rng(seed).integers(0, len(known_n), (draws, len(known_n)))
    return Estimate(float(known_n.mean()), *interval(known_n[drawn_rn].mean(1)))


def summary(
    found: Mapping[str, np.ndarray], random: Mapping[str, np.ndarray], seed: int = 0
) -> tuple[dict[str, Estimate], Estimate]:
    """A method's mean figures over units (each (u,)), and that of its Pearson less that of random texts (paired)."""
    means = {name: mean_over_units(found[name], seed) for name in NAMES}
    return means, mean_over_units(found["pearson"] - random["pearson"], seed)


def sample_rows(importance_u: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most `count` rows, spread evenly over the ranks by importance: one by chance of each equal stretch of ranks;
    units of no importance left out. Ascending."""
    order = np.argsort(-importance_u, kind="stable")
    order = order[importance_u[order] > 0]
    if len(order) <= count:
        return np.sort(order)
    edges = np.linspace(0, len(order), count + 1).astype(np.int64)
    return np.sort(order[np.random.default_rng(seed).integers(edges[:-1], edges[1:])])
