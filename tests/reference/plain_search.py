"""The search over units by definition: every unit asked in turn, exact dot products, every label read."""

import contextlib
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from core.errors import AddressError
from core.store import Store

Values = dict[str, dict[str, float]]
"""Of each kind, every unit's number by its address."""


def every(store: Store, kind: str) -> Iterable[str]:
    """Addresses of the units of a kind that write anything."""
    for row in range(store.units.count(kind)):
        address = store.units.address(kind, row)
        with contextlib.suppress(AddressError):  # a row of a pair whose head is not later
            if store.units.direction(address).any():
                yield address


def by_meaning(store: Store, text_o: np.ndarray) -> Values:
    """Heads by the deviation of ⟨r, Qᵀt⟩ over ok images, neurons and pairs by cosine with t less the pool's mean."""
    t = text_o.astype(np.float64)
    centred_o = t - store.bundle.array("text_embeddings").astype(np.float64).mean(0)
    centred_o /= np.linalg.norm(centred_o)
    r, basis, ok = store.bundle.array("r"), store.bundle.array("basis"), np.flatnonzero(store.images.ok_n)
    found: Values = {"head": {}}
    for head in store.heads():
        i, h = store.head_table.at(head.address)
        scores = r[i, h][ok].astype(np.float64) @ (basis[i, h].T.astype(np.float64) @ t)
        found["head"][head.address] = float(scores.std())
    for kind in store.units.kinds[1:]:
        found[kind] = {address: float(store.units.direction(address) @ centred_o) for address in every(store, kind)}
    return found


def alike(store: Store, address: str) -> Values:
    """Cosine of every other unit's direction."""
    own_o = store.units.direction(address).astype(np.float64)
    return {
        kind: {other: float(store.units.direction(other) @ own_o) for other in every(store, kind) if other != address}
        for kind in store.units.kinds
    }


def by_image(store: Store, image: int) -> Values:
    """(number - mean) / std of every unit whose number in this image is kept, from the numbers themselves."""
    found: Values = {}
    for kind in store.units.kinds:
        found[kind] = {}
        for address in every(store, kind):
            scores = store.units.scores(address)
            if scores is None:
                continue
            number = scores.score_n.astype(np.float64)
            at = np.flatnonzero(scores.id_n == image)
            if len(at) and number.std() > 0:
                found[kind][address] = float((number[at[0]] - number.mean()) / number.std())
    return found


def strongest(values: dict[str, float], k: int) -> list[tuple[str, float]]:
    """The k units of largest |value|, largest first."""
    return sorted(values.items(), key=lambda pair: -abs(pair[1]))[:k]


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, small, without accents."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return "".join(c if c.isalnum() else " " for c in bare).split()


def has(label: str, asked: Sequence[str]) -> bool:
    """Whether every word asked for begins a word of the label."""
    own = words(label)
    return all(any(word.startswith(each) for word in own) for each in asked)
