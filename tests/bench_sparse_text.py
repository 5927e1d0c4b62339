"""What sparse text costs beside scikit-learn: see `tests.bench`. A layer of ViT-B-32 over a pool of 30,000 texts."""

import numpy as np
import torch
from sklearn.linear_model import orthogonal_mp

from core.methods.sparse_text import pursue, text_atoms
from tests.bench_tools import say, seconds

DIRECTIONS, TEXTS, WIDTH, PICKS = 3_072, 30_000, 512, 128
PLAIN = 100  # directions that scikit-learn is timed on: it takes them one by one, so its time is theirs times the rest


def bench_sparse_text() -> None:
    """3,072 directions, 128 picks each; scikit-learn in float64 on 100 of them, half before and half after, scaled."""
    rng = np.random.default_rng(0)
    texts = _texts(rng)
    directions = rng.standard_normal((DIRECTIONS, WIDTH))
    atoms_wo = text_atoms(torch.from_numpy(texts))
    dictionary = np.asfortranarray(atoms_wo.numpy().T)
    theirs: list[np.ndarray] = []
    halves = np.array_split(directions[:PLAIN], 2)

    def plain(half: np.ndarray) -> None:
        theirs.append(orthogonal_mp(dictionary, half.T, n_nonzero_coefs=PICKS, precompute=False).T)

    ours = []
    before = seconds(lambda: plain(halves[0]))
    took = seconds(lambda: ours.append(pursue(torch.from_numpy(directions), atoms_wo, PICKS)))
    after = seconds(lambda: plain(halves[1]))
    expected = (before + after) * DIRECTIONS / PLAIN
    say(
        f"sparse text, {DIRECTIONS:,} x {TEXTS:,} x {WIDTH}, m {PICKS}",
        f"{expected / took:.1f} x faster",
        ">= 10 x scikit-learn",
        f"{took:.0f} s, scikit-learn {expected:.0f} s; {_alike(ours[0].index_nm.numpy(), np.concatenate(theirs))}",
    )


def _texts(rng: np.random.Generator) -> np.ndarray:
    """Embeddings (w, o) as uneven as CLIP's: a spectrum that falls, and groups of texts that mean much the same."""
    texts = rng.standard_normal((TEXTS, WIDTH)) * np.exp(-np.arange(WIDTH) / 150)
    groups = 0.5 * rng.standard_normal((TEXTS // 100, WIDTH))
    return (texts + groups[rng.integers(0, len(groups), TEXTS)]).astype(np.float32)


def _alike(index_nm: np.ndarray, theirs_nw: np.ndarray) -> str:
    same = sum(set(ours.tolist()) == set(np.flatnonzero(row)) for ours, row in zip(index_nm, theirs_nw, strict=False))
    return f"{same} of {len(theirs_nw)} supports identical"


BENCHES = {"sparse_text": bench_sparse_text}
