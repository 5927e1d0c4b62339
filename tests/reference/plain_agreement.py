"""Agreement by definition, in plain loops over pairs of judgments, from what each annotator said of each unit."""

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations

import numpy as np

Said = Mapping[str, Mapping[str, str]]
"""Unit -> annotator -> answer; who did not answer is left out."""


def plain_alpha(said: Said) -> float | None:
    """Krippendorff's nominal alpha: one minus how often two judgments of one unit differ over how often any two of all
    pairable judgments do; None where no two of all differ. (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability", with every unit's pairs weighted by 1 / (judgments of the unit − 1).)"""
    pairable = [list(words.values()) for words in said.values() if len(words) > 1]
    everything = [word for words in pairable for word in words]
    n = len(everything)
    differing = sum(a != b for a, b in permutations(everything, 2))
    if not differing:
        return None
    observed = sum(sum(a != b for a, b in permutations(words, 2)) / (len(words) - 1) for words in pairable) / n
    return 1 - observed / (differing / (n * (n - 1)))


def plain_kappa(said: Said, one: str, other: str) -> float | None:
    """Cohen's kappa of two annotators over what both judged; None where chance alone agrees always."""
    both = [(words[one], words[other]) for words in said.values() if one in words and other in words]
    observed = sum(a == b for a, b in both) / len(both)
    expected = sum(a == b for a, _ in both for _, b in both) / len(both) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def plain_alphas(said: Said, draws: int, seed: int) -> list[float]:
    """Alpha of samples of the units, with replacement; those without one are left out."""
    units = [words for words in said.values() if len(words) > 1]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = rng.integers(len(units), size=len(units))
        found.append(plain_alpha({str(i): units[at] for i, at in enumerate(drawn)}))
    return [alpha for alpha in found if alpha is not None]


def plain_meaning(said: Said, names: Sequence[str], vectors: Mapping[str, np.ndarray]) -> tuple[int, float, float]:
    """How many pairs of labels of one unit have embeddings, their mean cosine, and that of two annotators' labels of
    different units, each of which both labelled."""
    own, others = [], []
    for one, other in combinations(sorted(names), 2):
        both = [
            (vectors[words[one]], vectors[words[other]])
            for words in said.values()
            if one in words and other in words and words[one] in vectors and words[other] in vectors
        ]
        for i, (a, _) in enumerate(both):
            for j, (_, b) in enumerate(both):
                (own if i == j else others).append(float(a @ b))
    return len(own), float(np.mean(own)) if own else np.nan, float(np.mean(others)) if others else np.nan
