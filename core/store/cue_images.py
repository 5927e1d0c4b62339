"""Images of a class in which cues occur, and what the model makes of them: all from a bundle, without the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from core.store.cues import CueWord
from core.text.mentions import content_words

if TYPE_CHECKING:
    from core.store.store import Store

_NOT_TEXT = ("path", "class")


@dataclass(frozen=True)
class CueImage:
    """An image of the first class: `score` the summed weight of the cues' words that its text holds (`found`, the
    heaviest first), or, without text, its cosine with the cues. `predicted` the position of the class it is taken
    for."""

    image_id: int
    score: float
    found: tuple[str, ...]
    predicted: int


@dataclass(frozen=True)
class CueImages:
    """`members` of the first class, the half with most cues in `hits`, the largest score first; `by` the columns that
    were read, or () if cosines decided; `taken` how many of all members are taken for each class."""

    hits: tuple[CueImage, ...]
    members: int
    by: tuple[str, ...]
    taken: dict[int, int]


def predicted(store: "Store", ids: np.ndarray) -> np.ndarray:
    """The class (its position) whose embedding is nearest to each image's stored representation."""
    units_no = np.asarray(store.bundle.array("representations")[ids], np.float32)
    return (units_no @ np.asarray(store.bundle.array("class_embeddings"), np.float32).T).argmax(1)


def members(store: "Store", position: int) -> np.ndarray:
    """Ids of the usable images of a class."""
    folder = store.bundle.table("classes")["class"][position].as_py()
    ids = np.flatnonzero(np.asarray(store.images.ok_n))
    label_n = np.array(store.images.values("class", ids).to_pylist(), dtype=object)
    return ids[label_n == folder]


def nearest(store: "Store", text_o: np.ndarray, k: int) -> np.ndarray:
    """Ids of the k usable images nearest to a text, ascending: who stands for a class that the bundle does not have."""
    return np.sort([hit.image_id for hit in store.images_for_text(text_o, k).hits])


def occurring(store: "Store", ids: np.ndarray, words: Sequence[CueWord], embeddings_wo: np.ndarray) -> CueImages:
    """Which of the images `ids` (ascending, usable) show the cues.

    Where the manifest has columns of text, an image's score is the sum over the content words that occur there, a word
    having the weight of all cues that hold it (a whole cue, such as "a fox and an airplane", hardly ever occurs).
    Otherwise it is the cosine with Σ weight · `embeddings_wo` (the cues' embeddings less the pool's mean). Images whose
    score is in the upper half count as having the cues, those without any word never.
    """
    class_n = predicted(store, ids)
    taken = {int(c): int(n) for c, n in zip(*np.unique(class_n, return_counts=True), strict=True)}
    columns = tuple(n for n, kind in store.images.columns.items() if n not in _NOT_TEXT and pa.types.is_string(kind))
    if columns:
        texts = zip(*(store.images.values(name, ids).to_pylist() for name in columns), strict=True)
        said = [content_words(" ".join(str(text) for text in row if text)) for row in texts]
        weight: dict[str, float] = {}
        for cue in words:
            for word in content_words(cue.text):
                weight[word] = weight.get(word, 0.0) + cue.weight
        heaviest = sorted(weight, key=lambda word: (-weight[word], word))
        named = [tuple(word for word in heaviest if word in have) for have in said]
        score_n = np.array([sum(weight[word] for word in each) for each in named])
    else:
        direction_o = np.array([word.weight for word in words]) @ np.asarray(embeddings_wo, np.float64)
        direction_o /= max(float(np.linalg.norm(direction_o)), 1e-12)
        score_n = np.asarray(store.bundle.array("representations")[ids], np.float64) @ direction_o
        named = [()] * len(ids)
    kept = [n for n in np.argsort(-score_n, kind="stable")[: (len(ids) + 1) // 2] if named[n] or not columns]
    hits = tuple(CueImage(int(ids[n]), float(score_n[n]), named[n], int(class_n[n])) for n in kept)
    return CueImages(hits, len(ids), columns, taken)
