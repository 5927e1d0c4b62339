"""The concepts of every hub, from what is nearest to what, with rows of the dictionary."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.methods.rosetta import Concept, Neighbours, concepts, partners
from precompute.rosetta_match import Matches


@dataclass(frozen=True, eq=False)
class Found:
    """A concept: rows of its units `unit_u`, the hub's own first and of these the anchor; `partner_u` -1 for them, else
    the row of the hub unit it is matched with; `r_u`, `null_u` as in concept_members.parquet."""

    hub: int
    strength: float
    models: int
    unit_u: np.ndarray
    partner_u: np.ndarray
    r_u: np.ndarray
    null_u: np.ndarray

    @cached_property
    def anchor(self) -> int:
        """Row of the unit that names it."""
        return int(self.unit_u[0])

    def best(self, owner_u: np.ndarray) -> list[int]:
        """In each member that has one, in the order of members, row of the unit farthest above the null; in the hub of
        the anchor."""
        own = self.partner_u < 0
        order = np.argsort(np.where(own, -np.inf, self.null_u - self.r_u), kind="stable")
        owner = owner_u[self.unit_u[order]]
        return self.unit_u[order][np.unique(owner, return_index=True)[1]].tolist()


def find_concepts(matches: Matches) -> list[Found]:
    """Concepts of all hubs, hub by hub, strongest first."""
    made = []
    levels_mm = matches.levels_mm
    spans = [matches.units.member(m) for m in range(len(matches.units.members))]
    for hub, span in enumerate(spans):
        others = [m for m in range(len(spans)) if m != hub]
        tables = [_between(matches, spans, hub, m, float(levels_mm[hub, m])) for m in others]
        self_nk = _local(matches.near_umk[span, hub], span.start)
        best_n = np.full(span.stop - span.start, -np.inf)
        for table in tables:
            pairs = partners(table)
            np.maximum.at(best_n, pairs.hub_p, pairs.r_p)
        for concept in concepts(tables, self_nk, matches.r_umk[span, hub]):
            made.append(_found(concept, hub, [spans[m].start for m in others], span.start, best_n))
    return made


def _between(matches: Matches, spans: list[slice], hub: int, other: int, level: float) -> Neighbours:
    here, there = spans[hub], spans[other]
    return Neighbours(
        near_nk=_local(matches.near_umk[here, other], there.start),
        r_nk=matches.r_umk[here, other],
        shuffled_nk=matches.shuffled_umk[here, other],
        back_mk=_local(matches.near_umk[there, hub], here.start),
        level=level,
    )


def _local(rows_nk: np.ndarray, first: int) -> np.ndarray:
    """Units counted from the first of their member."""
    return np.where(rows_nk < 0, -1, rows_nk - first)


def _found(concept: Concept, hub: int, first_of: list[int], first: int, best_n: np.ndarray) -> Found:
    own = np.array([concept.anchor, *(u for u in concept.hub_u.tolist() if u != concept.anchor)])
    order = np.lexsort((concept.unit_p, -concept.r_p, concept.model_p))
    starts_p = np.array(first_of)[concept.model_p[order]]
    nothing = np.full(len(own), np.nan)
    return Found(
        hub=hub,
        strength=concept.strength,
        models=concept.models,
        unit_u=np.concatenate([own + first, concept.unit_p[order] + starts_p]),
        partner_u=np.concatenate([np.full(len(own), -1), concept.hub_p[order] + first]),
        r_u=np.concatenate([best_n[own], concept.r_p[order]]),
        null_u=np.concatenate([nothing, concept.null_p[order]]),
    )
