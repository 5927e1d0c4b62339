"""What a bundle stores of its MLP neurons (paper N). See `NeuronTable`; `Store.neurons` is one, or None."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core.bundle.faiss_store import search
from core.bundle.read import Bundle
from core.bundle.schema import LISTS
from core.errors import AddressError, InputError
from core.ids import Head, Neuron, parse, traced
from core.methods.clusters import chance_distance, concept_clusters
from core.store import answers as a
from core.store import neuron_answers as n
from core.store.scan import Scores
from core.store.spread import histogram, intervals
from core.store.texts import check_text

if TYPE_CHECKING:
    from core.methods.sparse_text import SparseText

_LABEL_TEXTS = 3

Fold = Callable[[Sequence[a.Hit]], tuple[a.Hit, ...]]


class NeuronTable:
    """Answers about the neurons of one bundle, given by address ("L9.N1234" or `core.ids.Neuron`).

    Thread-safe. Population of all statistics: the measured images. Raises AddressError for a neuron that is not there,
    InputError for an argument that makes no sense.
    """

    def __init__(self, bundle: Bundle, fold: Fold, fold_above: float) -> None:
        self.bundle = bundle
        self._fold, self._fold_above = fold, fold_above
        self.layers: tuple[int | None, ...] = tuple(bundle.axes["neuron_layer"].labels or [])
        self.traced = traced(self.layers)
        self.neurons = bundle.axes["neuron"].size
        self.population = a.Population(bundle.axes["neuron_image"].size, bundle.facts["manifest"]["ok"])
        self.lists: tuple[str, ...] = tuple(bundle.axes["neuron_list"].labels or LISTS)
        self._opened: dict[str, np.ndarray] = {}

    def at(self, address: str | Neuron) -> tuple[int, int]:
        """Position of a neuron in the arrays. AddressError."""
        unit = parse(address) if isinstance(address, str) else address
        if not isinstance(unit, Neuron):
            raise AddressError(f"{address} is no neuron. A neuron is L9.N1234.")
        if unit.layer not in self.layers or unit.neuron >= self.neurons:
            named = [str(layer) for layer in self.layers if layer is not None]
            last = self.neurons - 1
            there = f"layers {', '.join(named)}, neurons 0 to {last}" if named else f"N0 to N{last}, without a layer"
            raise AddressError(f"{unit} is not among this bundle's neurons: {there}.")
        return self.layers.index(unit.layer), unit.neuron

    def address(self, row: int) -> str:
        """Address of a row of the index, layer position × neurons + neuron."""
        i, neuron = divmod(int(row), self.neurons)
        return str(Neuron(self.layers[i], neuron))

    def columns(self) -> n.NeuronColumns:
        """Every neuron, for a table."""
        return self._columns

    def summary(self, address: str | Neuron) -> n.NeuronSummary:
        i, j = self.at(address)
        number = lambda name: float(self.array(name)[i, j])
        return n.NeuronSummary(
            address=str(Neuron(self.layers[i], j)),
            layer=self.layers[i],
            neuron=j,
            label=self.label(i * self.neurons + j),
            std=number("coef_std"),
            explained=number("explained"),
            explained_all=number("explained_all"),
            threshold=number("threshold"),
            share_above=number("share_above"),
            concepts=int(self.array("concepts")[i, j]),
            activation_mean=number("activation_mean"),
            mean_norm=number("mean_norm"),
            population=self.population,
        )

    def label(self, row: int) -> str:
        """The first texts with their signs; for a row as in `address`."""
        return self._columns.label[row]

    def text(self, address: str | Neuron, picks: int | None = None) -> n.SparseLabel:
        """The sparse decomposition with the first `picks` texts (default: all that are stored). Fewer texts are fitted
        anew: the coefficients of a least squares fit depend on how many there are."""
        i, j = self.at(address)
        stored = int((self.array("text_index")[i, j] >= 0).sum())
        count = stored if picks is None else min(max(1, picks), stored)
        index_m = np.asarray(self.array("text_index")[i, j, :count])
        coef_m = np.asarray(self.array("text_coef")[i, j, :count])
        if 0 < count < stored:
            coef_m = self.refit(np.asarray(self.array("direction")[i, j], np.float64), index_m)
        terms = tuple(
            n.SparseTerm(int(w), self._pool[int(w)].as_py(), float(c)) for w, c in zip(index_m, coef_m, strict=True)
        )
        left_m = np.array(self.array("text_error")[i, j, :count], np.float64)
        return n.SparseLabel(str(Neuron(self.layers[i], j)), terms, left_m)

    def ends(self, address: str | Neuron, k: int = 24, fold: bool = True) -> a.Ends:
        """The k images of largest and of smallest coefficient, near-duplicates folded."""
        scores = self.scores(address, "coef")
        order = np.argsort(-scores.score_n, kind="stable")
        backwards = np.argsort(scores.score_n, kind="stable")
        plus, minus = (self._hits(scores, rows[: 2 * k], fold)[:k] for rows in (order, backwards))
        return a.Ends(plus, minus, self._fold_above, self.population)

    def top(self, address: str | Neuron, by: str, k: int = 24, fold: bool = True) -> tuple[a.Hit, ...]:
        """The stored images of one of `lists`, the most extreme first. InputError for another name."""
        i, j = self.at(address)
        if by not in self.lists:
            raise InputError(f"Images of a neuron are listed by {', '.join(self.lists)}; not by {by[:40]!r}.")
        at = self.lists.index(by)
        ids, scores = self.array("top_ids")[i, j, at], self.array("top_scores")[i, j, at]
        hits = [a.Hit(int(m), float(s)) for m, s in zip(ids, scores, strict=True) if m >= 0]
        return (self._fold(hits) if fold else tuple(hits))[: max(0, k)]

    def scores(self, address: str | Neuron, of: str = "coef") -> Scores:
        """Coefficient x ("coef") or ‖φ - b‖ ("norm") of every measured image, to half precision."""
        i, j = self.at(address)
        if of not in ("coef", "norm"):
            raise InputError(f"A neuron's scores are its 'coef' or 'norm', not {of[:40]!r}.")
        value = np.asarray(self.array(of)[i, j], np.float32) * self.array("scale")[i, j]
        return Scores(np.asarray(self.array("image_ids")), value)

    def intervals(self, address: str | Neuron, per_row: int, levels: Sequence[float]) -> a.Intervals:
        """Measured images by quantile interval of the coefficient."""
        return intervals(self.scores(address), per_row, levels, self.population)

    def histogram(self, address: str | Neuron, of: str = "coef", bins: int = 60) -> a.Histogram:
        """How coefficient or norm is distributed over the measured images."""
        return histogram(self.scores(address, of), bins, self.population)

    def carriers(self, address: str | Neuron) -> tuple[n.Carrier, ...]:
        """The later heads by the size of their share, largest first."""
        i, j = self.at(address)
        share_m, labels = np.asarray(self.array("later_share")[i, j]), self.bundle.axes["later_head"].labels or []
        order = [m for m in np.argsort(-np.abs(share_m), kind="stable") if share_m[m] != 0]
        return tuple(n.Carrier(labels[m], float(share_m[m])) for m in order)

    def through(self, head: str | Head, k: int = 12) -> tuple[n.WritingNeuron, ...]:
        """The neurons that write most through a head: by |share| · std, the part of the coefficient's deviation that
        the head carries. None for a head that is not later than any analysed layer. AddressError for what is none."""
        name = str(parse(head) if isinstance(head, str) else head)
        labels = self.bundle.axes["later_head"].labels or []
        if name not in labels:
            return ()
        share_ln = np.asarray(self.array("later_share")[..., labels.index(name)], np.float64)
        carried = (share_ln * self.array("coef_std")).ravel()
        order = np.argsort(-np.abs(carried), kind="stable")[: max(0, k)]
        share = share_ln.ravel()
        return tuple(
            n.WritingNeuron(self.address(row), self.label(row), float(share[row]), float(carried[row]))
            for row in order
            if carried[row]
        )

    def similar(self, address: str | Neuron, k: int = 12) -> tuple[n.SimilarNeuron, ...]:
        """Neurons of the analysed layers whose direction is most alike or most opposite, by |cosine|."""
        i, j = self.at(address)
        return self._by_direction(np.asarray(self.array("direction")[i, j]), k, np.array([i * self.neurons + j]))

    def for_text(self, embedding_o: np.ndarray, k: int = 12) -> tuple[n.SimilarNeuron, ...]:
        """The neurons whose direction is most along or against a text's unit embedding less the pool's mean."""
        centred_o = check_text(self.bundle, embedding_o) - self.pool_mean
        return self.along(centred_o / max(float(np.linalg.norm(centred_o)), 1e-12), k)

    def along(self, direction_o: np.ndarray, k: int, without: Neuron | None = None) -> tuple[n.SimilarNeuron, ...]:
        """The neurons whose direction is most along or against a unit direction (o,); `without` is left out."""
        excluded = np.array(
            [] if without is None else [self.at(without)[0] * self.neurons + self.at(without)[1]], np.int64
        )
        return self._by_direction(np.asarray(direction_o, np.float32), k, excluded)

    def concepts(self, address: str | Neuron) -> tuple[n.Concept, ...]:
        """The clusters of its images of largest norm, the largest cluster first, strays last."""
        scores = self.scores(address, "norm")
        if not scores.score_n.any():
            return ()
        count = min(int(self.bundle.facts["neurons"]["largest_norms"]), len(scores.id_n))
        rows = np.argsort(-scores.score_n, kind="stable")[:count]
        cluster_i = concept_clusters(self._units[scores.id_n[rows]].astype(np.float32), self._chance)
        numbers = [*range(int(cluster_i.max(initial=-1)) + 1), *([-1] if (cluster_i < 0).any() else [])]
        return tuple(
            n.Concept(None if c < 0 else c, self._hits(scores, rows[cluster_i == c], fold=False)) for c in numbers
        )

    def of_image(self, image_id: int, k: int = 24) -> tuple[n.ActiveNeuron, ...] | None:
        """Neurons active in an image of the bundle, by norm over threshold; None if it was not measured."""
        ids = self.array("image_ids")
        row = int(np.searchsorted(ids, image_id))
        if row >= len(ids) or ids[row] != image_id:
            return None
        bounds = self.array("active_offsets")[row : row + 2]
        units = np.asarray(self.array("active_units")[bounds[0] : bounds[1]])
        i, j = np.divmod(units, self.neurons)
        scale, threshold = self.array("scale")[i, j], self.array("threshold")[i, j]
        norm, coef = (np.asarray(self.array(name)[i, j, row], np.float32) * scale for name in ("norm", "coef"))
        over = norm / np.maximum(threshold, np.finfo(np.float32).tiny)
        order = np.argsort(-over, kind="stable")[: max(0, k)]
        return tuple(
            n.ActiveNeuron(self.address(units[m]), self.label(units[m]), float(norm[m]), float(coef[m]), float(over[m]))
            for m in order
        )

    def relabel(
        self,
        texts: Sequence[str],
        embeddings_wo: np.ndarray,
        picks: int = 10,
        address: str | Neuron | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[n.RelabelledNeuron, ...]:
        """Sparse decomposition over another pool: `texts` with unit embeddings (w, o), for one neuron or (None) all.
        Raises PoolError for a pool whose texts are all one."""
        if len(texts) != len(embeddings_wo):
            raise InputError(f"{len(texts)} texts came with {len(embeddings_wo)} embeddings.")
        import torch  # pages that only read bundles need not wait for it

        from core.methods.sparse_text import AtomScaling, pursue, text_atoms

        atoms_wo = text_atoms(torch.from_numpy(np.array(embeddings_wo, np.float32)), AtomScaling.UNIT)
        where = [self.at(address)] if address is not None else list(np.ndindex(len(self.layers), self.neurons))
        direction_no = np.stack([np.asarray(self.array("direction")[i, j]) for i, j in where])
        count = min(picks, len(texts), direction_no.shape[1])
        made = pursue(torch.from_numpy(direction_no), atoms_wo, count, progress=progress)
        return tuple(self._relabelled(i, j, texts, made, at) for at, (i, j) in enumerate(where))

    def pool_text(self, row: int) -> str:
        """A text of the bundle's pool."""
        return str(self._pool[row].as_py())

    def pool_texts(self, rows: np.ndarray) -> list[str]:
        """Texts of the bundle's pool."""
        return list(self._pool.take(rows).to_pylist())

    @cached_property
    def pool_mean(self) -> np.ndarray:
        """(o,) mean embedding of the bundle's pool, which sparse decompositions take off every text."""
        return self.bundle.array("text_embeddings").mean(0, dtype=np.float64).astype(np.float32)

    def refit(self, direction_o: np.ndarray, index_m: np.ndarray) -> np.ndarray:
        """Least squares coefficients of the texts given; atoms are centred and of norm one."""
        atoms_mo = np.asarray(self.bundle.array("text_embeddings")[index_m], np.float64) - self.pool_mean
        atoms_mo /= np.linalg.norm(atoms_mo, axis=1, keepdims=True)
        return np.linalg.lstsq(atoms_mo.T, direction_o)[0]

    def _relabelled(self, i: int, j: int, texts: Sequence[str], made: "SparseText", at: int) -> n.RelabelledNeuron:
        index_m, coef_m = made.index_nm[at].tolist(), made.coefficient_nm[at].tolist()
        terms = tuple(n.SparseTerm(w, texts[w], float(c)) for w, c in zip(index_m, coef_m, strict=True) if w >= 0)
        name = str(Neuron(self.layers[i], j))
        after = n.SparseLabel(name, terms, made.residual_nm[at, : len(terms)].numpy())
        before = self.text(name, len(terms) or 1)
        changed = [term.text for term in after.terms[:1]] != [term.text for term in before.terms[:1]]
        return n.RelabelledNeuron(after, before, changed)

    def _by_direction(self, direction_o: np.ndarray, k: int, excluded: np.ndarray) -> tuple[n.SimilarNeuron, ...]:
        if not direction_o.any():
            return ()
        queries = np.stack([direction_o, -direction_o])
        scores, ids = search(self.bundle.index("neurons"), queries, max(1, min(k, 500)), excluded, metric="ip")
        found = [(float(sign * s), int(row)) for sign, ss, rows in zip((1, -1), scores, ids, strict=True)
                 for s, row in zip(ss, rows, strict=True) if row >= 0]  # fmt: skip
        best = sorted(set(found), key=lambda pair: (-abs(pair[0]), pair[1]))[: max(0, k)]
        return tuple(n.SimilarNeuron(self.address(row), self.label(row), cosine) for cosine, row in best)

    def _hits(self, scores: Scores, rows: np.ndarray, fold: bool) -> tuple[a.Hit, ...]:
        hits = [a.Hit(int(scores.id_n[m]), float(scores.score_n[m])) for m in rows]
        return self._fold(hits) if fold else tuple(hits)

    def array(self, name: str) -> np.ndarray:
        """The bundle's array neuron_`name`: a memory map, opened once (or twice by two threads, which is harmless)."""
        if name not in self._opened:
            self._opened[name] = self.bundle.array(f"neuron_{name}")
        return self._opened[name]

    @cached_property
    def _columns(self) -> n.NeuronColumns:
        flat = lambda name: np.array(self.array(name)).reshape(-1)
        index_nm = np.asarray(self.array("text_index")[..., :_LABEL_TEXTS]).reshape(-1, _LABEL_TEXTS)
        coef_nm = np.asarray(self.array("text_coef")[..., :_LABEL_TEXTS]).reshape(-1, _LABEL_TEXTS)
        names = self.pool_texts(index_nm.clip(0).ravel())
        texts = [names[m : m + _LABEL_TEXTS] for m in range(0, len(names), _LABEL_TEXTS)]
        labels = tuple(
            signed_label([(t, c) for t, c, w in zip(text, coef, index, strict=True) if w >= 0])
            for text, coef, index in zip(texts, coef_nm.tolist(), index_nm.tolist(), strict=True)
        )
        layers, neurons = np.divmod(np.arange(len(labels)), self.neurons)
        return n.NeuronColumns(
            address=tuple(self.address(row) for row in range(len(labels))),
            layer=np.array(self.layers)[layers],
            neuron=neurons,
            label=labels,
            std=flat("coef_std"),
            explained=flat("explained"),
            share_above=flat("share_above"),
            concepts=flat("concepts"),
            population=self.population,
        )

    @cached_property
    def _pool(self) -> Any:
        return self.bundle.table("pool")["text"]

    @cached_property
    def _units(self) -> np.memmap:
        return self.bundle.array("representations")

    @cached_property
    def _chance(self) -> float:
        return chance_distance(self._units[np.asarray(self.array("image_ids"))])


def signed_label(terms: Sequence[tuple[str, float]]) -> str:
    """ "snow, −beach": texts in order of choice, those with negative coefficients marked."""
    return "; ".join(f"−{text}" if coefficient < 0 else text for text, coefficient in terms)
