"""Rosetta neurons (paper R, Dravid et al. 2023): units of different models whose maps rise and fall together.

    correlate   eq. 4.2   `Correlator`: Pearson over images and positions, with a null from exchanged images
    match       eq. 4.3   `nearest`, `merge_nearest`, `mutual`: K mutual nearest neighbours, K = 5
    combine     eq. 4.4   `tuples`, `clusters`; `level` is what chance reaches between two models
    conclude              `concepts`: what a hub shares with the others, grouped

Nothing here knows what the units are of, or reads a file; what a pass over models and images needs is imported from
this one place.
"""

from core.methods.rosetta_concepts import SELF_R, Concept, Neighbours, Partners, concepts, partners
from core.methods.rosetta_correlator import BLOCK, MIN_IMAGES, Correlator, Key, Tile, tile_bytes, tile_of
from core.methods.rosetta_matching import (
    LEVEL_QUANTILE,
    K,
    best,
    clusters,
    level,
    merge_nearest,
    mutual,
    nearest,
    tuples,
)

__all__ = [
    "BLOCK",
    "LEVEL_QUANTILE",
    "MIN_IMAGES",
    "SELF_R",
    "Concept",
    "Correlator",
    "K",
    "Key",
    "Neighbours",
    "Partners",
    "Tile",
    "best",
    "clusters",
    "concepts",
    "level",
    "merge_nearest",
    "mutual",
    "nearest",
    "partners",
    "tile_bytes",
    "tile_of",
    "tuples",
]
