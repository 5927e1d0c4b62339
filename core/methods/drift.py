"""Watching a data set drift: how much of the representation a text's neuron-head pairs write, image by image.

Paper P (Bu & Gandelsman 2025), §5.3. For a text the k pairs whose unit directions d̂ have the largest cosine with it are
chosen (k = 5; the text not centred). An image's score is the norm of what these pairs write *together*, over the norm
of the representation,

    share(I) = ‖Σ_j (s_j(I) D_j + c_j)‖ / ‖M(I)‖,

so pairs that write against each other cancel. c_j is the pair's part of the head's biases, a constant: zero in a ViT,
whose biases are parts of their own. Followed over groups of images (years), the mean share is compared with how often
the groups show the concept.

Letters: b image, j chosen pair, p any pair, o joint space, g group, w text. NumPy throughout: few pairs at a time.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

PAIRS = 5
"""Pairs chosen for a text, as the paper has it."""


Kind = Literal["names", "numbers", "bins", "dates"]


@dataclass(frozen=True)
class Grouping:
    """`code_i` the group of each image, -1 where the column has no value; `names` of the groups, in order; `kind` what
    they are of: "numbers", "bins" and "dates" have an order that means something."""

    column: str
    kind: Kind
    names: tuple[str, ...]
    code_i: np.ndarray

    @property
    def ordered(self) -> bool:
        return self.kind != "names"

    @property
    def missing(self) -> int:
        """Images without a value."""
        return int((self.code_i < 0).sum())


@dataclass(frozen=True)
class Truth:
    """What is true of each image: `true_i` 1 or 0, NaN where the column has no value. `contains`: no value of the
    column is equal to `value`, so those that contain its words count."""

    column: str
    value: str
    contains: bool
    true_i: np.ndarray

    @property
    def missing(self) -> int:
        """Images without a value."""
        return int(np.isnan(self.true_i).sum())

    def __str__(self) -> str:
        return f"{self.column} {'contains' if self.contains else 'is'} {self.value}"


@dataclass(frozen=True)
class GroupMeans:
    """Of each group: `count_g` images; the `mean_g` of a score and its standard error `error_g` = s / √n, s with n - 1
    (NaN: mean of an empty group, error of fewer than two images)."""

    count_g: np.ndarray
    mean_g: np.ndarray
    error_g: np.ndarray


@dataclass(frozen=True)
class Followed:
    """A share over groups of images, and how it goes with a truth about them, if one is known.

    `share` and `true` are means by group over the same images: those that have a group and, where there is a truth, a
    value of it; `left_out` have not. `point_biserial` correlation of share and truth over `images`, of which `showing`
    are true; `by_group` correlation of the groups' means, over the `groups` that have images. NaN where unknown.
    """

    grouping: Grouping
    truth: Truth | None
    share: GroupMeans
    true: GroupMeans | None
    images: int
    left_out: int
    showing: int
    point_biserial: float
    by_group: float
    groups: int


def choose_pairs(cosine_p: np.ndarray, pairs: int = PAIRS) -> np.ndarray:
    """Positions of the pairs of largest cosine, the largest first, ties by position; NaN is never chosen."""
    usable_p = np.where(np.isnan(cosine_p), -np.inf, cosine_p)
    chosen = np.argsort(-usable_p, kind="stable")[: max(0, pairs)]
    return chosen[np.isfinite(usable_p[chosen])]


def written_share(
    amount_bj: np.ndarray, direction_jo: np.ndarray, constant_o: np.ndarray | None = None,
    norm_b: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """share (b,), float64. `amount_bj` is each pair's signed amount in the unit representation along the unit vectors
    `direction_jo`: s · length / ‖M‖. `constant_o`, the sum of the pairs' constants, belongs to the representation as it
    is, so it needs `norm_b` = ‖M‖.

    (j + 1 numbers an image: with the vectors' QR, ‖Σ‖ is ‖R a‖, and what is summed is never formed.)
    """
    vector_ko, amount_bk = np.asarray(direction_jo, np.float64), np.asarray(amount_bj, np.float64)
    if constant_o is not None:
        assert norm_b is not None, "a constant is a part of the representation before it is scaled to one"
        vector_ko = np.concatenate([vector_ko, np.asarray(constant_o, np.float64)[None]])
        amount_bk = np.concatenate([amount_bk, 1 / np.asarray(norm_b, np.float64)[:, None]], axis=1)
    reduce_ck = np.asarray(np.linalg.qr(vector_ko.T, mode="r"))
    return np.linalg.norm(amount_bk @ reduce_ck.T, axis=1)


def point_biserial(score_b: np.ndarray, truth_b: np.ndarray) -> float:
    """Pearson correlation of a score with what is true of the images (0 or 1); NaN where either does not vary."""
    return correlation(score_b, np.asarray(truth_b, np.float64))


def correlation(x_n: np.ndarray, y_n: np.ndarray) -> float:
    """Pearson, over what is finite in both; NaN for fewer than two of them, or where one does not vary."""
    known_n = np.isfinite(x_n) & np.isfinite(y_n)
    x, y = (np.asarray(each, np.float64)[known_n] for each in (x_n, y_n))
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))


def group_means(score_b: np.ndarray, code_b: np.ndarray, groups: int) -> GroupMeans:
    """Mean and standard error of a score in each of `groups` groups; `code_b` is each image's group, -1 for none, and
    scores that are NaN are left out."""
    known_b = (code_b >= 0) & np.isfinite(score_b)
    code, score = code_b[known_b], np.asarray(score_b, np.float64)[known_b]
    count_g = np.bincount(code, minlength=groups)
    mean_g = np.bincount(code, weights=score, minlength=groups) / np.where(count_g > 0, count_g, np.nan)
    square_g = np.bincount(code, weights=(score - mean_g[code]) ** 2, minlength=groups)
    error_g = np.sqrt(square_g / np.where(count_g > 1, count_g - 1, np.nan) / np.where(count_g > 0, count_g, np.nan))
    return GroupMeans(count_g, mean_g, error_g)


def follow(share_i: np.ndarray, grouping: Grouping, truth: Truth | None = None) -> Followed:
    """A share (i,), NaN where an image could not be read, over groups, beside what is true of them."""
    usable_i = (grouping.code_i >= 0) & np.isfinite(share_i)
    if truth is not None:
        usable_i &= np.isfinite(truth.true_i)
    code_i = np.where(usable_i, grouping.code_i, -1)
    share = group_means(share_i, code_i, len(grouping.names))
    true, r, by_group, showing = None, float("nan"), float("nan"), 0
    if truth is not None:
        true = group_means(truth.true_i, code_i, len(grouping.names))
        r = point_biserial(share_i[usable_i], truth.true_i[usable_i])
        by_group = correlation(share.mean_g, true.mean_g)
        showing = int(truth.true_i[usable_i].sum())
    return Followed(
        grouping=grouping,
        truth=truth,
        share=share,
        true=true,
        images=int(usable_i.sum()),
        left_out=int((~usable_i).sum()),
        showing=showing,
        point_biserial=r,
        by_group=by_group,
        groups=int((share.count_g > 0).sum()),
    )


def unevenness(code_b: np.ndarray, truth_b: np.ndarray, groups: int) -> float:
    """How much more the groups' shares of a truth differ than chance would make them: χ² over its degrees of freedom,
    which is 1 on average where group and truth have nothing in common. 0 where there is nothing to compare."""
    shares = group_means(np.asarray(truth_b, np.float64), code_b, groups)
    there = shares.count_g > 0
    count, share = shares.count_g[there], shares.mean_g[there]
    whole = float((count * share).sum() / max(1, count.sum()))
    if there.sum() < 2 or not 0 < whole < 1:
        return 0.0
    return float((count * (share - whole) ** 2).sum() / (whole * (1 - whole)) / (there.sum() - 1))
