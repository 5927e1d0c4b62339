"""How many concepts a set of images shows: polysemanticity of a unit, seen in its most extreme images.

Average-linkage clustering of the images' unit representations by cosine distance, cut where two groups are as far apart
as a share of what images of the data set are by chance. k-means would need the number of clusters that is asked for.
"""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

CUT = 0.6
"""Groups farther apart than this share of the mean distance between random images are two concepts."""
SMALLEST = 5
"""A concept shows in at least this many images; smaller groups are strays."""


def chance_distance(unit_no: np.ndarray, pairs: int = 20_000) -> float:
    """Mean cosine distance between images of the data set, from `pairs` random pairs (seed 0) of different rows."""
    if len(unit_no) < 2:
        return 1.0
    rng = np.random.default_rng(0)
    left = rng.integers(0, len(unit_no), pairs)
    right = (left + rng.integers(1, len(unit_no), pairs)) % len(unit_no)
    return float(1 - np.einsum("no,no->n", unit_no[left].astype(np.float32), unit_no[right].astype(np.float32)).mean())


def concept_clusters(unit_io: np.ndarray, chance: float) -> np.ndarray:
    """A cluster number for each of the images, (i,) int: 0 the largest cluster, and so on; -1 for strays.

    `unit_io` unit representations, fp32; `chance` from `chance_distance`. Of equally large clusters the one whose first
    member comes first has the smaller number.
    """
    if len(unit_io) < 2:
        return np.zeros(len(unit_io), int) if len(unit_io) >= SMALLEST else np.full(len(unit_io), -1)
    distance = np.maximum(0, 1 - unit_io @ unit_io.T)
    tree = linkage(distance[np.triu_indices(len(unit_io), 1)], "average")
    raw = fcluster(tree, CUT * chance, "distance")
    values, first, size = np.unique(raw, return_index=True, return_counts=True)
    order = np.lexsort([first, -size])
    number = {values[i]: (rank if size[i] >= SMALLEST else -1) for rank, i in enumerate(order)}
    return np.array([number[value] for value in raw])
