"""The demo world's own text pool: one description a line, about everything its scenes can show.

python -m demo.pool        # writes demo/pool.txt
"""

import argparse
from pathlib import Path

import numpy as np

from demo.captions import factor_texts, place_noun
from demo.vocabulary import (
    CATEGORIES,
    COUNTS,
    OBJECT_NAMES,
    PLACE_PHRASES,
    PLACES,
    STYLE_PHRASES,
    STYLES,
    counted,
    plural,
    singular,
)

POOL = Path(__file__).parent / "pool.txt"
_MASS = ("food", "fruit", "clothing")


def _group(category: str) -> str:
    return category if category in _MASS else plural(category)


def pool_texts(seed: int = 0) -> list[str]:
    """All texts of the pool, distinct, in a fixed order: factors first, then pairs of factors, then whole captions."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    for factor in ("place", "style", "count", "category"):
        texts += [text for paraphrases in factor_texts()[factor] for text in paraphrases]
    for name in OBJECT_NAMES:
        texts += [singular(name), plural(name), f"a photo of {singular(name)}", f"a picture of {plural(name)}"]
        texts += [counted(name, count) for count in COUNTS[1:]]
        texts += [f"{singular(name)} {PLACE_PHRASES[place][0]}" for place in rng.choice(PLACES, size=4, replace=False)]
        texts += [f"{STYLE_PHRASES[style][0]} of {singular(name)}" for style in STYLES]
        other = str(rng.choice([candidate for candidate in OBJECT_NAMES if candidate != name]))
        texts.append(f"{singular(name)} and {singular(other)}")
        for count in rng.choice(COUNTS, size=2, replace=False):
            style, place = str(rng.choice(STYLES)), str(rng.choice(PLACES))
            texts.append(f"{STYLE_PHRASES[style][0]} of {counted(name, int(count))} {PLACE_PHRASES[place][0]}")
    for category in CATEGORIES:
        texts += [f"{_group(category)} {PLACE_PHRASES[place][0]}" for place in PLACES]
        texts += [f"{STYLE_PHRASES[style][0]} of {_group(category)}" for style in STYLES]
    for place in PLACES:
        texts += [f"{STYLE_PHRASES[style][0]} of {place_noun(place)}" for style in STYLES]
        texts += [f"{counted('object', count)} {PLACE_PHRASES[place][0]}" for count in COUNTS]
    for style in STYLES:
        texts += [f"{STYLE_PHRASES[style][0]} of {counted('object', count)}" for count in COUNTS]
    return list(dict.fromkeys(texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=POOL)
    args = parser.parse_args()
    texts = pool_texts()
    args.out.write_text("\n".join(texts) + "\n", encoding="utf-8")
    print(f"{args.out}: {len(texts)} texts")


if __name__ == "__main__":
    main()
