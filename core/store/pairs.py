"""What a bundle stores of its neuron-head pairs (paper P). See `PairTable`; `Store.pairs` is one, or None."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from core.bundle.faiss_store import search
from core.bundle.read import Bundle
from core.bundle.schema import pair_key
from core.errors import AddressError
from core.ids import Head, Neuron, Pair, parse
from core.methods.sub_concepts import sub_concepts
from core.store import answers as a
from core.store import pair_answers as p
from core.store.heads import HeadTable
from core.store.neuron_answers import SparseLabel
from core.store.neurons import Fold, NeuronTable
from core.store.pair_texts import PairTexts
from core.store.scan import Scores
from core.store.texts import check_text

_HEADS_KEPT = 24
_MOST = 500


class PairTable:
    """Answers about the neuron-head pairs of one bundle, given by address ("L9.N1234>L11.H3", "N624.H12", or
    `core.ids.Pair`). A pair's flat row is (layer position × neurons + neuron) × later heads + later head.

    Thread-safe. Population of all statistics: the measured images. Raises AddressError for a pair that is not there.
    """

    def __init__(self, bundle: Bundle, neurons: NeuronTable, heads: HeadTable, fold: Fold, fold_above: float) -> None:
        self.bundle, self.neurons = bundle, neurons
        self._heads, self._fold, self._fold_above = heads, fold, fold_above
        self.heads: tuple[Head, ...] = tuple(_head(label) for label in bundle.axes["later_head"].labels or [])
        self.population = neurons.population
        self._opened: dict[str, np.ndarray] = {}
        self._texts = PairTexts(neurons, self.array, lambda row: self.direction(self.pair(row)), self.address)
        self._head_hits: OrderedDict[Head, tuple[a.Hit, ...]] = OrderedDict()
        self._lock = threading.Lock()

    # --- which pairs there are --------------------------------------------------------------------------------------

    def at(self, address: str | Pair) -> tuple[int, int, int]:
        """Position of a pair in the arrays: layer, neuron, head. AddressError."""
        unit = parse(address) if isinstance(address, str) else address
        if not isinstance(unit, Pair):
            raise AddressError(f"{address} is no pair of a neuron and a head. A pair is L9.N1234>L11.H3, or N624.H12.")
        i, n = self.neurons.at(unit.neuron)
        m = self.heads.index(unit.head) if unit.head in self.heads else -1
        if m < 0 or not self._later[i, m]:
            later = [head for head, is_later in zip(self.heads, self._later[i], strict=True) if is_later]
            raise AddressError(f"{unit} is not among this bundle's pairs: its heads are {later[0]} to {later[-1]}.")
        return i, n, m

    def pair(self, row: int) -> Pair:
        """The pair of a flat row."""
        unit, m = divmod(int(row), len(self.heads))
        i, n = divmod(unit, self.neurons.neurons)
        return Pair(Neuron(self.neurons.layers[i], n), self.heads[m])

    def address(self, row: int) -> str:
        """Address of a flat row."""
        return str(self.pair(row))

    def row(self, address: str | Pair) -> int:
        """Flat row of a pair. AddressError."""
        i, n, m = self.at(address)
        return (i * self.neurons.neurons + n) * len(self.heads) + m

    def check_head(self, head: Head) -> None:
        """AddressError for a head that has no pairs."""
        if head not in self.heads:
            raise AddressError(
                f"{head} reads none of this bundle's neurons: heads are {self.heads[0]} to {self.heads[-1]}."
            )

    def analysed(self, head: str | Head) -> bool:
        """Whether the bundle has the head's own parts, so that it has a page."""
        return (_head(head) if isinstance(head, str) else head).layer in self._heads.layers

    def head_label(self, head: str) -> str:
        """The label of an analysed head; "" for any other."""
        return self._heads.head(head).summary.label if self.analysed(head) else ""

    def columns(self) -> p.PairColumns:
        """Every pair, for a table; best score first."""
        return self._columns

    def rows(self, rows: Sequence[int] | np.ndarray, cosines: Sequence[float] | None = None) -> tuple[p.PairRow, ...]:
        """What a list says of these flat rows, with `cosines` where they were found by direction."""
        at = np.unravel_index(np.asarray(rows, np.int64), self.array("score").shape)
        score, std, share, inertia = (self.array(name)[at].tolist() for name in ("score", "std", "share", "inertia"))
        whole = self.array("neuron_inertia")[at[:2]].tolist()
        tight = [1 - own / all_ if all_ > 0 else 0.0 for own, all_ in zip(inertia, whole, strict=True)]
        pairs = [self.pair(row) for row in rows]
        names = [(str(pair), str(pair.neuron), str(pair.head)) for pair in pairs]
        found: Sequence[float | None] = [None] * len(pairs) if cosines is None else cosines
        parts = zip(names, map(self.label, rows), score, std, share, tight, found, strict=True)
        return tuple(p.PairRow(*name, *numbers) for name, *numbers in parts)

    def label(self, row: int) -> str:
        """The first texts of a described pair with their signs; "" for one that is not."""
        return self._texts.label(row)

    def named(self, rows: Sequence[p.PairRow], most: int = 64) -> tuple[p.PairRow, ...]:
        """These, with a label for the first `most` of those that have none, made now and together."""
        without = [row for row in rows if not row.label][:most]
        label = dict(zip(without, self._texts.names([self.row(row.address) for row in without]), strict=True))
        return tuple(replace(row, label=label[row]) if row in label else row for row in rows)

    def labelled(self, words: str) -> np.ndarray:
        """Flat rows, ascending, of the described pairs whose label has these words."""
        return self._texts.having(words)

    # --- one pair ---------------------------------------------------------------------------------------------------

    def summary(self, address: str | Pair) -> p.PairSummary:
        i, n, m = self.at(address)
        row = self.row(address)
        pair, facts = self.pair(row), self.bundle.facts["pairs"]
        number = lambda name: float(self.array(name)[i, n, m])
        above = np.searchsorted(-self._columns.score_p, -np.float32(number("score")))
        return p.PairSummary(
            address=str(pair),
            neuron=str(pair.neuron),
            head=str(pair.head),
            label=self.label(row),
            neuron_label=self.neurons.label(i * self.neurons.neurons + n),
            std=number("std"),
            score=number("score"),
            rank=int(above) + 1,
            pairs=len(self._columns.row_p),
            share=number("share"),
            length=number("length"),
            inertia=number("inertia"),
            neuron_inertia=float(self.array("neuron_inertia")[i, n]),
            largest=int(facts["largest"]),
            inertia_images=int(facts["inertia_images"]),
            population=self.population,
        )

    def direction(self, address: str | Pair) -> np.ndarray:
        """d̂ (o,) float32; zeros for a pair that has none."""
        i, n, m = self.at(address)
        return np.asarray(self.array("basis")[m] @ self.array("coords")[i, n, m])

    def text(self, address: str | Pair, picks: int | None = None) -> SparseLabel:
        """The sparse decomposition of d̂ with the first `picks` texts (default: all): the stored one of a described
        pair; any other's (at most NOW texts) is made now, in well under a second, and kept."""
        return self._texts.first(self.row(address), picks)

    def short(self, address: str | Pair) -> str:
        """Its label, decomposed now if it is not described."""
        return self._texts.names([self.row(address)])[0]

    def scores(self, address: str | Pair) -> Scores | None:
        """x of every measured image, to half precision, of a described pair; None for any other: they are not kept."""
        described = self._texts.described(self.row(address))
        if described is None or not self.bundle.has("pair_text_scores"):
            return None
        x_i = np.asarray(self.array("text_scores")[described], np.float32) * self.array("text_scale")[described]
        return Scores(np.asarray(self.neurons.array("image_ids")), x_i)

    def ends(self, address: str | Pair, k: int = 24, fold: bool = True) -> a.Ends:
        """The images of largest and of smallest coefficient that are stored, near-duplicates folded."""
        i, n, m = self.at(address)
        stored = (self._hits("top", (i, n, m, end)) for end in range(2))
        plus, minus = (self._fold(hits) if fold else tuple(hits) for hits in stored)
        return a.Ends(plus[:k], minus[:k], self._fold_above, self.population)

    def largest(self, address: str | Pair, k: int, fold: bool = True) -> tuple[a.Hit, ...]:
        """The images of largest |x|, of either sign."""
        found = self.ends(address, _MOST, fold=False)
        hits = sorted((*found.plus, *found.minus), key=lambda hit: -abs(hit.score))
        once: dict[int, a.Hit] = {}
        for hit in hits:  # of few images, one may be at both ends
            once.setdefault(hit.image_id, hit)
        return (self._fold(list(once.values())) if fold else tuple(once.values()))[:k]

    def head_largest(self, head: str | Head, k: int) -> tuple[a.Hit, ...]:
        """The measured images in which what a whole head writes differs most from its mean, with that length; none for
        a head of a layer that the bundle does not analyse."""
        unit = _head(head) if isinstance(head, str) else head
        if not self.analysed(unit):
            return ()
        i, h = self._heads.at(unit)
        with self._lock:
            known = self._head_hits.get(unit)
        if known is None:
            ids = np.asarray(self.neurons.array("image_ids"))
            r_ic = self.bundle.array("r")[i, h][ids].astype(np.float32)
            length_i = np.linalg.norm(r_ic - r_ic.mean(0), axis=1)
            order = np.argsort(-length_i, kind="stable")[:_MOST]
            known = tuple(a.Hit(int(ids[j]), float(length_i[j])) for j in order)
            with self._lock:
                self._head_hits[unit] = known
                while len(self._head_hits) > _HEADS_KEPT:
                    self._head_hits.popitem(last=False)
        return self._fold(known[: 2 * k])[:k]

    def quantiles(self, address: str | Pair) -> tuple[tuple[float, float], ...]:
        """Stored quantiles of x, (level, value) each."""
        levels = map(float, self.bundle.axes["quantile"].labels or [])
        return tuple(zip(levels, self.array("quantiles")[self.at(address)].tolist(), strict=True))

    def intervals(self, address: str | Pair, per_row: int) -> a.Intervals:
        """Stored images by quantile interval of x, highest first, the interval's bounds from the stored quantiles
        where they are among these and otherwise from the images themselves."""
        i, n, m = self.at(address)
        images = self.population.looked_at
        value = dict(self.quantiles(address))
        ends = self.ends(address, 1, fold=False)
        value |= {1.0: ends.plus[0].score, 0.0: ends.minus[0].score} if ends.plus and ends.minus else {}
        made = []
        for at, (low, high) in enumerate(self.bundle.axes["pair_interval"].labels or []):
            hits = self._hits("interval", (i, n, m, at))
            sample = [hit.score for hit in hits] or [0.0]
            bounds = value.get(low, min(sample)), value.get(high, max(sample))
            made.append(
                a.Interval(*bounds, low, high, round(high * images) - round(low * images), tuple(hits[:per_row]))
            )
        return a.Intervals(tuple(made), self.population)

    # --- from one unit to others ------------------------------------------------------------------------------------

    def of_neuron(self, neuron: str | Neuron) -> tuple[p.PairRow, ...]:
        """A neuron's pairs with all later heads, by the size of their share of its effect."""
        i, n = self.neurons.at(neuron)
        later = np.flatnonzero(self._later[i])
        order = later[np.argsort(-np.abs(self.array("share")[i, n, later]), kind="stable")]
        return self.rows((i * self.neurons.neurons + n) * len(self.heads) + order)

    def of_head(self, head: str | Head, k: int = 12) -> tuple[p.PairRow, ...]:
        """A head's pairs of best score, over all analysed neurons; none for a head that is later than none."""
        unit = _head(head) if isinstance(head, str) else head
        if unit not in self.heads:
            return ()
        m = self.heads.index(unit)
        score = np.asarray(self.array("score")[..., m]).ravel()
        order = np.argsort(-score, kind="stable")[: max(0, k)]
        return self.rows(order[score[order] > 0] * len(self.heads) + m)

    def for_text(self, embedding_o: np.ndarray, k: int = 50) -> tuple[p.PairRow, ...]:
        """The pairs whose direction is most along or against a text's unit embedding less the pool's mean."""
        centred_o = check_text(self.bundle, embedding_o) - self.neurons.pool_mean
        return self.along(centred_o / max(float(np.linalg.norm(centred_o)), 1e-12), k)

    def along(self, direction_o: np.ndarray, k: int, without: Pair | None = None) -> tuple[p.PairRow, ...]:
        """The pairs whose direction is most along or against a unit direction (o,); `without` is left out."""
        excluded = -1 if without is None else self.row(without)
        return self._by_direction(np.asarray(direction_o, np.float32), k, excluded)

    def similar(self, address: str | Pair, k: int = 12) -> tuple[p.PairRow, ...]:
        """Pairs, of any head, whose direction is most alike or most opposite, by |cosine|."""
        return self._by_direction(self.direction(address), k, self.row(address))

    def sub_concepts(
        self, neuron: str | Neuron, k: int = 5, images: int = 10, labels: bool = True
    ) -> tuple[p.SubConcept, ...]:
        """The parts of a neuron's concept, best first (`core.methods.sub_concepts`), by `images` images of each.
        Without `labels` only described pairs have one."""
        i, n = self.neurons.at(neuron)
        later = np.flatnonzero(self._later[i])
        pairs = [Pair(Neuron(self.neurons.layers[i], n), self.heads[m]) for m in later]
        hits = [self.largest(pair, images, fold=False) for pair in pairs]
        id_mi = np.full((len(pairs), images), -1, np.int64)
        for m, each in enumerate(hits):
            id_mi[m, : len(each)] = [hit.image_id for hit in each]
        scores = self.neurons.scores(neuron, "norm")
        place_mi = np.searchsorted(scores.id_n, id_mi).clip(0, len(scores.id_n) - 1)
        active_i = scores.score_n > float(self.neurons.array("threshold")[i, n])
        found = sub_concepts(
            self.array("inertia")[i, n, later].astype(np.float64),
            float(self.array("neuron_inertia")[i, n]),
            self.array("share")[i, n, later].astype(np.float64),
            active_i[place_mi],
            id_mi,
            k,
        )
        chosen = [pairs[m] for m in found.pair_c]
        rows = [self.row(pair) for pair in chosen]
        names = self._texts.names(rows) if labels else list(map(self.label, rows))
        return tuple(
            p.SubConcept(
                str(pair), str(pair.head), name, float(score), float(tight), float(inside),
                float(self.array("share")[i, n, later[m]]), self._fold(hits[m]),
            )
            for pair, name, m, score, tight, inside in zip(
                chosen, names, found.pair_c, found.score_c, found.tightness_c, found.inside_c, strict=True
            )
        )  # fmt: skip

    # --- inside -----------------------------------------------------------------------------------------------------

    def array(self, name: str) -> np.ndarray:
        """The bundle's array pair_`name`: a memory map, opened once (or twice by two threads, which is harmless)."""
        if name not in self._opened:
            self._opened[name] = self.bundle.array(f"pair_{name}")
        return self._opened[name]

    def _hits(self, kind: str, at: tuple[int, ...]) -> list[a.Hit]:
        ids, scores = self.array(f"{kind}_ids")[at].tolist(), self.array(f"{kind}_scores")[at].tolist()
        return [a.Hit(image, score) for image, score in zip(ids, scores, strict=True) if image >= 0]

    def _by_direction(self, direction_o: np.ndarray, k: int, excluded: int) -> tuple[p.PairRow, ...]:
        """Every head's index is asked for its best k, of which the best k of all are kept."""
        if not direction_o.any():
            return ()
        count, found = max(1, min(k, _MOST)), []
        along_mk = direction_o @ self.array("basis")  # einsum would copy the basis: 17 ms of RN50x16's
        for m, along_k in enumerate(along_mk):
            queries = np.stack([along_k, -along_k])
            skip = [excluded // len(self.heads)] if excluded >= 0 and excluded % len(self.heads) == m else None
            scores, units = search(self.bundle.index(pair_key(self.heads[m])), queries, count, skip, metric="ip")
            found.append((np.stack([scores[0], -scores[1]]).ravel(), units.ravel() * len(self.heads) + m))
        cosine_c, row_c = (np.concatenate(each) for each in zip(*found, strict=True))
        row_c, first = np.unique(row_c, return_index=True)
        cosine_c = cosine_c[first]
        there = self.array("length").reshape(-1)[row_c] != 0
        order = np.flatnonzero(there)[np.argsort(-np.abs(cosine_c[there]), kind="stable")][:count]
        return self.rows(row_c[order], cosine_c[order].tolist())

    @cached_property
    def _later(self) -> np.ndarray:
        """Whether each head (m) is later than each layer of neurons (l), (l, m)."""
        later = lambda layer, head: layer is None or head.layer is None or head.layer > layer
        return np.array([[later(layer, head) for head in self.heads] for layer in self.neurons.layers])

    @cached_property
    def _columns(self) -> p.PairColumns:
        shape = self.array("score").shape
        there = np.broadcast_to(self._later[:, None], shape)
        score = np.asarray(self.array("score"))
        row_p = np.flatnonzero(there)
        row_p = row_p[np.argsort(-score.reshape(-1)[row_p], kind="stable")]
        i, n, m = np.unravel_index(row_p, shape)
        take = lambda name: np.asarray(self.array(name)).reshape(-1)[row_p]
        whole_p = np.asarray(self.array("neuron_inertia"))[i, n]
        return p.PairColumns(
            row_p, i, n, m, take("score"), take("std"), take("share"), take("inertia"), whole_p, self.population
        )


def _head(address: str) -> Head:
    unit = parse(address)
    if not isinstance(unit, Head):
        raise AddressError(f"{address} is no attention head. A head is L22.H8, or H12 in an attention pool.")
    return unit
