"""Do the heads' text labels agree with the demo world's ground truth? `python -m demo.heads BUNDLE`

For every head and each of its first texts, the head's coefficient along the text is correlated, over the held-out
images, with the indicator of every value of every factor (place = beach, style = sepia, count = 3, ...). Shown is the
value it follows best, beside a control: the median and the best of many random directions in the same head's space for
the same indicator. Population: the bundle's decoded images, which no demo model was trained on.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.bundle.read import Bundle, open_bundle
from core.errors import UnitscopeError
from core.ids import Head

FACTORS = ("object", "category", "place", "style", "count")
RANDOM_DIRECTIONS = 200


@dataclass(frozen=True)
class Tracked:
    """One head, one of its texts, and the ground truth that the coefficient along the text follows best.

    `correlation` is Pearson's, signed. Of RANDOM_DIRECTIONS random directions in the head's space, `random` is the
    median absolute correlation with the same indicator and `best_random` the largest. (The largest is a hard control:
    it is chosen by the truth among 200, the text by variance alone.) `named` says whether the text names the value.
    """

    head: str
    text: str
    explained: float
    factor: str
    value: str
    correlation: float
    random: float
    best_random: float
    named: bool


def indicators(bundle: Bundle) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Standardised 0/1 columns (ok images, values) and what each stands for; values of fewer than 5 images left out."""
    images = bundle.table("images")
    ok_n = np.asarray(bundle.array("ok"))
    columns, names = [], []
    for factor in FACTORS:
        values = np.array([str(value) for value in images[factor].to_pylist()])[ok_n]
        for value in sorted(set(values)):
            hit = values == value
            if 5 <= hit.sum() < len(hit):
                columns.append((hit - hit.mean()) / hit.std())
                names.append((factor, value))
    return np.stack(columns, axis=1), names


def track(bundle: Bundle, texts: int = 2, seed: int = 0) -> list[Tracked]:
    """Every head's first `texts` texts, the best tracked first."""
    truth_nv, names = indicators(bundle)
    ok_n = np.asarray(bundle.array("ok"))
    pool = bundle.table("pool")["text"]
    index_lhm, explained_lhm = bundle.array("text_index"), bundle.array("text_explained")
    basis_lhoc, r_lhnc = bundle.array("basis"), bundle.array("r")
    embeddings_wo = bundle.array("text_embeddings")
    rng = np.random.default_rng(seed)
    found = []
    for i, layer in enumerate(bundle.axes["layer"].labels or []):
        for head in range(index_lhm.shape[1]):
            r_nc = np.asarray(r_lhnc[i, head], np.float32)[ok_n]
            directions = rng.standard_normal((RANDOM_DIRECTIONS, r_nc.shape[1]))
            random_dv = np.abs(_correlate(r_nc @ directions.T, truth_nv))
            picks = [int(w) for w in index_lhm[i, head, :texts] if w >= 0]
            scores_nm = r_nc @ (embeddings_wo[picks] @ basis_lhoc[i, head]).T
            for m, correlation_v in enumerate(_correlate(scores_nm, truth_nv)):
                best = int(np.argmax(np.abs(correlation_v)))
                factor, value = names[best]
                text = pool[picks[m]].as_py()
                found.append(
                    Tracked(
                        head=str(Head(layer, head)),
                        text=text,
                        explained=round(float(explained_lhm[i, head, m]), 3),
                        factor=factor,
                        value=value,
                        correlation=round(float(correlation_v[best]), 3),
                        random=round(float(np.median(random_dv[:, best])), 3),
                        best_random=round(float(random_dv[:, best].max()), 3),
                        named=value.lower() in text.lower(),
                    )
                )
    return sorted(found, key=lambda t: -abs(t.correlation))


def _correlate(x_nm: np.ndarray, truth_nv: np.ndarray) -> np.ndarray:
    """Pearson correlation (m, v) with standardised columns; 0 where x does not vary."""
    centred = x_nm - x_nm.mean(0)
    spread = centred.std(0)
    return (centred / np.where(spread > 0, spread, np.inf)).T @ truth_nv / len(truth_nv)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo.heads", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("bundle", type=Path, help="a bundle over demo/images")
    parser.add_argument("--texts", type=int, default=2, help="texts a head")
    parser.add_argument("--most", type=int, default=20, help="rows shown")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args(argv)
    try:
        rows = track(open_bundle(arguments.bundle), arguments.texts)[: arguments.most]
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for row in rows:
        if arguments.json:
            print(json.dumps(asdict(row)))
            continue
        tracked = f"{row.factor} = {row.value}"
        print(f"{row.head:8s} {row.correlation:+.2f} with {tracked:26s}", end="")
        print(f" random: median {row.random:.2f}, best {row.best_random:.2f}   {row.text} ({row.explained:.0%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
