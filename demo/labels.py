"""Do labels name what the demo world's truth says a unit follows? `python -m demo.labels BUNDLE`

For a sample of units of every kind, the unit's number is correlated, over half B of the images, with the indicator of
every value of every factor (an object that stands there, its category, the place, the style, the count). A label is
right if it names the value that the + end follows best. That is asked of every method of the leaderboard, beside how
many texts of the pool would be right by chance. Where no single value is followed closely, no short label can be right:
so the share is also told of the units that follow one with a correlation of at least 0.3. A label that is a sum of
several texts says more, and is right more easily; compare it with its like.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.bundle.read import Bundle, open_bundle
from core.errors import InputError, UnitscopeError
from core.leaderboard import UNITS, leaderboard
from core.leaderboard.units import Heads, Neurons, Pairs
from core.methods.label_leaderboard import RANDOM, mean_over_units
from core.methods.label_scores import Estimate
from core.text.mentions import naming, word_forms
from demo.heads import FACTORS
from demo.vocabulary import COUNT_WORDS, PLACE_PHRASES, STYLE_PHRASES, plural, singular

CLOSE = 0.3
"""Correlation from which a unit follows a value closely."""
_STYLE_WORDS = {"colour": ("colour", "color"), "black and white": ("black and white", "greyscale"),
                "sepia": ("sepia",), "blurred": ("blurred", "blurry", "out of focus")}  # fmt: skip
_READERS = {"head": Heads, "neuron": Neurons, "pair": Pairs}


@dataclass(frozen=True)
class Right:
    """Of a method's labels of one kind of units, the share that is right: of all `units`, and of the `close` ones."""

    kind: str
    method: str
    units: int
    share: Estimate
    close: int
    share_close: Estimate


@lru_cache(maxsize=1_000)
def spoken(factor: str, value: str) -> tuple[str, ...]:
    """How texts say a value."""
    if factor == "place":
        return (value, *PLACE_PHRASES[value], *(phrase.split(" ", 1)[1] for phrase in PLACE_PHRASES[value]))
    if factor == "style":
        return (*_STYLE_WORDS[value], *STYLE_PHRASES[value])
    if factor == "count":
        return (COUNT_WORDS[int(value) - 1], *(("a single", "alone") if value == "1" else ()))
    return (*word_forms(value), plural(value), singular(value))


def says(label: str, factor: str, value: str) -> bool:
    """Whether one of a label's texts, apart from those marked as of the − end, says the value."""
    texts = [text for text in label.split("; ") if not text.startswith("−")]
    return bool(naming(texts, spoken(factor, value)))


def indicators(images: pa.Table) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """(n, v) whether each image has each value, and the values; those of fewer than 5 images left out. InputError for
    images that are not the demo world's."""
    missing = [name for name in (*FACTORS, "objects") if name not in images.column_names]
    if missing:
        raise InputError(f"These images have no ground truth ({', '.join(missing)}): they are not demo/images.")
    standing = [{each["name"] for each in json.loads(objects)} for objects in images["objects"].to_pylist()]
    columns, names = [], []
    for factor in FACTORS:
        given = [str(value) for value in images[factor].to_pylist()]
        for value in sorted(set(given)):
            hit_n = np.array([value in s for s in standing] if factor == "object" else [v == value for v in given])
            if 5 <= hit_n.sum() < len(hit_n):
                columns.append(hit_n)
                names.append((factor, value))
    return np.stack(columns, axis=1), names


def followed(number_un: np.ndarray, hit_nv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(u,) the value that each unit's + end follows best, and the correlation."""
    truth_nv = (hit_nv - hit_nv.mean(0)) / hit_nv.std(0)
    centred_un = number_un - number_un.mean(1, keepdims=True)
    spread_u = centred_un.std(1)
    r_uv = centred_un @ truth_nv / len(truth_nv) / np.where(spread_u > 0, spread_u, np.inf)[:, None]
    best_u = r_uv.argmax(1)
    return best_u, r_uv[np.arange(len(r_uv)), best_u]


def judge(bundle: Bundle, units: int = UNITS, seed: int = 0) -> list[Right]:
    """Every method and kind, the methods that are most often right first."""
    board, found = leaderboard(bundle, units, seed), []
    pool = bundle.table("pool")["text"].to_pylist()
    for kind in dict.fromkeys(row.kind for row in board.rows):
        source = _READERS[kind](bundle)
        hit_nv, names = indicators(bundle.table("images").take(source.image_ids[source.half_b]))
        addresses = list(dict.fromkeys(one.address for one in board.labels if one.kind == kind))
        _, _, b_un, _ = source.read(np.array([source.row(address) for address in addresses]))
        best_u, r_u = followed(b_un, hit_nv)
        told = {address: names[best] for address, best in zip(addresses, best_u, strict=True)}
        close = {address for address, r in zip(addresses, r_u, strict=True) if r >= CLOSE}
        rows = []
        for method in dict.fromkeys(one.method for one in board.labels if one.kind == kind):
            labels = {one.address: one.text for one in board.labels if (one.kind, one.method) == (kind, method)}
            right = {address: float(says(text, *told[address])) for address, text in labels.items()}
            rows.append(_right(kind, method, right, close))
        chance = {value: len(naming(pool, spoken(*value))) / len(pool) for value in set(told.values())}
        rows.append(_right(kind, RANDOM, {address: chance[told[address]] for address in addresses}, close))
        found += sorted(rows, key=lambda row: -row.share.value)
    return found


def _right(kind: str, method: str, right: dict[str, float], close: set[str]) -> Right:
    near = np.array([value for address, value in right.items() if address in close])
    return Right(kind, method, len(right), mean_over_units(np.array(list(right.values()))), len(near),
                 mean_over_units(near))  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    summary = __doc__.splitlines()[0] if __doc__ else ""
    parser = argparse.ArgumentParser(prog="python -m demo.labels", description=summary)
    parser.add_argument("bundle", type=Path, help="a bundle over demo/images")
    parser.add_argument("--units", type=int, default=UNITS, help="most units of a kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    try:
        rows = judge(open_bundle(arguments.bundle), arguments.units, arguments.seed)
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Share of labels that name the value that the unit follows best, with 95 % intervals over units; beside it "
          f"of the units whose correlation with that value is {CLOSE} or more.")  # fmt: skip
    for row in rows:
        print(f"{row.kind:7s} {row.method:28s} {row.units:4d} units {row.share!s:>20s}   "
              f"{row.close:4d} close {row.share_close!s:>20s}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
