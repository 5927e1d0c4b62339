"""Cues of a bundle: which words draw images of one class toward another, by its neurons and by simpler rules.

The neurons' words are those of `core.methods.cues` (paper N, eq. 6). The simpler rules are what they must beat: texts
near the direction from class to class, texts near the second class, and texts by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.errors import InputError
from core.methods.cues import toward, word_weights
from core.store.answers import Population
from core.store.neurons import NeuronTable
from core.store.texts import check_text
from core.text.mentions import naming

NEURONS = 100
"""Neurons whose words are summed."""
WORDS = 24
_LABEL_TEXTS = 3
_BEHIND = 4


@dataclass(frozen=True)
class CueNeuron:
    """A neuron that writes toward the second class: `product` ⟨r, v⟩ signed, `end` where it does so ("+" or "−"), and
    `label` the first texts that describe this end."""

    address: str
    label: str
    product: float
    end: str


@dataclass(frozen=True)
class CueWord:
    """A text with its weight, and the neurons behind it: (address, what each adds), the largest first."""

    text: str
    weight: float
    neurons: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Cues:
    """`neurons` in the order they were chosen by, `words` by weight; `left_out` texts of the pool name a class and were
    not weighed. `population` of the neurons' directions."""

    neurons: tuple[CueNeuron, ...]
    words: tuple[CueWord, ...]
    left_out: int
    population: Population


class CueFinder:
    """Cues from class c1 to class c2 by v_o = t_c2 - t_c1, unit text embeddings (o,). `forms` are the words that name
    either class (`core.text.mentions.word_forms`): texts that hold one are no cues. Thread-safe."""

    def __init__(self, table: NeuronTable) -> None:
        self.table = table

    def check(self, t1_o: np.ndarray, t2_o: np.ndarray) -> np.ndarray:
        """v (o,). InputError if the two texts are one to the model, or their embeddings do not fit the bundle."""
        for t_o in (t1_o, t2_o):
            check_text(self.table.bundle, t_o)
        v_o = np.asarray(t2_o, np.float64) - np.asarray(t1_o, np.float64)
        if np.linalg.norm(v_o) < 1e-4:  # embeddings are float32, of norm one; nothing closer is told apart
            raise InputError(
                "The model reads both classes as the same text, so there is no way from one to the other. Choose two "
                "that differ."
            )
        return v_o

    def find(self, v_o: np.ndarray, forms: Sequence[str], neurons: int = NEURONS, words: int = WORDS) -> Cues:
        """The neurons of largest |⟨r_n, v⟩| and the words they share."""
        return self._cues(*toward(self._direction_no, v_o, neurons), forms, words)

    def ranked(
        self, effect_n: np.ndarray, v_o: np.ndarray, forms: Sequence[str], neurons: int = NEURONS, words: int = WORDS
    ) -> Cues:
        """The same words of other neurons: those with the largest |effect| (n,) over all of the table's neurons, such
        as their indirect effects."""
        row_k = np.argsort(-np.abs(effect_n), kind="stable")[: max(0, neurons)]
        return self._cues(row_k, self._direction_no[row_k].astype(np.float64) @ v_o, forms, words)

    def reaching(self, v_o: np.ndarray, forms: Sequence[str], neurons: int = NEURONS, words: int = WORDS) -> Cues:
        """The same words of the neurons that get furthest toward the second class: |⟨r_n, v⟩| times the coefficient
        that 1 % of the measured images reach at the end that is meant. (A direction is of norm one, whether
        the neuron ever moves along it or not.)"""
        quantile_nq = np.asarray(self.table.array("coef_quantiles")).reshape(len(self._direction_no), -1)
        levels = np.asarray(self.table.bundle.axes["quantile"].labels, np.float64)
        low_n, high_n = (quantile_nq[:, int(np.abs(levels - level).argmin())] for level in (0.01, 0.99))
        product_n = self._direction_no.astype(np.float64) @ v_o
        reach_n = np.maximum(np.where(product_n > 0, high_n, -low_n), 0)
        return self.ranked(product_n * reach_n, v_o, forms, neurons, words)

    def similar(self, t_o: np.ndarray, forms: Sequence[str], words: int = WORDS) -> tuple[CueWord, ...]:
        """The texts nearest to a direction, by the cosine of their embeddings less the pool's mean."""
        cosine_w = self._atoms_wo @ (np.asarray(t_o, np.float64) / np.linalg.norm(t_o))
        cosine_w[naming(self.texts, forms)] = -np.inf
        order = np.argsort(-cosine_w, kind="stable")[: max(0, words)]
        return tuple(CueWord(self.texts[w], float(cosine_w[w])) for w in order if np.isfinite(cosine_w[w]))

    def by_chance(self, seed: int, forms: Sequence[str], words: int = WORDS) -> tuple[CueWord, ...]:
        """Texts of the pool drawn at random, of equal weight."""
        allowed = np.setdiff1d(np.arange(len(self.texts)), naming(self.texts, forms))
        drawn = np.random.default_rng(abs(int(seed))).permutation(allowed)[: max(0, words)]
        return tuple(CueWord(self.texts[w], 1.0) for w in drawn)

    @cached_property
    def texts(self) -> list[str]:
        """The bundle's pool."""
        return self.table.bundle.table("pool")["text"].to_pylist()

    def _cues(self, row_k: np.ndarray, product_k: np.ndarray, forms: Sequence[str], words: int) -> Cues:
        i, j = np.divmod(row_k, self.table.neurons)
        index_km = np.asarray(self.table.array("text_index"))[i, j]
        coefficient_km = np.asarray(self.table.array("text_coef"))[i, j]
        named = naming(self.texts, forms)
        found = word_weights(index_km, coefficient_km, product_k, named)
        names = [self.table.address(row) for row in row_k]
        shown = []
        for at, row in enumerate(found.row_w[: max(0, words)]):
            if found.weight_w[at] <= 0:
                break  # what is left speaks for the first class
            part_k = found.part_kw[:, at]
            behind = [k for k in np.argsort(-np.abs(part_k), kind="stable")[:_BEHIND] if part_k[k]]
            parts = tuple((names[k], float(part_k[k])) for k in behind)
            shown.append(CueWord(self.texts[row], float(found.weight_w[at]), parts))
        turned_km = coefficient_km * np.sign(product_k)[:, None]
        labels = [self._label(index, turned) for index, turned in zip(index_km, turned_km, strict=True)]
        neurons = tuple(
            CueNeuron(name, label, float(product), "+" if product > 0 else "−")
            for name, label, product in zip(names, labels, product_k, strict=True)
        )
        return Cues(neurons, tuple(shown), len(named), self.table.population)

    def _label(self, index_m: np.ndarray, turned_m: np.ndarray) -> str:
        """The texts that describe the end that is meant, in order of choice."""
        said = [self.texts[w] for w, c in zip(index_m, turned_m, strict=True) if w >= 0 and c > 0]
        return "; ".join(said[:_LABEL_TEXTS])

    @cached_property
    def _direction_no(self) -> np.ndarray:
        direction_lno = np.asarray(self.table.array("direction"))
        return direction_lno.reshape(-1, direction_lno.shape[-1])

    @cached_property
    def _atoms_wo(self) -> np.ndarray:
        centred_wo = np.asarray(self.table.bundle.array("text_embeddings"), np.float64) - self.table.pool_mean
        return centred_wo / np.maximum(np.linalg.norm(centred_wo, axis=1, keepdims=True), 1e-12)
