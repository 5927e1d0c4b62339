"""Concepts that models share: a hub's units with partners elsewhere, grouped by what the hub itself holds alike.

A hub unit i and a unit j of another model X are partners if each is among the other's K nearest (eq. 4.3) and their
correlation is above chance: above the null level of the two models and above what this very pair reaches under the
shuffle. A hub unit with a partner in at least one model is an anchor. Anchors that are mutual K-nearest in the hub
itself and correlate at least SELF_R are one concept, and so are those that a path of such pairs joins.

Its strength is the mean over the other models of its best excess r - null there, 0 where it has no partner. Pure
functions of the neighbour tables of one hub (`core.methods.rosetta.nearest`). Shape letters: n hub unit, m unit of
another model, k neighbour, u and p the hub units and the partners of one concept, x other model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.methods.rosetta_matching import clusters, mutual

SELF_R = 0.7
"""Two units of the hub are of one concept from here on: each then explains half of what the other does (r² = ½). Paths
of weaker pairs would join most of a layer into one concept."""


@dataclass(frozen=True)
class Neighbours:
    """A hub and another model: `near_nk` units of the other nearest to the hub's, their `r_nk` and the same pairs' r
    under the shuffle `shuffled_nk`; `back_mk` units of the hub nearest to the other's; the null `level` of the two.

    Indices -1 and r NaN where there are fewer.
    """

    near_nk: np.ndarray
    r_nk: np.ndarray
    shuffled_nk: np.ndarray
    back_mk: np.ndarray
    level: float


@dataclass(frozen=True)
class Partners:
    """Pairs above chance, lexicographic: `hub_p` and `unit_p` int32, `r_p`, and `null_p`, the larger of level and
    shuffled r, float64."""

    hub_p: np.ndarray
    unit_p: np.ndarray
    r_p: np.ndarray
    null_p: np.ndarray

    @property
    def excess_p(self) -> np.ndarray:
        return self.r_p - self.null_p


@dataclass(frozen=True)
class Concept:
    """One concept of a hub: `hub_u` its hub units, ascending; its partners `model_p` (place among the others), `unit_p`
    there, ascending, each once with its best partner `hub_p`, and `r_p`, `null_p` of that pair. `anchor` is the hub
    unit of largest strength of its own, `models` how many have a unit in it, the hub included."""

    anchor: int
    strength: float
    models: int
    hub_u: np.ndarray
    model_p: np.ndarray
    unit_p: np.ndarray
    hub_p: np.ndarray
    r_p: np.ndarray
    null_p: np.ndarray


def partners(of: Neighbours) -> Partners:
    """The pairs of a hub and another model that are mutual neighbours and above chance."""
    pairs_p2 = mutual(of.near_nk, of.back_mk)
    hub_p, unit_p = pairs_p2.T
    at_p = (of.near_nk[hub_p] == unit_p[:, None]).argmax(1)
    r_p = of.r_nk[hub_p, at_p].astype(np.float64)
    # a shuffled r of NaN would be a constant unit, which is nobody's neighbour; a level of NaN knows of no chance
    null_p = np.fmax(of.shuffled_nk[hub_p, at_p].astype(np.float64), of.level)
    above = r_p > null_p
    return Partners(hub_p[above], unit_p[above], r_p[above], null_p[above])


def concepts(
    others: Sequence[Neighbours], self_nk: np.ndarray, self_r_nk: np.ndarray, self_r: float = SELF_R
) -> list[Concept]:
    """The concepts of a hub, the strongest first (of equal ones, that of the lower anchor); none where nothing is
    shared.

    `others` the hub with each other model; `self_nk`, `self_r_nk` (n, K) the hub's nearest among its own units, a
    unit's own entry excluded.
    """
    if not others:
        return []
    found = [partners(each) for each in others]
    best_nx = np.zeros((len(self_nk), len(others)))
    for x, each in enumerate(found):
        np.maximum.at(best_nx[:, x], each.hub_p, each.excess_p)
    anchor_a = np.flatnonzero(best_nx.any(1)).astype(np.int32)
    label_a = clusters(anchor_a, _alike(self_nk, self_r_nk, self_r))
    hub_ca = _split(anchor_a, label_a)
    model_p = np.repeat(np.arange(len(found), dtype=np.int32), [len(each.hub_p) for each in found])
    every_p = [np.concatenate([getattr(each, name) for each in found]) for name in ("unit_p", "hub_p", "r_p", "null_p")]
    label_p = label_a[np.searchsorted(anchor_a, every_p[1])]
    made = []
    for hub_u, *parts in zip(hub_ca, *(_split(part, label_p) for part in (model_p, *every_p)), strict=True):
        best_ux = best_nx[hub_u]
        made.append(
            Concept(
                anchor=int(hub_u[best_ux.mean(1).argmax()]),
                strength=float(best_ux.max(0).mean()),
                models=1 + int(best_ux.any(0).sum()),
                hub_u=hub_u,
                **_once(*parts),
            )
        )
    return sorted(made, key=lambda concept: (-concept.strength, concept.anchor))


def _split(values: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """The values of label 0, 1, ... in their order; every label occurs."""
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(labels.max(initial=-1) + 1), "right")
    return np.split(values[order], ends[:-1]) if len(ends) else []


def _alike(self_nk: np.ndarray, self_r_nk: np.ndarray, self_r: float) -> np.ndarray:
    """Pairs (_, 2) of hub units that are of one concept if both are anchors."""
    kept_nk = np.where(self_r_nk >= self_r, self_nk, -1)  # NaN is not
    return mutual(kept_nk, kept_nk)


def _once(
    model_p: np.ndarray, unit_p: np.ndarray, hub_p: np.ndarray, r_p: np.ndarray, null_p: np.ndarray
) -> dict[str, np.ndarray]:
    """A concept's partners, each with the hub unit that it exceeds chance most with (the lower one of equals)."""
    order = np.lexsort((hub_p, null_p - r_p, unit_p, model_p))
    model_p, unit_p, hub_p, r_p, null_p = (part[order] for part in (model_p, unit_p, hub_p, r_p, null_p))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(model_p) != 0) | (np.diff(unit_p) != 0)
    return {"model_p": model_p[new], "unit_p": unit_p[new], "hub_p": hub_p[new], "r_p": r_p[new], "null_p": null_p[new]}
