"""How well texts predict Rosetta concepts: as `core.store.label_scores` for the units of one model.

A concept's number in an image is its activation; the predictor of a text is how much the image is like it, as the CLIP
members read both. Both are in the dictionary, for every text of its pool.
"""

from collections.abc import Collection
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.methods.label_scores import baseline, estimates, positives
from core.stats.followed import CHOSEN_BY
from core.store.label_scores import LEAST, RANDOM_TEXTS, Score

if TYPE_CHECKING:
    from core.store.dictionary import Dictionary
    from core.store.dictionary_answers import Concept

_KEPT = 1_000


class ConceptScores:
    """Scores for one dictionary; `Dictionary.scores` is one. Thread-safe."""

    def __init__(self, dictionary: "Dictionary") -> None:
        self._dictionary = dictionary
        self._kept = lru_cache(_KEPT)(self._score)

    def score(self, concept: "Concept", text: str, excluded: Collection[int] = ()) -> Score | None:
        """Score a text of the pool as a label of a concept; None where that cannot be (`why` says why). Left out: the
        images `excluded`, and for the concept's own label those that it was chosen by."""
        if self.why(text):
            return None
        own = concept.label is not None and concept.label.text == text
        return self._kept(concept.row, text, own, frozenset(map(int, excluded)))

    def why(self, text: str) -> str:
        """Why there is no score, in a sentence; "" where there is one."""
        if not self._row:
            return "No CLIP model has a unit in a concept of this dictionary, so none reads texts."
        if text not in self._row:
            return "This text is not in the dictionary's pool: of no other it knows which images it is like."
        return ""

    def _score(self, row: int, text: str, own: bool, excluded: frozenset[int]) -> Score | None:
        concepts, images = self._dictionary, self._dictionary.images
        kept_i = np.ones(images, bool)
        kept_i[[image for image in excluded if 0 <= image < images]] = False
        population = f"the dictionary's {images:,} images"
        if own:
            kept_i[CHOSEN_BY] = False
            population += ", without the half that the label was chosen by"
        if excluded:
            population += ", without those that it was made from"
        if kept_i.sum() < LEAST:
            return None
        number_i = concepts.activation[row][kept_i]
        like_wi = concepts.bundle.array("text_cosine")
        positive_i = positives(number_i)
        found = estimates(np.asarray(like_wi[self._row[text]], np.float32)[kept_i], number_i, positive_i)
        random_wi = np.asarray(like_wi[self._random], np.float32)[:, kept_i]
        return Score(
            **found,  # type: ignore[arg-type] # by the names of its figures
            base_rate=float(positive_i.mean()),
            images=int(kept_i.sum()),
            population=population,
            random=baseline(random_wi, number_i, positive_i),
            by="text",
        )

    @cached_property
    def _row(self) -> dict[str, int]:
        return {text: row for row, text in enumerate(self._dictionary.pool)}

    @cached_property
    def _random(self) -> np.ndarray:
        """Rows of texts by chance, always the same."""
        texts = len(self._row)
        return np.sort(np.random.default_rng(0).choice(texts, min(RANDOM_TEXTS, texts), replace=False))
