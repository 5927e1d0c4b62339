"""The texts of neuron-head pairs: the stored decompositions of the described ones, and any other's made when asked."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from core.store.neuron_answers import SparseLabel, SparseTerm
from core.store.neurons import NeuronTable, signed_label

if TYPE_CHECKING:
    from core.methods.sparse_text import Dictionary

NOW = 20
"""Texts of a decomposition that is made when asked for: each costs a pass over the pool."""
_LABEL_TEXTS = 3
_KEPT = 5_000


class PairTexts:
    """Sparse decompositions of the directions d̂ of pairs, by flat row. Thread-safe.

    `array(name)` gives the bundle's pair arrays; `direction(row)` a pair's d̂ (o,), `address(row)` its address.
    """

    def __init__(
        self,
        neurons: NeuronTable,
        array: Callable[[str], np.ndarray],
        direction: Callable[[int], np.ndarray],
        address: Callable[[int], str],
    ) -> None:
        self._neurons, self._array = neurons, array
        self._direction, self._address = direction, address
        self._made: OrderedDict[int, SparseLabel] = OrderedDict()
        self._named: OrderedDict[int, str] = OrderedDict()
        self._lock = threading.Lock()

    def described(self, row: int) -> int | None:
        """Where a described pair lies among those; None for any other."""
        return self._at.get(int(row))

    def label(self, row: int) -> str:
        """The first texts of a described pair with their signs; "" for one that is not."""
        return self._labels.get(int(row), "")

    def names(self, rows: Sequence[int]) -> list[str]:
        """The same, and of pairs that are not described the first texts by a decomposition into so many, made now."""
        with self._lock:
            known = {row: self._named[row] for row in rows if row in self._named}
        missing = [row for row in dict.fromkeys(rows) if row not in self._at and row not in known]
        if missing:
            known |= dict(zip(missing, map(_short, self._decomposed(missing, _LABEL_TEXTS)), strict=True))
            with self._lock:
                self._named.update(known)
                while len(self._named) > _KEPT:
                    self._named.popitem(last=False)
        return [known[row] if row in known else self.label(row) for row in rows]

    def having(self, words: str) -> np.ndarray:
        """Flat rows, ascending, of the described pairs whose label has these words."""
        wanted = words.casefold()
        return np.array(sorted(row for row, label in self._labels.items() if wanted in label.casefold()), np.int64)

    def whole(self, rows: Sequence[int]) -> tuple[SparseLabel, ...]:
        """All texts of these pairs; those that are not described are decomposed now, together, into at most NOW texts,
        and kept."""
        with self._lock:
            found = {row: self._made[row] for row in rows if row in self._made}
        found |= {row: self._stored(row) for row in rows if row not in found and row in self._at}
        if missing := [row for row in dict.fromkeys(rows) if row not in found]:
            found |= dict(zip(missing, self._decomposed(missing, NOW), strict=True))
        with self._lock:
            self._made.update(found)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return tuple(found[row] for row in rows)

    def first(self, row: int, picks: int | None) -> SparseLabel:
        """The first `picks` texts (None: all), fitted anew where these are fewer."""
        whole = self.whole([row])[0]
        if picks is None or max(1, picks) >= len(whole.terms):
            return whole
        terms = whole.terms[: max(1, picks)]
        index_m = np.array([term.row for term in terms])
        coef_m = self._neurons.refit(np.asarray(self._direction(row), np.float64), index_m)
        fitted = tuple(SparseTerm(t.row, t.text, float(c)) for t, c in zip(terms, coef_m, strict=True))
        return SparseLabel(whole.address, fitted, whole.left_m[: len(terms)])

    def _stored(self, row: int) -> SparseLabel:
        at = self._at[row]
        return self._sparse(row, *(np.asarray(self._array(f"text_{of}")[at]) for of in ("index", "coef", "error")))

    def _decomposed(self, rows: Sequence[int], most: int) -> list[SparseLabel]:
        import torch  # pages that only read bundles need not wait for it

        from core.methods.sparse_text import pursue

        direction_no = torch.from_numpy(np.stack([self._direction(row) for row in rows]))
        picks = min(most, self._array("text_index").shape[1], len(self._atoms.atoms_wo), direction_no.shape[1])
        made = pursue(direction_no, self._atoms, picks)
        parts = zip(rows, made.index_nm.numpy(), made.coefficient_nm.numpy(), made.residual_nm.numpy(), strict=True)
        return [self._sparse(*part) for part in parts]

    def _sparse(self, row: int, index_m: np.ndarray, coef_m: np.ndarray, left_m: np.ndarray) -> SparseLabel:
        given = index_m >= 0
        texts = self._neurons.pool_texts(index_m[given])
        terms = map(SparseTerm, index_m[given].tolist(), texts, coef_m[given].tolist())
        return SparseLabel(self._address(row), tuple(terms), np.asarray(left_m[given], np.float64))

    @cached_property
    def _atoms(self) -> "Dictionary":
        """The pool's atoms in single precision and their screening copy: at most 184 MB for 30,000 texts of 768
        numbers, kept, as they take several times as long to make as a pair takes to decompose."""
        import torch

        from core.methods.sparse_text import AtomScaling, Dictionary, text_atoms

        texts = np.array(self._neurons.bundle.array("text_embeddings"))
        return Dictionary(text_atoms(torch.from_numpy(texts), AtomScaling.UNIT).float())

    @cached_property
    def _at(self) -> dict[int, int]:
        return {int(row): at for at, row in enumerate(self._array("text_rows"))}

    @cached_property
    def _labels(self) -> dict[int, str]:
        index_tm = np.asarray(self._array("text_index")[:, :_LABEL_TEXTS])
        coef_tm = np.asarray(self._array("text_coef")[:, :_LABEL_TEXTS]).tolist()
        names, width = self._neurons.pool_texts(index_tm.clip(0).ravel()), index_tm.shape[1]
        made = {}
        for row, at in self._at.items():
            terms = zip(names[at * width : (at + 1) * width], coef_tm[at], index_tm[at], strict=True)
            made[row] = signed_label([(text, c) for text, c, w in terms if w >= 0])
        return made


def _short(label: SparseLabel) -> str:
    return signed_label([(term.text, term.coefficient) for term in label.terms])
