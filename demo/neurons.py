"""Do the neurons' text labels agree with the demo world's ground truth? `python -m demo.neurons BUNDLE`

For every neuron the coefficient of its second-order effect is correlated, over the measured images, with the indicator
of every value of every factor (place = beach, style = sepia, count = 3, ...). Shown is the value it follows best,
whether its first texts name that value with the right sign, and a control: the median and the best |correlation| with
the same indicator of 200 neurons drawn by chance from the same layer. Then neurons whose images of largest effect fall
into several concepts, with what each concept has in common and how common that is among all measured images.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.bundle.read import open_bundle
from core.errors import InputError, UnitscopeError
from core.store import Store
from core.store.neurons import NeuronTable
from demo.heads import FACTORS

TEXTS = 3
RANDOM_NEURONS = 200


@dataclass(frozen=True)
class TrackedNeuron:
    """One neuron and the ground truth that its coefficient follows best. `named`: one of its first texts names the
    value, with a sign that fits the correlation's."""

    neuron: str
    label: str
    factor: str
    value: str
    correlation: float
    random: float
    best_random: float
    named: bool


@dataclass(frozen=True)
class Polysemantic:
    """One neuron and its concepts: for each the value most of its images share, (factor, value, share there, share of
    all measured images, images)."""

    neuron: str
    label: str
    concepts: tuple[tuple[str, str, float, float, int], ...]


class Truth:
    """Ground truth of images, rows of a manifest: indicators `hit_iv` of the values `names`."""

    def __init__(self, images: pa.Table) -> None:
        missing = [factor for factor in FACTORS if factor not in images.column_names]
        if missing:
            raise InputError(f"These images have no ground truth ({', '.join(missing)}): they are not demo/images.")
        columns, self.names = [], list[tuple[str, str]]()
        for factor in FACTORS:
            values = np.array([str(value) for value in images[factor].to_pylist()])
            for value in sorted(set(values)):
                hit = values == value
                if 5 <= hit.sum() < len(hit):
                    columns.append(hit)
                    self.names.append((factor, value))
        self.hit_iv = np.stack(columns, axis=1)

    def correlate(self, x_ni: np.ndarray) -> np.ndarray:
        """Pearson correlation (n, v); 0 where x does not vary."""
        truth_iv = (self.hit_iv - self.hit_iv.mean(0)) / self.hit_iv.std(0)
        centred = x_ni - x_ni.mean(1, keepdims=True)
        spread = centred.std(1, keepdims=True)
        return centred / np.where(spread > 0, spread, np.inf) @ truth_iv / x_ni.shape[1]


def measured_truth(store: Store, table: NeuronTable) -> tuple[Truth, dict[int, int]]:
    """Of the images that the neurons were measured on; and each one's row there, by image id."""
    ids = np.asarray(table.array("image_ids"))
    return Truth(store.bundle.table("images").take(ids)), {int(image_id): i for i, image_id in enumerate(ids)}


def track(store: Store, table: NeuronTable, seed: int = 0) -> list[TrackedNeuron]:
    """Every neuron, the best tracked first."""
    found, rng = [], np.random.default_rng(seed)
    truth, _ = measured_truth(store, table)
    for i in range(len(table.layers)):
        correlation_nv = truth.correlate(np.asarray(table.array("coef")[i], np.float32))
        control = rng.choice(table.neurons, min(RANDOM_NEURONS, table.neurons), replace=False)
        control_cv = np.abs(correlation_nv[control])
        for n, best in enumerate(np.abs(correlation_nv).argmax(1).tolist()):
            factor, value = truth.names[best]
            correlation = float(correlation_nv[n, best])
            address = table.address(i * table.neurons + n)
            found.append(
                TrackedNeuron(
                    neuron=address,
                    label=table.label(i * table.neurons + n),
                    factor=factor,
                    value=value,
                    correlation=round(correlation, 3),
                    random=round(float(np.median(control_cv[:, best])), 3),
                    best_random=round(float(control_cv[:, best].max()), 3),
                    named=names_it(table, address, value, correlation),
                )
            )
    return sorted(found, key=lambda t: (-abs(t.correlation), t.neuron))


def names_it(table: NeuronTable, address: str, value: str, correlation: float) -> bool:
    """Whether one of the first texts names the value, on the side that the correlation says."""
    terms = table.text(address, TEXTS).terms
    return any(value.lower() in term.text.lower() and term.coefficient * correlation > 0 for term in terms)


def polysemantic(store: Store, table: NeuronTable, share: float = 0.8) -> list[Polysemantic]:
    """Neurons with two concepts or more, each of which is of one value for at least `share` of its images, and no two
    of the same; those of largest effect first."""
    columns, found = table.columns(), []
    truth, row = measured_truth(store, table)
    base_v = truth.hit_iv.mean(0)
    for n in np.argsort(-columns.std, kind="stable"):
        if columns.concepts[n] < 2:
            continue
        told = []
        for concept in table.concepts(columns.address[n]):
            if concept.number is None:
                continue
            share_v = truth.hit_iv[[row[hit.image_id] for hit in concept.images]].mean(0)
            best = int(np.argmax(share_v - base_v))
            told.append((*truth.names[best], float(share_v[best]), float(base_v[best]), len(concept.images)))
        if min(each[2] for each in told) >= share and len({each[:2] for each in told}) == len(told):
            found.append(Polysemantic(columns.address[n], columns.label[n], tuple(told)))
    return found


def main(argv: list[str] | None = None) -> int:
    summary = __doc__.splitlines()[0] if __doc__ else ""
    parser = argparse.ArgumentParser(prog="python -m demo.neurons", description=summary)
    parser.add_argument("bundle", type=Path, help="a bundle over demo/images, with neurons")
    parser.add_argument("--most", type=int, default=12, help="rows shown of each kind")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args(argv)
    try:
        store = Store(open_bundle(arguments.bundle))
        if store.neurons is None:
            raise InputError("This bundle has no neurons; make one of a ViT, without --neuron-layers none.")
        tracked = track(store, store.neurons)
        several = polysemantic(store, store.neurons)
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    named = [row for row in tracked if row.named]
    if arguments.json:
        rows: list[TrackedNeuron | Polysemantic] = [*named[: arguments.most], *several[: arguments.most]]
        for each in rows:
            print(json.dumps(asdict(each)))
        return 0
    print(f"{len(named)} of {len(tracked)} neurons are named by what they follow best; of these the closest:")
    for row in named[: arguments.most]:
        print(f"{row.neuron:9s} {row.correlation:+.2f} with {f'{row.factor} = {row.value}':24s}", end="")
        print(f" random neurons: median {row.random:.2f}, best {row.best_random:.2f}   {row.label}")
    print(f"{len(several)} neurons have several concepts, each of one thing; of these the strongest:")
    for found in several[: arguments.most]:
        told = "; ".join(f"{v} {s:.0%} of {n} (of all {b:.0%})" for _, v, s, b, n in found.concepts)
        print(f"{found.neuron:9s} {told}   {found.label}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
