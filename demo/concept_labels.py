"""Do a dictionary's labels name what the demo world's truth says its concepts follow? `python -m demo.rosetta` tells.

A concept's activation is correlated, over the images that its label was not chosen by, with the indicator of every
value of every factor. A label is right if it names the value that the activation follows best. The same is asked of the
first text that the concept's best CLIP unit points to by itself, and of a text of the pool by chance.
"""

from collections.abc import Sequence

import numpy as np

from core.stats.followed import TOLD_BY, standardised
from core.store.dictionary import Concept, Dictionary
from demo.labels import CLOSE, indicators, says


def told(dictionary: Dictionary, concepts: Sequence[Concept]) -> list[str]:
    """A line for each way of naming: the share that is right, of all concepts and of those that follow a value at
    CLOSE or more; the median r with the activation. InputError for images without truth."""
    hit_nv, names = indicators(dictionary.bundle.table("images"))
    number_ci = standardised(dictionary.activation[[concept.row for concept in concepts]][:, TOLD_BY])
    r_cv = number_ci @ standardised(hit_nv.T[:, TOLD_BY].astype(np.float64)).T / number_ci.shape[1]
    value_c, close_c = r_cv.argmax(1), r_cv.max(1) >= CLOSE
    like_wi = standardised(np.asarray(dictionary.bundle.array("text_cosine"))[:, TOLD_BY])
    row = {text: w for w, text in enumerate(dictionary.pool)}
    drawn: Sequence[int] = np.random.default_rng(0).integers(0, len(row), len(concepts)).tolist() if row else []
    ways = {
        "label": [concept.label.text if concept.label else None for concept in concepts],
        "text of a CLIP unit": [_of_unit(dictionary, concept) for concept in concepts],
        "random text": [dictionary.pool[w] for w in drawn] if row else [None] * len(concepts),
    }
    lines = []
    for way, texts in ways.items():
        has = np.array([text is not None for text in texts], bool)
        if not has.any():
            continue
        right_c = np.array([text is not None and says(text, *names[value_c[c]]) for c, text in enumerate(texts)])
        r = [like_wi[row[text]] @ number_ci[c] / number_ci.shape[1] for c, text in enumerate(texts) if text is not None]
        lines.append(
            f"{way}: names the value that the activation follows best in {right_c[has].mean():.1%} of {has.sum():,} "
            f"concepts{_close(right_c[has & close_c])}; median r {np.median(r):.2f}"
        )
    return lines


def _close(right_c: np.ndarray) -> str:
    return f" ({right_c.mean():.1%} of the {len(right_c):,} that follow one at {CLOSE} or more)" if len(right_c) else ""


def _of_unit(dictionary: Dictionary, concept: Concept) -> str | None:
    """The first text of the concept's best unit of a CLIP model, of one with a direction if there is any."""
    clip = {member.name for member in dictionary.members if member.clip}
    best = sorted((unit for unit in concept.best.values() if unit.member in clip), key=lambda unit: -unit.r)
    texts = [found[0] for unit in best if (found := dictionary.texts(unit.address))]
    return next((text.text for text in texts if text.how != "map"), texts[0].text if texts else None)
