"""How far annotators agree on the ends of units that they both judged: chance-corrected agreement of what they said,
and how near their words are in meaning.

Krippendorff's alpha (the `krippendorff` package) of all, with a bootstrap interval over units, and Cohen's kappa
(scikit-learn) of every two, on nominal data: the label as `ledger.same` writes it (case, spaces and the order of senses
do not count), or that the unit is uninterpretable, which is an answer like any other. Unsure and skipped are missing.
Free text agrees rarely letter by letter, so beside them stands the mean cosine of the labels' text embeddings over
units that two annotators labelled, with that of their labels of different units as what chance gives.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import krippendorff
import numpy as np
from sklearn.metrics import cohen_kappa_score

from core.labels.events import Event
from core.labels.ledger import About, Standing, same

NOTHING = "\0uninterpretable"  # no label can be it: labels have no NUL
DRAWS = 1_000
LEAST_UNITS = 10
"""Units below which no interval is given: resampling so few says little about how alpha would vary."""
LEVEL = 0.95
TABLE = 4_000_000
"""Most units × labels × labels that the package is given: it makes arrays of that size. Above, we sum ourselves."""
_NAN = float("nan")
Embed = Callable[[Sequence[str]], Mapping[str, np.ndarray]]
"""Texts -> unit embeddings (o,) of those that can be embedded."""


@dataclass(frozen=True)
class Meaning:
    """Mean cosine of two annotators' labels of the same end, over the `units` where both could be embedded; `by_chance`
    that of their labels of different ends. NaN where there is nothing to average."""

    units: int
    cosine: float
    by_chance: float


@dataclass(frozen=True)
class Pairwise:
    """Two annotators on the `units` that both judged, `same` of them alike. `kappa` is NaN where both always said one
    and the same."""

    one: str
    other: str
    units: int
    same: int
    kappa: float
    meaning: Meaning

    @property
    def cosine(self) -> float:
        return self.meaning.cosine

    @property
    def cosine_by_chance(self) -> float:
        return self.meaning.by_chance


@dataclass(frozen=True)
class Agreement:
    """`units` ends judged by two annotators or more, `judgments` on them, `blind` of these made without seeing others'
    labels; `answers` different ones among them. `alpha` NaN where nobody overlaps or nothing varies; `interval` its
    95 % bootstrap interval, None below LEAST_UNITS. Of `texts` different labels `embedded` have an embedding."""

    annotators: tuple[str, ...]
    units: int
    judgments: int
    blind: int
    answers: int
    alpha: float
    interval: tuple[float, float] | None
    pairs: tuple[Pairwise, ...]
    meaning: Meaning
    texts: int
    embedded: int
    disputed: tuple[About, ...]

    @cached_property
    def compared(self) -> int:
        """Pairs of judgments of one end, over all pairs of annotators."""
        return sum(pair.units for pair in self.pairs)

    @cached_property
    def same(self) -> int:
        """Those of `compared` that are alike."""
        return sum(pair.same for pair in self.pairs)


def agreement(
    standings: Mapping[About, Standing], embed: Embed | None = None, draws: int = DRAWS, seed: int = 0
) -> Agreement:
    """Agreement over these ends of units; `draws` bootstrap samples. Without `embed`, meanings are NaN."""
    names = sorted({name for standing in standings.values() for name in standing.by})
    judged = {about: words for about, standing in standings.items() if len(words := answers(standing)) > 1}
    code = {word: i for i, word in enumerate(sorted({w for words in judged.values() for w in words.values()}))}
    texts = sorted({standings[a].by[n].text for a, words in judged.items() for n, w in words.items() if w != NOTHING})
    vectors = _vectors(texts, embed)
    by_name: dict[str, dict[About, Event]] = {name: {} for name in names}
    for about, words in judged.items():
        for name in words:
            by_name[name][about] = standings[about].by[name]
    compared = [
        (made, sums)
        for one, other in itertools.combinations(names, 2)
        if (both := by_name[one].keys() & by_name[other].keys())
        for made, sums in [_pair(one, other, sorted(both), by_name, vectors, code)]
    ]
    unit_j = np.array([u for u, words in enumerate(judged.values()) for _ in words], int)
    answer_j = np.array([code[word] for words in judged.values() for word in words.values()], int)
    return Agreement(
        annotators=tuple(names),
        units=len(judged),
        judgments=len(unit_j),
        blind=sum(event.blind for said in by_name.values() for event in said.values()),
        answers=len(code),
        alpha=_alpha(unit_j, answer_j),
        interval=_interval(unit_j, answer_j, draws, seed),
        pairs=tuple(made for made, _ in compared),
        meaning=_meaning(np.sum([sums for _, sums in compared], axis=0) if compared else np.zeros(4)),
        texts=len(texts),
        embedded=len(vectors),
        disputed=tuple(about for about, standing in standings.items() if standing.state == "disputed"),
    )


def answers(standing: Standing) -> dict[str, str]:
    """What each annotator answered, as it is compared; those who were unsure or skipped are left out."""
    return {name: word for name, event in standing.by.items() if (word := _answer(event)) is not None}


def differ(standing: Standing) -> bool:
    """Whether annotators answered differently, decided by now or not."""
    return len(set(answers(standing).values())) > 1


def _answer(event: Event) -> str | None:
    if event.kind == "label":
        return same(event.text)
    return NOTHING if event.kind == "uninterpretable" else None


def _alpha(unit_j: np.ndarray, answer_j: np.ndarray) -> float:
    """Nominal alpha of judgments, each a unit and an answer; every unit has two or more."""
    if not len(unit_j) or answer_j.max() == 0:
        return _NAN
    units, kinds = int(unit_j.max()) + 1, int(answer_j.max()) + 1
    if units * kinds**2 > TABLE:
        return counted_alphas(unit_j, answer_j, np.ones((1, units)))[0]
    counts_uc = np.zeros((units, kinds), int)
    np.add.at(counts_uc, (unit_j, answer_j), 1)
    return float(krippendorff.alpha(value_counts=counts_uc, level_of_measurement="nominal"))


def _interval(unit_j: np.ndarray, answer_j: np.ndarray, draws: int, seed: int) -> tuple[float, float] | None:
    """Percentiles of alpha over units drawn with replacement; draws in which nothing varies have no alpha."""
    units = int(unit_j.max()) + 1 if len(unit_j) else 0
    if units < LEAST_UNITS:
        return None
    rng = np.random.default_rng(seed)
    weights = (np.bincount(rng.integers(units, size=units), minlength=units) for _ in range(draws))
    found = np.array(counted_alphas(unit_j, answer_j, weights))
    found = found[np.isfinite(found)]
    if len(found) < draws / 2:
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def counted_alphas(unit_j: np.ndarray, answer_j: np.ndarray, rows_u: Iterable[np.ndarray]) -> list[float]:
    """Nominal alpha with each unit as often as its weight says, for each row of weights: with n judgments, of which n_c
    give answer c and m_u are of unit u, 1 − (n − 1) Σ_u (m_u² − Σ_c n_uc²) / (m_u − 1) / (n² − Σ_c n_c²). In memory
    that grows with the judgments alone."""
    judged_u = np.bincount(unit_j)
    _, alike = np.unique(unit_j * (int(answer_j.max()) + 1) + answer_j, return_inverse=True)
    count = np.bincount(alike)
    of_unit = np.zeros(len(count), int)
    of_unit[alike] = unit_j
    differing_u = (judged_u**2 - np.bincount(of_unit, weights=count**2)) / (judged_u - 1)
    made = []
    for weight_u in rows_u:
        n = float(weight_u @ judged_u)
        by_answer = np.bincount(answer_j, weights=weight_u[unit_j])
        expected = n**2 - float(by_answer @ by_answer)
        made.append(1 - (n - 1) * float(weight_u @ differing_u) / expected if expected > 0 else _NAN)
    return made


def _pair(
    one: str, other: str, both: Sequence[About], by_name: Mapping[str, Mapping[About, Event]],
    vectors: Mapping[str, np.ndarray], code: Mapping[str, int],
) -> tuple[Pairwise, np.ndarray]:  # fmt: skip
    """Two annotators, and the four sums that `_meaning` divides."""
    events = [(by_name[one][about], by_name[other][about]) for about in both]
    first, second = (np.array([code[_answer(pair[side]) or ""] for pair in events]) for side in (0, 1))
    placed = [(vectors[a.text], vectors[b.text]) for a, b in events if a.text in vectors and b.text in vectors]
    sums = np.zeros(4)
    if placed:
        a_no, b_no = (np.array([pair[side] for pair in placed], float) for side in (0, 1))
        own = float(np.einsum("no,no->", a_no, b_no))
        # the sum over all pairs of different rows, without their table
        sums = np.array([len(placed), own, len(placed) * (len(placed) - 1), a_no.sum(0) @ b_no.sum(0) - own])
    made = Pairwise(one, other, len(both), int((first == second).sum()), kappa(first, second), _meaning(sums))
    return made, sums


def kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's kappa; NaN where one answer is all there is. What only one of the two ever answered can neither agree nor
    agree by chance, so each one's such answers count as one: scikit-learn's table then stays small."""
    if len({*first.tolist(), *second.tolist()}) < 2:
        return _NAN
    shared = np.intersect1d(first, second)
    a, b = np.where(np.isin(first, shared), first, -1), np.where(np.isin(second, shared), second, -2)
    return float(cohen_kappa_score(a, b))


def _meaning(sums: np.ndarray) -> Meaning:
    units, cosine, others, by_chance = sums.tolist()
    return Meaning(int(units), cosine / units if units else _NAN, by_chance / others if others else _NAN)


def _vectors(texts: Sequence[str], embed: Embed | None) -> dict[str, np.ndarray]:
    """Unit vectors of labels. A polysemantic label's is the mean of its senses', if all of them have one."""
    if embed is None or not texts:
        return {}
    senses = {text: Event("", "", "", "", "", "label", text).senses for text in texts}
    found = embed(sorted({sense for each in senses.values() for sense in each}))
    made: dict[str, np.ndarray] = {}
    for text, parts in senses.items():
        if parts and all(part in found for part in parts):
            mean_o = np.mean([found[part] for part in parts], axis=0, dtype=np.float64)
            norm = float(np.linalg.norm(mean_o))
            if np.isfinite(norm) and norm > 0:
                made[text] = np.asarray(mean_o / norm)
    return made
