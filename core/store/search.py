"""One search over the units of a bundle: by a text's meaning, by what an image does to them, by address, by likeness.

Every answer is ranked within its kind: a head's spread along a text, a neuron's cosine and a pair's are of different
scales, and the largest of all would be of one kind alone. `interleaved` makes one list of them, in turn.
Words in labels are `core.store.search_labels`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from core.errors import AddressError
from core.ids import Head, Neuron, Pair, parse
from core.store.store import Store
from core.store.texts import check_text
from core.store.units import Kind

NEAREST = 200
"""Units of each kind that one question looks through."""
By = Literal["meaning", "words", "image", "likeness", "address"]
_ANY_LAYER = re.compile(r"([NH])(0|[1-9][0-9]{0,6})")
_SPACES = re.compile(r"\s*(?:->|→|➝|>)\s*")
T = TypeVar("T")


@dataclass(frozen=True)
class Match:
    """One unit that answers, and why. `value` is of a head asked by meaning the deviation of ⟨c, t⟩ over the images,
    of any other by meaning or likeness a cosine, by image z, by words how well they fit (larger is better), by address
    0. `sign` says which end of the unit it is about; `told` the words that fit, and whose they are."""

    address: str
    kind: str
    by: By
    value: float
    sign: int = 1
    told: str = ""


Found = Mapping[str, Sequence[Match]]
"""Matches of each kind, best first."""


@dataclass(frozen=True)
class Numbers:
    """What units do in one image, less what they do on average: r (l, h, c) of the heads, x (l, n) of the neurons and
    x (l, n, m) of their pairs with the later heads. None: not known of this image."""

    head_lhc: np.ndarray | None = None
    neuron_ln: np.ndarray | None = None
    pair_lnm: np.ndarray | None = None


class Search:
    """Questions to one bundle. Thread-safe; AddressError, InputError as `Store`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # --- by meaning -------------------------------------------------------------------------------------------------

    def embedding(self, text: str) -> np.ndarray | None:
        """(o,) of a text that is in the bundle's pool, word for word; None for any other: that needs the live model."""
        row = self._pool.get(" ".join(text.split()))
        return None if row is None else np.asarray(self.store.bundle.array("text_embeddings")[row])

    def by_meaning(self, embedding_o: np.ndarray, k: int = NEAREST) -> Found:
        """Heads by the deviation of ⟨c, t⟩ over the images, neurons and pairs by |cosine| of their direction with the
        text less the pool's mean. A head's sign is its principal component's."""
        text_o = check_text(self.store.bundle, embedding_o)
        along_h = self._heads_ho @ text_o
        heads = [
            Match(score.address, "head", "meaning", score.std, _sign(along_h[self.store.units.row(score.address)]))
            for score in self.store.heads_for_text(text_o, k)
            if score.std > 0
        ]
        found: dict[str, Sequence[Match]] = {"head": heads}
        if self.store.neurons is not None:
            near = self.store.neurons.for_text(text_o, k)
            found["neuron"] = [_cosine(n.address, "neuron", "meaning", n.cosine) for n in near]
        if self.store.pairs is not None:
            rows = self.store.pairs.for_text(text_o, k)
            found["pair"] = [_cosine(row.address, "pair", "meaning", row.cosine or 0.0) for row in rows]
        return found

    # --- by likeness ------------------------------------------------------------------------------------------------

    def alike(self, address: str, k: int = NEAREST) -> Found:
        """The units of any kind whose direction is most alike or most opposite, by |cosine|; a head's direction is its
        first principal component. None for a unit that writes nothing."""
        units, store = self.store.units, self.store
        unit = units.parse(address)
        kind, row, direction_o = units.kind(address), units.row(address), units.direction(address)
        if not direction_o.any():
            return {}
        cosine_h = self._heads_ho @ direction_o
        order = np.argsort(-np.abs(cosine_h), kind="stable")
        heads = [
            _cosine(units.address("head", int(h)), "head", "likeness", float(cosine_h[h]))
            for h in order
            if cosine_h[h] and not (kind == "head" and h == row)
        ]
        found: dict[str, Sequence[Match]] = {"head": heads[:k]}
        if store.neurons is not None:
            near = store.neurons.along(direction_o, k, unit if isinstance(unit, Neuron) else None)
            found["neuron"] = [_cosine(n.address, "neuron", "likeness", n.cosine) for n in near]
        if store.pairs is not None:
            rows = store.pairs.along(direction_o, k, unit if isinstance(unit, Pair) else None)
            found["pair"] = [_cosine(r.address, "pair", "likeness", r.cosine or 0.0) for r in rows]
        return found

    # --- by image ---------------------------------------------------------------------------------------------------

    def numbers(self, image_id: int) -> Numbers:
        """What the bundle keeps of an image: its heads, and of a measured image its neurons and described pairs.
        AddressError for an image that is not there."""
        store = self.store
        image_id = store.images.check_ok(image_id)
        mean_lhc = np.asarray(store.bundle.array("mean"), np.float32)
        head_lhc = np.asarray(store.bundle.array("r")[:, :, image_id], np.float32) - mean_lhc
        if store.neurons is None:
            return Numbers(head_lhc)
        ids = np.asarray(store.neurons.array("image_ids"))
        at = int(np.searchsorted(ids, image_id))
        if at == len(ids) or ids[at] != image_id:
            return Numbers(head_lhc)
        neuron_ln = np.asarray(store.neurons.array("coef")[..., at], np.float32) * store.neurons.array("scale")
        if store.pairs is None or not store.bundle.has("pair_text_scores"):
            return Numbers(head_lhc, neuron_ln)
        pair_lnm = np.zeros(store.pairs.array("score").shape, np.float32)
        x_t = np.asarray(store.pairs.array("text_scores")[:, at], np.float32) * store.pairs.array("text_scale")
        pair_lnm.reshape(-1)[np.asarray(store.pairs.array("text_rows"))] = x_t
        return Numbers(head_lhc, neuron_ln, pair_lnm)

    def by_image(self, numbers: Numbers, k: int = NEAREST) -> Found:
        """The units that an image moves most beyond their usual, to either end: by |z|, z the unit's number there less
        its mean, in its standard deviations: of heads over all ok images, of neurons and described pairs (the others
        are left out) over the measured ones."""
        store, found = self.store, dict[str, Sequence[Match]]()
        if numbers.head_lhc is not None:
            along_h = np.einsum("hc,hc->h", numbers.head_lhc.reshape(self._axes_hc.shape), self._axes_hc)
            found["head"] = self._beyond("head", along_h, self._head_std, None, k)
        if numbers.neuron_ln is not None and store.neurons is not None:
            std = np.asarray(store.neurons.array("coef_std")).ravel()
            found["neuron"] = self._beyond("neuron", numbers.neuron_ln.ravel(), std, None, k)
        if numbers.pair_lnm is not None and store.pairs is not None:
            rows = np.asarray(store.pairs.array("text_rows"))
            std = np.asarray(store.pairs.array("std")).reshape(-1)[rows]
            found["pair"] = self._beyond("pair", numbers.pair_lnm.reshape(-1)[rows], std, rows, k)
        return found

    def _beyond(
        self, kind: Kind, number: np.ndarray, std: np.ndarray, rows: np.ndarray | None, k: int
    ) -> Sequence[Match]:
        """The k largest |number / std|; units that never vary left out. `rows` of the units, None: all in order."""
        z = np.asarray(number, np.float64) / np.where(std > 0, std, np.inf)
        order = np.argsort(-np.abs(z), kind="stable")[:k]
        row = lambda at: int(at if rows is None else rows[at])
        return [
            Match(self.store.units.address(kind, row(at)), kind, "image", float(z[at]), _sign(z[at]))
            for at in order
            if z[at]
        ]

    # --- by address -------------------------------------------------------------------------------------------------

    def by_address(self, text: str) -> Found | None:
        """The unit of an address in any letters, or all of a number in any layer ("N12"); None for text that is no
        address. AddressError, with what there is, for an address of a unit that is not here."""
        wanted = _SPACES.sub(">", text.strip().upper())
        if len(wanted) > 64:
            return None
        layers = _ANY_LAYER.fullmatch(wanted)
        if layers is not None and self.store.head_table.layers != [None]:
            return self._any_layer(layers[1], int(layers[2]))
        try:
            unit = parse(wanted)
        except AddressError as error:
            if wanted and re.fullmatch(r"[LNH0-9.>]*[0-9]", wanted) and re.search("[LNH][0-9]", wanted):
                raise AddressError(str(error)) from None  # meant as an address, such as a pair read by an earlier head
            return None
        self.store.units.parse(wanted)
        kind = self.store.units.kind(wanted)
        return {kind: [Match(str(unit), kind, "address", 0.0)]}

    def _any_layer(self, letter: str, number: int) -> Found:
        """The heads or neurons of this number, one a layer."""
        kind: Kind = "head" if letter == "H" else "neuron"
        if kind not in self.store.units.kinds:
            raise AddressError(f"This bundle has no {kind}s.")
        table = self.store.neurons
        if letter == "H" or table is None:
            layers, many = self.store.head_table.layers, self.store.head_table.heads
        else:
            layers, many = list(table.layers), table.neurons
        if number >= many:
            raise AddressError(f"No layer of this bundle has {letter}{number}: each has {kind}s 0 to {many - 1:,}.")
        each = (Head(layer, number) if letter == "H" else Neuron(layer, number) for layer in layers)
        return {kind: [Match(str(unit), kind, "address", 0.0) for unit in each]}

    # --- inside -----------------------------------------------------------------------------------------------------

    @cached_property
    def _pool(self) -> dict[str, int]:
        texts = self.store.bundle.table("pool")["text"].to_pylist()
        return {text: row for row, text in reversed(list(enumerate(texts)))}  # of texts that are twice there, the first

    @cached_property
    def _heads_ho(self) -> np.ndarray:
        """(heads, o) directions of the heads."""
        return np.stack([self.store.units.direction(head.address) for head in self.store.heads()])

    @cached_property
    def _axes_hc(self) -> np.ndarray:
        """(heads, c) the same in the heads' own coordinates; their bases are orthonormal."""
        basis = np.asarray(self.store.bundle.array("basis"))
        return np.einsum("hoc,ho->hc", basis.reshape(-1, *basis.shape[2:]), self._heads_ho)

    @cached_property
    def _head_std(self) -> np.ndarray:
        cov = np.asarray(self.store.bundle.array("cov"), np.float64)
        axes = self._axes_hc.astype(np.float64)
        return np.sqrt(np.maximum(np.einsum("hc,hcd,hd->h", axes, cov.reshape(-1, *cov.shape[2:]), axes), 0))


def interleaved(lists: Iterable[Sequence[T]]) -> list[T]:
    """The first of each list, then the second of each, and so on."""
    kept = [each for each in lists if each]
    return [each[at] for at in range(max(map(len, kept), default=0)) for each in kept if at < len(each)]


def _cosine(address: str, kind: str, by: By, cosine: float) -> Match:
    return Match(address, kind, by, cosine, _sign(cosine))


def _sign(value: float) -> int:
    return -1 if value < 0 else 1
