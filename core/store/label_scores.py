"""Scores of labels: does what a label says predict its unit on images that the label was not made from?

See `core.methods.label_scores` for the figures. A unit's number is that of `Store.units`: a neuron's or described
pair's coefficient, a head's coordinate along its first principal component.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.columns import NamedImages
from core.errors import InputError
from core.methods import label_scores as method
from core.methods.label_scores import DRAWS, LIMIT, Estimate
from core.store.scan import gather
from core.store.texts import check_text

if TYPE_CHECKING:
    from core.store.store import Store
    from core.store.units import Kind

By = Literal["text", "images named"]
RANDOM_TEXTS = 100
LEAST = 10
"""Fewest images that a score is made from."""
_BLOCK = 2**22  # numbers of units held at a time
_KEPT = 4_000


@dataclass(frozen=True)
class Score:
    """How well one label predicts one end of a unit.

    Figures with 95 % intervals over images; `base_rate` the share of the `images` that count as positive, which is what
    a label that says nothing reaches in AUPRC and F1; `population` which images, in words; `random` the same figures of
    labels by chance, median and middle 95 % (texts of the pool; for "images named" as many images drawn by chance);
    `by` what predicts, and `named` which images the label names, if those predict.
    """

    pearson: Estimate
    auprc: Estimate
    f1: Estimate
    auroc: Estimate
    base_rate: float
    images: int
    population: str
    random: Mapping[str, Estimate]
    by: By
    named: str = ""


@dataclass(frozen=True)
class _Sample:
    """Images that labels are scored on: `id_n`, their places `at_n` among those whose units were measured,
    representations (n, o) float16, and the predictors (w, n) of random texts."""

    id_n: np.ndarray
    at_n: np.ndarray
    unit_no: np.ndarray
    random_wn: np.ndarray
    named: NamedImages
    told: str


class LabelScores:
    """Scores for one bundle; `Store.label_scores` is one. Thread-safe. AddressError for a unit that is not there."""

    def __init__(self, store: "Store") -> None:
        self._store, self._bundle = store, store.bundle
        self._scores: OrderedDict[tuple, Score] = OrderedDict()
        self._random: OrderedDict[tuple, Mapping[str, Estimate]] = OrderedDict()
        self._quick: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._lock = threading.Lock()
        self._working = threading.Lock()  # one long computation at a time: the second finds what the first kept

    # --- one label ----------------------------------------------------------------------------------------------------

    def score(
        self,
        address: str,
        end: str,
        embedding_o: np.ndarray | None,
        text: str,
        excluded: Collection[int] = (),
        draws: int = DRAWS,
        by: By | None = None,
    ) -> Score | None:
        """Score `text` as a label for an end ("+" or "-") of a unit; None where that cannot be (`why` says why).

        `embedding_o` its unit embedding, None to take the pool's; without either the images that the text names predict
        (or choose with `by`). Left out: `excluded`, the images that a label by hand was made from, and of a text of the
        unit's automatic label those that this was made from.
        """
        sign = _sign(end)
        if self.why(address, embedding_o, text, by):
            return None
        known_o = self.embedding(text) if embedding_o is None else check_text(self._bundle, embedding_o)
        by = by or ("text" if known_o is not None else "images named")
        spoken = known_o.tobytes() if by == "text" and known_o is not None else text
        key = (address, end, by, text, hash(spoken), frozenset(map(int, excluded)), draws)
        with self._lock:
            if key in self._scores:
                self._scores.move_to_end(key)
                return self._scores[key]
        made = self._score(address, sign, by, known_o, text, frozenset(map(int, excluded)), draws)
        if made is not None:
            with self._lock:
                _keep(self._scores, key, made)
        return made

    def why(self, address: str, embedding_o: np.ndarray | None, text: str, by: By | None = None) -> str:
        """Why there is no score, in a sentence; "" where there is one."""
        kind = self._store.units.kind(address)
        row = self._store.units.row(address)
        if kind == "pair" and row not in self._described:
            return "The numbers of this pair are kept for no image: only described pairs have a score."
        if self._sample(kind).id_n.size < LEAST:
            return f"Fewer than {LEAST} images were measured, too few to score a label on."
        if by != "images named" and (embedding_o is not None or text in self._pool_row):
            return ""
        if by != "text" and self._sample(kind).named.find(text) is not None:
            return ""
        if by == "images named":
            return "No column of the images, and no class, has what this label names."
        return "This text is not in the bundle's pool: its score needs the live model."

    def embedding(self, text: str) -> np.ndarray | None:
        """The unit embedding (o,) of a text of the bundle's pool; None for any other, which needs the live model."""
        row = self._pool_row.get(text)
        return None if row is None else np.array(self._bundle.array("text_embeddings")[row])

    def pearson(self, address: str, end: str, embedding_wo: np.ndarray) -> np.ndarray:
        """(w,) Pearson correlation of many texts at once, the images of the unit's automatic label left out; NaN where
        there is no score."""
        kind, row = self._store.units.kind(address), self._store.units.row(address)
        nothing = np.full(len(embedding_wo), np.nan)
        if kind == "pair" and row not in self._described:
            return nothing
        sample, rows = self._sample(kind), np.array([row])
        kept_n = ~self._own(kind, rows)[0]
        if kept_n.sum() < LEAST:
            return nothing
        number_n = _sign(end) * self._numbers(kind, rows)[0]
        predictor_wn = np.asarray(embedding_wo, np.float32) @ sample.unit_no.astype(np.float32).T
        same = np.broadcast_to(number_n, predictor_wn.shape), np.broadcast_to(kept_n, predictor_wn.shape)
        return method.pearson_rows(predictor_wn, *same)

    # --- all of a kind ------------------------------------------------------------------------------------------------

    def quick(self, kind: "Kind") -> tuple[np.ndarray, np.ndarray]:
        """Pearson correlation of every unit's automatic label, the first text of its + end, by row, and that of a text
        of the pool by chance; NaN where a unit has none. Once a second or so for tens of thousands of units, kept."""
        with self._working:
            if kind not in self._quick:
                self._quick[kind] = self._quickly(kind)
            return self._quick[kind]

    def is_quick(self, kind: "Kind") -> bool:
        """Whether `quick` of this kind would answer at once."""
        return kind in self._quick

    def _quickly(self, kind: "Kind") -> tuple[np.ndarray, np.ndarray]:
        count = self._store.units.count(kind)
        found = np.full((2, count), np.nan)
        texts_wo = self._bundle.array("text_embeddings")
        for rows, text_u in self._first_texts(kind):
            unit_no = self._sample(kind).unit_no.astype(np.float32)
            if len(unit_no) < LEAST:
                break
            number_un, kept_un = self._numbers(kind, rows), ~self._own(kind, rows)
            by_chance_u = np.random.default_rng((1, int(rows[0]))).integers(0, len(texts_wo), len(rows))
            for at, chosen_u in enumerate((text_u, by_chance_u)):
                predictor_un = np.asarray(texts_wo[chosen_u], np.float32) @ unit_no.T
                made_u = method.pearson_rows(predictor_un, number_un, kept_un)
                found[at, rows] = np.where((kept_un.sum(1) >= LEAST) & (text_u >= 0), made_u, np.nan)
        return found[0], found[1]

    def _first_texts(self, kind: "Kind") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of units, some at a time, with the row in the pool of the first text of their + end, -1 for none."""
        if kind == "head":
            rows = np.arange(self._store.units.count(kind))
            firsts = (self._store.units.texts(self._store.units.address(kind, int(row)), 1) for row in rows)
            text_u = np.array([self._pool_row[first[0][0]] if first else -1 for first in firsts])
        else:
            index_um, coef_um = (
                np.asarray(self._bundle.array(f"{kind}_text_{of}")).reshape(-1, self._atoms(kind))
                for of in ("index", "coef")
            )
            plus_um = (index_um >= 0) & (coef_um > 0)
            first_u = plus_um.argmax(1)[:, None]
            text_u = np.where(plus_um.any(1), np.take_along_axis(index_um, first_u, 1)[:, 0], -1)
            rows = np.array(list(self._described)) if kind == "pair" else np.arange(len(text_u))
        if kind == "pair" and not self._described:
            return
        step = max(1, _BLOCK // max(1, len(self._sample(kind).id_n)))
        for start in range(0, len(rows), step):
            yield rows[start : start + step], text_u[start : start + step]

    def _atoms(self, kind: "Kind") -> int:
        return int(self._bundle.array(f"{kind}_text_index").shape[-1])

    # --- inside -------------------------------------------------------------------------------------------------------

    def _score(
        self, address: str, sign: int, by: By, known_o: np.ndarray | None, text: str, excluded: frozenset[int],
        draws: int,
    ) -> Score | None:  # fmt: skip
        kind, row = self._store.units.kind(address), self._store.units.row(address)
        sample, rows = self._sample(kind), np.array([row])
        named = sample.named.find(text) if by == "images named" else None
        if named is None:
            assert known_o is not None
            predictor_n = sample.unit_no.astype(np.float32) @ known_o.astype(np.float32)
        else:
            predictor_n = named.true_i
        automatic = text in self._automatic(address)
        own_n = self._own(kind, rows)[0] if automatic else np.zeros(len(sample.id_n), bool)
        shown_n = np.isin(sample.id_n, np.fromiter(excluded, np.int64, len(excluded)))
        kept_n = ~own_n & ~shown_n & ~np.isnan(predictor_n)
        if kept_n.sum() < LEAST:
            return None
        number_n = sign * self._numbers(kind, rows)[0][kept_n]
        predictor_n, positive_n = predictor_n[kept_n], method.positives(number_n)
        found = method.estimates(predictor_n, number_n, positive_n, draws)
        told = sample.told + self._left_out(kind, automatic, int(own_n.sum()), int((shown_n & ~own_n).sum()))
        if named is None:
            key = (address, sign, automatic, excluded)
            random = self._by_chance(key, sample.random_wn[:, kept_n], number_n, positive_n)
        else:
            rng = np.random.default_rng(2)
            drawn_wn = np.stack([rng.permutation(predictor_n) for _ in range(RANDOM_TEXTS)])
            random = method.baseline(drawn_wn, number_n, positive_n)
        return Score(
            **found, base_rate=float(positive_n.mean()), images=len(number_n), population=told, random=random, by=by,
            named="" if named is None else str(named),
        )  # fmt: skip

    def _by_chance(
        self, key: tuple, random_wn: np.ndarray, number_n: np.ndarray, positive_n: np.ndarray
    ) -> Mapping[str, Estimate]:
        """What random texts score at this end of a unit: the same for every label of it over the same images."""
        with self._lock:
            if key in self._random:
                return self._random[key]
        made = method.baseline(random_wn, number_n, positive_n)
        with self._lock:
            _keep(self._random, key, made)
        return made

    def _left_out(self, kind: "Kind", automatic: bool, own: int, shown: int) -> str:
        parts = []
        if automatic and kind == "head":
            parts.append("; TextSpan chose this text with the covariance of all images, these among them")
        elif own and kind == "neuron":
            parts.append(f"; the {own:,} of its largest effects, which its direction was made from, are left out")
        elif own:
            parts.append(f"; the {own:,} of its largest |x|, which gave its direction the sign, are left out")
        if shown:
            parts.append(f"; {shown:,} that were shown when it was labelled are left out")
        return "".join(parts)

    def _automatic(self, address: str) -> frozenset[str]:
        """The texts of a unit's automatic label."""
        kind, store = self._store.units.kind(address), self._store
        if kind == "head":
            return frozenset(text.text for text in store.head(address).texts)
        table = store.pairs if kind == "pair" else store.neurons
        assert table is not None
        return frozenset(term.text for term in table.text(address).terms)

    def _sample(self, kind: "Kind") -> _Sample:
        return self._image_sample if kind == "head" else self._measured_sample

    @cached_property
    def _image_sample(self) -> _Sample:
        id_n = np.flatnonzero(self._store.images.ok_n)
        chosen = method.evenly(len(id_n), LIMIT)
        return self._made_sample(id_n[chosen], chosen, len(id_n))

    @cached_property
    def _measured_sample(self) -> _Sample:
        id_n = np.asarray(self._bundle.array("neuron_image_ids"))
        chosen = method.evenly(len(id_n), LIMIT)
        return self._made_sample(id_n[chosen], chosen, len(self._store.images.ok_n))

    def _made_sample(self, id_n: np.ndarray, at_n: np.ndarray, of: int) -> _Sample:
        unit_no = np.asarray(self._bundle.array("representations")[id_n])
        texts_wo = self._bundle.array("text_embeddings")
        rows = np.sort(np.random.default_rng(0).permutation(len(texts_wo))[:RANDOM_TEXTS])
        random_wn = np.asarray(texts_wo[rows], np.float32) @ unit_no.astype(np.float32).T
        whole = len(id_n) == of
        told = f"all {of:,} images" if whole else f"{len(id_n):,} images spread evenly over the bundle's {of:,}"
        return _Sample(id_n, at_n, unit_no, random_wn, self._store.images.named(id_n), told)

    def _numbers(self, kind: "Kind", rows: np.ndarray) -> np.ndarray:
        """(u, n) float32 numbers of units in the images of the sample."""
        sample = self._sample(kind)
        if kind == "head":
            heads = self._store.head_table.heads
            return np.stack([self._head_numbers(*divmod(int(row), heads)) for row in rows])
        if kind == "neuron":
            flat = lambda name: self._flat(f"neuron_{name}")
            return flat("coef")[rows][:, sample.at_n].astype(np.float32) * flat("scale")[rows, None]
        at = [self._described[int(row)] for row in rows]
        x_un = self._bundle.array("pair_text_scores")[at][:, sample.at_n].astype(np.float32)
        return x_un * self._bundle.array("pair_text_scale")[at][:, None]

    def _head_numbers(self, i: int, h: int) -> np.ndarray:
        direction_o = self._store.units.direction(self._store.head_table.address(i, h))
        r_nc = gather(self._bundle.array("r")[i, h], self._image_sample.id_n)
        return r_nc @ (direction_o @ self._bundle.array("basis")[i, h])

    def _own(self, kind: "Kind", rows: np.ndarray) -> np.ndarray:
        """(u, n) the images of the sample that units' automatic labels were made from: of a neuron those of largest
        norm, of a pair those of largest |x|; of as many as the bundle says, ties with the last of them too."""
        sample = self._sample(kind)
        if kind == "head":
            return np.zeros((len(rows), len(sample.id_n)), bool)
        if kind == "neuron":
            size_ui = self._flat("neuron_norm")[rows]
            count = int((self._bundle.facts.get("neurons") or {}).get("largest_norms", 0))
        else:
            size_ui = np.abs(self._bundle.array("pair_text_scores")[[self._described[int(row)] for row in rows]])
            count = int((self._bundle.facts.get("pairs") or {}).get("largest", 0))
        return method.largest(size_ui, count)[:, sample.at_n]

    def _flat(self, name: str) -> np.ndarray:
        """An array of neurons by row."""
        array = self._bundle.array(name)
        return array.reshape(-1, *array.shape[2:])

    @cached_property
    def _described(self) -> dict[int, int]:
        """Where each described pair lies among those, by row; none where their numbers are not kept."""
        if self._store.pairs is None or not self._bundle.has("pair_text_scores"):
            return {}
        return {int(row): at for at, row in enumerate(self._bundle.array("pair_text_rows"))}

    @cached_property
    def _pool_row(self) -> dict[str, int]:
        return {text: row for row, text in reversed(list(enumerate(self._bundle.table("pool")["text"].to_pylist())))}


def _sign(end: str) -> int:
    if end not in ("+", "-"):
        raise InputError(f"An end of a unit is + or -, not {end[:10]!r}.")
    return 1 if end == "+" else -1


def _keep(kept: OrderedDict, key: tuple, value: object) -> None:
    kept[key] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)
