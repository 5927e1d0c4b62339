"""One way to ask about a unit of any kind: what it is called, its number in every image, its two ends, its direction.

A neuron's number is the coefficient x of its second-order effect, a pair's that of its own. A head writes many
dimensions; its number here is the coordinate along its **first principal component** over the ok images, the one
direction that says most of what it does, turned so that the text of TextSpan's whose score follows it most closely
points along it. That text need not be the first choice: TextSpan's texts span all that a head writes, and in the demo
models the first choice's score correlates with the component at anything from 0.06 to 0.99.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.bundle.schema_pairs import LEVELS
from core.errors import AddressError
from core.ids import Head, Neuron, Pair, Unit, parse
from core.store import answers as a
from core.store.neurons import NeuronTable
from core.store.pairs import PairTable
from core.store.scan import Scores

if TYPE_CHECKING:
    from core.store.store import Store

Kind = Literal["head", "neuron", "pair"]
KINDS: tuple[Kind, ...] = ("head", "neuron", "pair")
TEXTS = 10
_TYPES: dict[type, Kind] = {Head: "head", Neuron: "neuron", Pair: "pair"}


@dataclass(frozen=True)
class UnitCard:
    """A unit in short. `label` its automatic label in one line, "" for a pair that is not described; `plus` and `minus`
    the texts of its automatic label for either end, strongest first; `importance` see `Units.importance`."""

    address: str
    kind: Kind
    layer: int | None
    label: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    importance: float


class Units:
    """Answers about the units of one bundle whatever their kind. Thread-safe; AddressError for what is not there."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that this bundle has."""
        has = {"head": True, "neuron": self._store.neurons is not None, "pair": self._store.pairs is not None}
        return tuple(kind for kind in KINDS if has[kind])

    def parse(self, address: str) -> Unit:
        """A unit of this bundle. AddressError."""
        unit = parse(address)
        self._at(unit)
        return unit

    def kind(self, address: str) -> Kind:
        """Of a canonical address, whether or not this bundle has it. AddressError."""
        return _TYPES[type(parse(address))]

    def count(self, kind: Kind) -> int:
        """How many units of a kind there are."""
        return len(self.importance(kind))

    def importance(self, kind: Kind) -> np.ndarray:
        """What units of a kind are ordered by, at their rows: of a head its share of the output's variance, of a neuron
        the deviation of its coefficient, of a pair its score; 0 where a pair's head is not later than its neuron."""
        return self._importance[kind] if kind in self.kinds else np.zeros(0)

    def address(self, kind: Kind, row: int) -> str:
        """Address of a row: heads and neurons layer by layer, pairs by flat row (see PairTable)."""
        store = self._store
        if kind == "head":
            return store.head_table.address(*divmod(int(row), store.head_table.heads))
        return (self._neurons if kind == "neuron" else self._pairs).address(row)

    def row(self, address: str) -> int:
        """The row of a unit among those of its kind. AddressError."""
        unit = self.parse(address)
        if isinstance(unit, Pair):
            return self._pairs.row(unit)
        i, n = self._at(unit)[:2]
        return i * (self._store.head_table.heads if isinstance(unit, Head) else self._neurons.neurons) + n

    def label(self, kind: Kind, row: int) -> str:
        """The automatic label in one line; "" for a pair that is not described."""
        if kind == "head":
            return self._store.head_table.summaries[int(row)].label
        return (self._neurons if kind == "neuron" else self._pairs).label(int(row))

    def card(self, address: str, texts: int = TEXTS) -> UnitCard:
        """A unit in short; a pair that is not described is decomposed now (see PairTable.text)."""
        unit, kind = self.parse(address), self.kind(address)
        row = self.row(address)
        layer = unit.neuron.layer if isinstance(unit, Pair) else unit.layer
        signed = self.texts(address, texts)
        plus, minus = (tuple(text for text, weight in signed if sign * weight > 0) for sign in (1, -1))
        return UnitCard(str(unit), kind, layer, self.label(kind, row), plus, minus, float(self.importance(kind)[row]))

    def texts(self, address: str, count: int = TEXTS) -> tuple[tuple[str, float], ...]:
        """The texts of the automatic label, strongest first, each with its weight: of a head, TextSpan's texts by the
        correlation of their scores with the head's number, else the coefficients of the sparse decomposition."""
        unit = self.parse(address)
        if isinstance(unit, Head):
            picks_m, r_m = self._followed[self._store.head_table.at(unit)]
            found = self._store.head(unit).texts
            return tuple((found[pick].text, float(r)) for pick, r in list(zip(picks_m, r_m, strict=True))[:count])
        label = self._pairs.text(unit, count) if isinstance(unit, Pair) else self._neurons.text(unit, count)
        return tuple((term.text, term.coefficient) for term in label.terms)

    def direction(self, address: str) -> np.ndarray:
        """(o,) unit direction in the joint space; zeros for a unit that writes nothing."""
        unit = self.parse(address)
        store = self._store
        if isinstance(unit, Head):
            i, h = store.head_table.at(unit)
            return np.asarray(store.bundle.array("basis")[i, h] @ self._axis(i, h), np.float32)
        if isinstance(unit, Pair):
            return self._pairs.direction(unit)
        return np.array(self._neurons.array("direction")[self._neurons.at(unit)])

    def ends(self, address: str, k: int = 24, fold: bool = True) -> a.Ends:
        """The images at either end of its number, most extreme first."""
        unit = self.parse(address)
        if isinstance(unit, Head):
            return self._store.ends(unit, self.direction(address), k, fold)
        return self._pairs.ends(unit, k, fold) if isinstance(unit, Pair) else self._neurons.ends(unit, k, fold)

    def intervals(self, address: str, per_row: int = 8) -> a.Intervals:
        """Images by quantile interval of its number, highest first."""
        unit = self.parse(address)
        if isinstance(unit, Head):
            return self._store.intervals(unit, self.direction(address), per_row)
        if isinstance(unit, Pair):
            return self._pairs.intervals(unit, per_row)
        return self._neurons.intervals(unit, per_row, LEVELS)

    def scores(self, address: str) -> Scores | None:
        """Its number in images spread evenly over the bundle (measured images; of a head at most as many as a scan
        takes); None for a pair whose coefficients are not kept, which are all that are not described."""
        unit = self.parse(address)
        if isinstance(unit, Head):
            return self._store.scores(unit, self.direction(address))
        return self._pairs.scores(unit) if isinstance(unit, Pair) else self._neurons.scores(unit)

    def _axis(self, i: int, h: int) -> np.ndarray:
        """First principal component of a head in its own coordinates (c,), turned toward the text that follows it."""
        return np.asarray(self._axes[i, h] * (-1 if self._turned[i, h] else 1), np.float32)

    @cached_property
    def _axes(self) -> np.ndarray:
        """The components (l, h, c) with the sign that they came with; zeros for a head that writes nothing."""
        cov = np.asarray(self._store.bundle.array("cov"), np.float64)
        axes_lhc = np.linalg.eigh(cov)[1][..., -1]
        axes_lhc[np.trace(cov, axis1=-2, axis2=-1) <= 0] = 0
        return axes_lhc

    @cached_property
    def _correlated(self) -> dict[tuple[int, int], np.ndarray]:
        """Of every head, (m,) the correlations of its texts' scores with its component, by pick."""
        store = self._store
        cov, index = np.asarray(store.bundle.array("cov"), np.float64), store.bundle.array("text_index")
        made = {}
        for i, h in np.ndindex(index.shape[:2]):
            rows = np.asarray(index[i, h])
            texts_mo = np.asarray(store.bundle.array("text_embeddings")[rows[rows >= 0]], np.float64)
            in_head_mc, axis_c = texts_mo @ store.bundle.array("basis")[i, h], self._axes[i, h]
            with_axis_m = in_head_mc @ cov[i, h] @ axis_c
            spread_m = np.einsum("mc,cd,md->m", in_head_mc, cov[i, h], in_head_mc) * (axis_c @ cov[i, h] @ axis_c)
            made[i, h] = with_axis_m / np.sqrt(np.maximum(spread_m, np.finfo(np.float64).tiny))
        return made

    @cached_property
    def _turned(self) -> np.ndarray:
        """(l, h) where the text of closest score points against the component as it came."""
        closest = {at: r_m[np.abs(r_m).argmax()] for at, r_m in self._correlated.items() if len(r_m)}
        turned = np.zeros(self._axes.shape[:2], bool)
        for at, r in closest.items():
            turned[at] = r < 0
        return turned

    @cached_property
    def _followed(self) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
        """Of every head its picks, the one of closest score first, and their correlations with the head's number."""
        made = {}
        for at, r_m in self._correlated.items():
            order = np.argsort(-np.abs(r_m), kind="stable")
            made[at] = order, r_m[order] * (-1 if self._turned[at] else 1)
        return made

    @cached_property
    def _importance(self) -> dict[Kind, np.ndarray]:
        store = self._store
        made: dict[Kind, Callable[[], np.ndarray]] = {
            "head": lambda: np.array([head.share for head in store.heads()]),
            "neuron": lambda: np.array(self._neurons.array("coef_std")).ravel(),
            "pair": lambda: np.array(self._pairs.array("score")).ravel(),
        }
        return {kind: made[kind]() for kind in self.kinds}

    def _at(self, unit: Unit) -> tuple[int, ...]:
        if isinstance(unit, Head):
            return self._store.head_table.at(unit)
        return self._neurons.at(unit) if isinstance(unit, Neuron) else self._pairs.at(unit)

    @property
    def _neurons(self) -> NeuronTable:
        if self._store.neurons is None:
            raise AddressError("This bundle has heads and no neurons.")
        return self._store.neurons

    @property
    def _pairs(self) -> PairTable:
        if self._store.pairs is None:
            raise AddressError("This bundle has no neuron-head pairs.")
        return self._store.pairs
