"""A map of a bundle's units: their directions in two dimensions, near units near each other.

PCA to 50 dimensions, then t-SNE by cosine distance (scikit-learn; van der Maaten and Hinton 2008, Barnes-Hut: van der
Maaten 2014), with a fixed seed. Directions are taken as they are, d and -d apart: a direction's + end is what the unit
writes when it is most active, so units that write opposite things are not one place.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from core.store.store import Store
from core.store.units import KINDS, Kind
from core.text.embed import cached

VERSION = 1
"""Of the method: another one finds nothing in the cache."""
Step = Callable[[str], None]
"""Told what is being done now."""


@dataclass(frozen=True)
class Settings:
    """At most `points` units; PCA to `components`; t-SNE with `perplexity` (less of few points) from `seed`."""

    points: int = 10_000
    components: int = 50
    perplexity: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class Population:
    """The units of a map, kind by kind: `row_k` of each kind's units, strongest first, out of `all_k` that there are
    and write anything."""

    rows: dict[Kind, np.ndarray]
    every: dict[Kind, int]

    @property
    def size(self) -> int:
        return sum(map(len, self.rows.values()))


def population(store: Store, most: int) -> Population:
    """All heads; neurons and pairs share the places that are left equally, each the strongest of its kind by
    `Units.importance`, and what one does not need goes to the other. Units that never vary are left out."""
    ranked: dict[Kind, np.ndarray] = {}
    for kind in KINDS:
        importance = store.units.importance(kind)
        order = np.argsort(-importance, kind="stable")
        ranked[kind] = order[_varies(store, kind)[order]]
    heads = ranked["head"][:most]
    left = most - len(heads)
    neurons = min(len(ranked["neuron"]), max(left - left // 2, left - len(ranked["pair"])))
    chosen = {"head": heads, "neuron": ranked["neuron"][:neurons], "pair": ranked["pair"][: left - neurons]}
    return Population(
        {kind: chosen[kind] for kind in KINDS if kind in store.units.kinds},
        {kind: len(ranked[kind]) for kind in KINDS if kind in store.units.kinds},
    )


def directions(store: Store, units: Population) -> np.ndarray:
    """(units, o) float32, kind by kind in the population's order."""
    parts = [np.zeros((0, store.facts().out), np.float32)]
    for kind, row_k in units.rows.items():
        if kind == "neuron" and store.neurons is not None:
            flat = store.neurons.array("direction").reshape(-1, store.facts().out)
            parts.append(np.asarray(flat[np.sort(row_k)])[np.argsort(np.argsort(row_k))])
        elif kind == "pair" and store.pairs is not None:
            heads, coords = len(store.pairs.heads), store.pairs.array("coords")
            made = np.zeros((len(row_k), store.facts().out), np.float32)
            flat = coords.reshape(-1, *coords.shape[2:])
            for m in range(heads):  # a head's pairs lie in its own subspace
                at = np.flatnonzero(row_k % heads == m)
                made[at] = flat[row_k[at] // heads, m] @ np.asarray(store.pairs.array("basis")[m]).T
            parts.append(made)
        elif kind == "head":
            parts += [store.units.direction(store.units.address("head", int(row)))[None] for row in row_k]
    return np.concatenate(parts)


def places(
    store: Store, units: Population, settings: Settings, step: Step = lambda _: None, cache: Path | None = None
) -> np.ndarray:
    """(units, 2) float32: where each unit lies. From the cache if this bundle's map was made with these settings."""
    about = [store.bundle.id, VERSION, *asdict(settings).values(), *(len(row_k) for row_k in units.rows.values())]
    key = sha256("\n".join(["unit map", *map(str, about)]).encode()).hexdigest()

    def compute() -> np.ndarray:
        step("reading directions")
        return projected(directions(store, units), settings, step)

    return cached(key, units.size, cache, compute)


def projected(direction_no: np.ndarray, settings: Settings, step: Step = lambda _: None) -> np.ndarray:
    """(n, 2) float32 of any directions (n, o)."""
    n = len(direction_no)
    if n < 4:  # t-SNE needs neighbours
        return np.stack([np.arange(n), np.zeros(n)], 1).astype(np.float32)
    from sklearn.decomposition import PCA  # a second to import, which pages without a map need not wait for
    from sklearn.manifold import TSNE

    step("PCA")
    few = min(settings.components, *direction_no.shape)
    reduced = PCA(few, svd_solver="randomized", random_state=settings.seed).fit_transform(direction_no)
    step("t-SNE")
    perplexity = min(settings.perplexity, (n - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=settings.seed, n_jobs=1)
    return np.asarray(tsne.fit_transform(reduced), np.float32)


def _varies(store: Store, kind: Kind) -> np.ndarray:
    """Whether each unit of a kind writes anything that varies, by row."""
    if kind not in store.units.kinds:
        return np.zeros(0, bool)
    if kind == "head":
        return np.array([head.variance > 0 for head in store.heads()])
    return np.asarray(store.units.importance(kind) > 0)
