"""Sub-concepts of a neuron, pair by pair, as the docstring of `core.methods.sub_concepts` defines them."""

from collections.abc import Sequence


def plain_sub_concepts(
    inertias: Sequence[float | None], neuron_inertia: float, shares: Sequence[float],
    active: Sequence[Sequence[bool]], images: Sequence[Sequence[int]], k: int,
) -> list[tuple[int, float]]:  # fmt: skip
    """(pair, score) of the chosen ones. `inertias` None where the head carries nothing of the neuron."""
    carrying = [m for m, inertia in enumerate(inertias) if inertia is not None and images[m]]
    scored = []
    for m in carrying:
        if shares[m] < 0.5 * (1 / len(carrying)):
            continue
        tightness = 1 - inertias[m] / neuron_inertia
        inside = sum(active[m]) / len(active[m])
        if tightness > 0 and inside > 0:
            scored.append((m, tightness * inside))
    chosen: list[tuple[int, float]] = []
    for m, score in sorted(scored, key=lambda pair: (-pair[1], pair[0])):
        same = [len(set(images[m]) & set(images[c])) for c, _ in chosen]
        short = [min(len(images[m]), len(images[c])) for c, _ in chosen]
        if len(chosen) < k and all(2 * s <= n for s, n in zip(same, short, strict=True)):
            chosen.append((m, score))
    return chosen
