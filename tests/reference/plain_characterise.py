"""What second-order effects are worth, from effects written out in full: image by image, neuron by neuron, float64."""

from collections.abc import Mapping, Sequence

import numpy as np

from tests.reference.plain_sparse_text import plain_pursuit

Key = tuple[str, int | None, int | None]
"""Kind, layer (None: all together, or nothing changed), texts."""


def plain_totals(phi_ino: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ_n (φ_n - b_n), (i, o): over all neurons, and over those above the 98th percentile of their own norms."""
    centred_ino = phi_ino - phi_ino.mean(0)
    norm_in = np.linalg.norm(centred_ino, axis=-1)
    total_io, active_io = np.zeros_like(centred_ino[:, 0]), np.zeros_like(centred_ino[:, 0])
    for n in range(phi_ino.shape[1]):
        threshold = np.quantile(norm_in[:, n], 0.98)
        for i in range(len(phi_ino)):
            total_io[i] += centred_ino[i, n]
            if norm_in[i, n] > threshold:
                active_io[i] += centred_ino[i, n]
    return total_io, active_io


def plain_rebuilt(direction_o: np.ndarray, atoms_wo: np.ndarray, count: int) -> np.ndarray:
    """What the first `count` texts of scikit-learn's pursuit make of a direction, of norm one."""
    found = plain_pursuit(direction_o, atoms_wo, count)
    rebuilt_o = np.array(found.coefficient) @ atoms_wo[found.index]
    return rebuilt_o / np.linalg.norm(rebuilt_o)


def plain_characterisation(
    unit_io: np.ndarray,
    label_i: np.ndarray,
    classes_co: np.ndarray,
    phi_by_layer: Mapping[int, np.ndarray],
    directions: Mapping[int, np.ndarray],
    atoms_wo: np.ndarray,
    counts: Sequence[int],
) -> dict[Key, float]:
    """Top-1 accuracy by what is changed. Images with a negative label are not judged, but count in means."""
    changes: dict[Key, np.ndarray] = {("none", None, None): np.zeros_like(unit_io, np.float64)}
    for layer, phi_ino in phi_by_layer.items():
        total_io, active_io = plain_totals(phi_ino)
        x_in = np.einsum("ino,no->in", phi_ino - phi_ino.mean(0), directions[layer])
        changes["all", layer, None] = -total_io
        changes["large norm", layer, None] = -active_io
        changes["small norm", layer, None] = -(total_io - active_io)
        changes["first component", layer, None] = x_in @ directions[layer] - total_io
        for count in counts:
            rebuilt_no = np.stack([plain_rebuilt(r_o, atoms_wo, count) for r_o in directions[layer]])
            changes["texts", layer, count] = x_in @ rebuilt_no - total_io
    for kind, count in {(kind, count) for kind, layer, count in changes if layer is not None}:
        changes[kind, None, count] = sum(changes[kind, layer, count] for layer in phi_by_layer)
    return {key: _accuracy(unit_io + change_io, label_i, classes_co) for key, change_io in changes.items()}


def _accuracy(vector_io: np.ndarray, label_i: np.ndarray, classes_co: np.ndarray) -> float:
    judged = [i for i in range(len(label_i)) if label_i[i] >= 0]
    return sum(int(np.argmax(classes_co @ vector_io[i])) == label_i[i] for i in judged) / len(judged)
