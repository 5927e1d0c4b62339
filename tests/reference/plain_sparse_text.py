"""Sparse text as the papers print it: scikit-learn's orthogonal matching pursuit in float64, direction by direction."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import orthogonal_mp


def plain_atoms(texts_wo: np.ndarray, scaling: str) -> np.ndarray:
    """Texts minus their mean, then each text (`unit`) or each dimension (`paper`) divided by its own norm."""
    texts = np.asarray(texts_wo, np.float64)
    centred = texts - texts.mean(axis=0)
    atoms = np.zeros_like(centred)
    if scaling == "unit":
        for row, text in enumerate(centred):
            atoms[row] = text / np.sqrt((text**2).sum())
    else:
        for column in range(centred.shape[1]):
            atoms[:, column] = centred[:, column] / np.sqrt((centred[:, column] ** 2).sum())
    return atoms


@dataclass(frozen=True)
class PlainSparse:
    """One direction: rows in order of choice, coefficients at the end, share of the squared norm left after each pick;
    each pick's correlation with what was left, relative to the norms of atom and direction, and by how much that beats
    the next *different* atom, in the same units."""

    index: list[int]
    coefficient: list[float]
    residual: list[float]
    correlation: list[float]
    margin: list[float]


def plain_pursuit(direction_o: np.ndarray, atoms_wo: np.ndarray, picks: int) -> PlainSparse:
    direction, atoms = np.asarray(direction_o, np.float64), np.asarray(atoms_wo, np.float64)
    with warnings.catch_warnings():  # scikit-learn warns when it stops early, which callers look at
        warnings.simplefilter("ignore")
        path = orthogonal_mp(
            atoms.T, direction, n_nonzero_coefs=min(picks, len(atoms)), precompute=False, return_path=True
        )
    path = path.reshape(len(atoms), -1)
    index: list[int] = []
    residual, correlation, margin = [], [], []
    left = direction
    for step in range(path.shape[1]):
        new = [int(row) for row in np.flatnonzero(path[:, step]) if row not in index]
        if len(new) != 1:
            break  # nothing was added: the pursuit had ended
        score = np.abs(atoms @ left)
        other = (np.abs(atoms - atoms[new[0]]).max(axis=1) > 0) & (np.abs(atoms + atoms[new[0]]).max(axis=1) > 0)
        scale = np.linalg.norm(atoms[new[0]]) * np.linalg.norm(direction)
        correlation.append(float(score[new[0]] / scale))
        margin.append(float((score[new[0]] - score[other].max(initial=0)) / scale))
        index += new
        left = direction - path[:, step] @ atoms
        residual.append(float(left @ left / (direction @ direction)))
    coefficient = [float(path[row, len(index) - 1]) for row in index]
    return PlainSparse(index, coefficient, residual, correlation, margin)
