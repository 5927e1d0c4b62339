"""Watching a data set drift by neuron-head pairs (paper P, §5.3). See `DriftTable`; `Store.drift` is one, or None."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from core.bundle.read import Bundle
from core.columns import NamedImages, as_text, groups, says, truth
from core.errors import InputError
from core.ids import Neuron, Pair, parse
from core.methods import drift as method
from core.methods.drift import Grouping, Truth
from core.store import answers as a
from core.store.drift_answers import DriftPair, DriftScores, FollowedText
from core.store.images import ImageTable
from core.store.neurons import signed_label
from core.store.texts import check_text

_LABEL_TEXTS = 3
_FEW_VALUES = 60  # a column of so few values says what images show; one of more describes or names them
_LEAST_IMAGES = 20  # true images of a concept that the page proposes
_MOST_VALUES = 2_000
_KEPT = 64


class DriftTable:
    """Answers about drift from the described pairs' coefficients, which a bundle stores for every measured image.

    Thread-safe. Raises InputError for columns, values and texts that cannot be used.
    """

    def __init__(self, bundle: Bundle, images: ImageTable) -> None:
        self.bundle, self.images = bundle, images
        self.population = a.Population(bundle.axes["neuron_image"].size, bundle.facts["manifest"]["ok"])
        self.pairs = bundle.axes["pair_text"].size
        """Pairs that are chosen from: the described ones, of `all_pairs`."""
        self.all_pairs = int((np.asarray(bundle.array("pair_length")) != 0).sum())
        self._grouping = lru_cache(_KEPT)(self._read_grouping)
        self._truth = lru_cache(_KEPT)(self._read_truth)
        self._values = lru_cache(_KEPT)(self._read_values)
        self._proposed = lru_cache(_KEPT)(self._read_proposed)

    # --- columns ------------------------------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> dict[str, Grouping]:
        """The manifest's columns that group the measured images; those with an order first."""
        found: list[Grouping] = []
        for name in self.images.columns:
            try:
                found.append(self.grouping(name))
            except InputError:
                continue  # what it says is told when such a column is asked for by name
        found = [grouping for grouping in found if len(grouping.names) > 1]
        return {grouping.column: grouping for grouping in sorted(found, key=_preference)}

    @cached_property
    def truth_columns(self) -> tuple[str, ...]:
        """Columns that can say what an image shows; those of few values first."""
        names = [name for name, kind in self.images.columns.items() if says(kind)]
        return tuple(sorted(names, key=lambda name: len(self.values(name)) or 10**9))

    def grouping(self, column: str) -> Grouping:
        """The measured images by a column. InputError."""
        return self._grouping(column)

    def truth(self, column: str, value: str) -> Truth:
        """What a column says of the measured images. InputError."""
        return self._truth(column, value)

    def values(self, column: str) -> tuple[str, ...]:
        """The values of a column over the measured images, sorted; none where they are too many for a list."""
        return self._values(column)

    def guess_truth(self, concept: str) -> Truth | None:
        """The truth that a concept's own words name: a column whose value it is, or else names; None without one."""
        return self._named.find(concept)

    def proposed(self, column: str, most: int = 4) -> tuple[str, ...]:
        """Concepts to begin with: values of other columns, texts of the pool too (so that no model is needed), whose
        share differs most between the groups of `column` by `core.methods.drift.unevenness`; the most uneven first."""
        return self._proposed(column)[:most]

    # --- texts --------------------------------------------------------------------------------------------------------

    def known_text(self, text: str) -> np.ndarray | None:
        """The unit embedding (o,) of a text of the pool, for which no model is needed; None for any other."""
        row = self._pool_row.get(text)
        return None if row is None else np.array(self.bundle.array("text_embeddings")[row])

    @cached_property
    def pool_mean(self) -> np.ndarray:
        """(o,) mean embedding of the pool, for centring a text."""
        return np.asarray(self.bundle.array("text_embeddings").mean(0, dtype=np.float64)).astype(np.float32)

    def scores(self, text_o: np.ndarray, pairs: int = method.PAIRS, centred: bool = False) -> DriftScores:
        """What the pairs nearest to a text write together, as a share of the representation's norm."""
        check_text(self.bundle, text_o)
        if not 1 <= pairs <= self.pairs:
            raise InputError(f"{pairs} pairs were asked for; one to {self.pairs:,} can be summed.")
        query_o = text_o.astype(np.float64) - (self.pool_mean if centred else 0)
        norm = np.linalg.norm(query_o)
        if not norm > 0:
            raise InputError("This text is the pool's mean: less that, nothing is left of it. Use another text.")
        toward_mk = np.einsum("mok,o->mk", np.asarray(self.bundle.array("pair_basis"), np.float64), query_o / norm)
        cosine_p = np.einsum("pk,pk->p", self._coords_pk, toward_mk[self._at[2]])
        chosen = method.choose_pairs(cosine_p, pairs)
        i, n, m = (axis[chosen] for axis in self._at)
        basis_mok, coords_jk = np.asarray(self.bundle.array("pair_basis")), self._coords_pk[chosen]
        direction_jo = np.einsum("jok,jk->jo", basis_mok[m], coords_jk)
        mean_j = self.bundle.array("neuron_mean_s")[i, n, m] * self.bundle.array("pair_length")[i, n, m]
        scale_j = self.bundle.array("pair_text_scale")[chosen]
        x_ji = self.bundle.array("pair_text_scores")[chosen].astype(np.float32) * scale_j[:, None]
        constant_o = self.bundle.array("pair_constant")[m].sum(0)
        norm_i = self.bundle.array("representation_norm")[self._ids]
        share_i = method.written_share((x_ji + mean_j[:, None]).T, direction_jo, constant_o, norm_i)
        named = tuple(self._pair(int(p), float(cosine_p[p])) for p in chosen)
        return DriftScores(named, self._ids, share_i, self.population)

    def follow(self, scores: DriftScores, grouping: Grouping, known: Truth | None = None) -> FollowedText:
        """A text's share over the groups, beside what is true of them."""
        found = method.follow(scores.share_i, grouping, known)
        return FollowedText(**{field.name: getattr(found, field.name) for field in fields(found)}, scores=scores)

    def examples(self, found: FollowedText, group: int, k: int = 8) -> tuple[a.Hit, ...]:
        """The images of a group with the largest shares."""
        inside = np.flatnonzero(found.grouping.code_i == group)
        best = inside[np.argsort(-found.scores.share_i[inside], kind="stable")[: max(0, k)]]
        return tuple(a.Hit(int(found.scores.id_i[at]), float(found.scores.share_i[at])) for at in best)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _column(self, column: str) -> pa.Array:
        return self.images.values(column, self._ids)

    def _read_grouping(self, column: str) -> Grouping:
        return groups(column, self._column(column))

    def _read_truth(self, column: str, value: str) -> Truth:
        return truth(column, self._column(column), value)

    def _read_values(self, column: str) -> tuple[str, ...]:
        found = sorted({text for text in as_text(self._column(column)) if text is not None})
        return tuple(found) if len(found) <= _MOST_VALUES else ()

    def _read_proposed(self, column: str) -> tuple[str, ...]:
        grouping = self.grouping(column)
        found: dict[str, float] = {}
        for other in self.truth_columns:
            values = self.values(other)
            if other == column or not 2 <= len(values) <= _FEW_VALUES:
                continue
            for value in values:
                true_i = self.truth(other, value).true_i
                if value in self._pool_row and np.nansum(true_i) >= _LEAST_IMAGES:
                    uneven = method.unevenness(grouping.code_i, true_i, len(grouping.names))
                    found[value] = max(uneven, found.get(value, 0.0))
        return tuple(sorted(found, key=lambda value: -found[value]))

    def _pair(self, described: int, cosine: float) -> DriftPair:
        i, n, m = (int(axis[described]) for axis in self._at)
        layers, heads = (self.bundle.axes[axis].labels or [] for axis in ("neuron_layer", "later_head"))
        neuron, head = Neuron(layers[i], n), parse(heads[m])
        index_t, coef_t = (
            self.bundle.array(f"pair_text_{kind}")[described, :_LABEL_TEXTS].tolist() for kind in ("index", "coef")
        )
        terms = [(self._pool[w].as_py(), c) for w, c in zip(index_t, coef_t, strict=True) if w >= 0]
        return DriftPair(str(Pair(neuron, head)), str(neuron), str(head), signed_label(terms), cosine)  # type: ignore[arg-type] # a later head's label is a head

    @cached_property
    def _named(self) -> NamedImages:
        return self.images.named(self._ids)

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.asarray(self.bundle.array("neuron_image_ids"))

    @cached_property
    def _at(self) -> Sequence[np.ndarray]:
        """Layer position, neuron and later head of every described pair."""
        return np.unravel_index(np.asarray(self.bundle.array("pair_text_rows")), self.bundle.array("pair_length").shape)

    @cached_property
    def _coords_pk(self) -> np.ndarray:
        return np.asarray(self.bundle.array("pair_coords")[self._at])

    @cached_property
    def _pool(self) -> Any:
        return self.bundle.table("pool")["text"]

    @cached_property
    def _pool_row(self) -> dict[str, int]:
        return {text: row for row, text in reversed(list(enumerate(self._pool.to_pylist())))}


def _preference(grouping: Grouping) -> tuple[bool, bool, int]:
    """Columns to begin with: dates, then whole numbers of several values, then names, those of few groups first."""
    several = grouping.kind == "dates" or (grouping.kind == "numbers" and len(grouping.names) > 4)
    return not several, not grouping.ordered, len(grouping.names)
