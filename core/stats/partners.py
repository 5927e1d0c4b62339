"""Which units of different models are partners: each among the other's nearest, and above what chance gives (paper R).

Shape letters: u unit (rows of all members), m member, k neighbour.
"""

import numpy as np


def mutual(neighbours_umk: np.ndarray, rows: np.ndarray, owner_u: np.ndarray, member: int) -> np.ndarray:
    """(n, k) which neighbours of `rows`, all of one member, in `member` have them among their own neighbours there.

    `owner_u` is each unit's member. Entries of -1 have none. Paper R, eq. 4.3, with K both ways.
    """
    near_nk = np.asarray(neighbours_umk[rows, member])
    if not len(rows):
        return np.zeros(near_nk.shape, bool)
    back_nkj = np.asarray(neighbours_umk[near_nk.clip(0), owner_u[rows[0]]])
    return (near_nk >= 0) & (back_nkj == rows[:, None, None]).any(-1)


def null_of(level: float, shuffled: np.ndarray) -> np.ndarray:
    """What a match must exceed: the level of its two members, or the pair's own r under the shuffle if that is larger.

    NaN where there is neither: then nothing exceeds it.
    """
    return np.fmax(np.float64(level), shuffled.astype(np.float64))


def partners(
    neighbours_umk: np.ndarray,
    r_umk: np.ndarray,
    shuffled_umk: np.ndarray,
    levels_mm: np.ndarray,
    rows: np.ndarray,
    owner_u: np.ndarray,
    member: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) which neighbours of `rows` (of one member) in another member are their partners, and each one's null:
    mutual neighbours whose r is above it."""
    hub = int(owner_u[rows[0]]) if len(rows) else member
    null_nk = null_of(levels_mm[hub, member], shuffled_umk[rows, member])
    # a comparison with NaN is false: no neighbour, no level
    above_nk = r_umk[rows, member] > null_nk
    return mutual(neighbours_umk, rows, owner_u, member) & above_nk, null_nk
