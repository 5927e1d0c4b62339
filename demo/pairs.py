"""Are the neurons' sub-concepts what the demo world says they are? `python -m demo.pairs BUNDLE`

A neuron's concept is the value (object = castle, category = animal, place = beach, ...) that its ten images of largest
effect have more often than all measured images, by the largest difference. A sub-concept is confirmed if its own ten
images keep that value (in KEPT of them) and agree, beyond it, in a second one: in KEPT of them, and by LIFT more often
than the neuron's own images and than all images of the neuron's concept. For chance, the same is asked of ten images
drawn from those in which the neuron is active. Only neurons whose concept is clear (KEPT of their images) are asked.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.bundle.read import open_bundle
from core.errors import InputError, UnitscopeError
from core.store import Store
from core.store.pairs import PairTable
from demo.neurons import Truth, measured_truth

IMAGES = 10
KEPT, LIFT = 0.6, 0.3


@dataclass(frozen=True)
class Checked:
    """One sub-concept: the neuron's concept with its purity in the neuron's images and in the pair's; and the second
    value with its purity in the pair's images, in the neuron's, and in all images of the concept."""

    pair: str
    score: float
    share: float
    concept: str
    in_neuron: float
    in_pair: float
    narrower: str
    narrower_in_pair: float
    narrower_in_neuron: float
    narrower_in_concept: float

    @property
    def confirmed(self) -> bool:
        known = max(self.narrower_in_neuron, self.narrower_in_concept)
        return self.in_pair >= KEPT and self.narrower_in_pair >= max(KEPT, known + LIFT - 1e-9)


def check(store: Store, table: PairTable, each: int = 3, seed: int = 0) -> tuple[list[Checked], list[Checked]]:
    """Up to `each` sub-concepts of every neuron with a clear concept, best score first; and as many chance draws."""
    neurons, rng = table.neurons, np.random.default_rng(seed)
    truth, row = measured_truth(store, neurons)
    found: list[Checked] = []
    chance: list[Checked] = []
    for unit in range(len(neurons.layers) * neurons.neurons):
        address = neurons.address(unit)
        whole = [row[hit.image_id] for hit in neurons.top(address, "norm", IMAGES, fold=False)]
        concept = int(np.argmax(truth.hit_iv[whole].mean(0) - truth.hit_iv.mean(0)))
        if truth.hit_iv[whole, concept].mean() < KEPT:
            continue
        active = np.flatnonzero(neurons.scores(address, "norm").score_n > neurons.summary(address).threshold)
        for sub in table.sub_concepts(address, each, IMAGES, labels=False):
            images = [row[hit.image_id] for hit in table.largest(sub.address, IMAGES, fold=False)]
            drawn = rng.choice(active, min(IMAGES, len(active)), replace=False).tolist()
            for into, shown in ((found, images), (chance, drawn)):
                into.append(_compare(truth, sub.address, sub.score, sub.share, concept, whole, shown))
    order = lambda rows: sorted(rows, key=lambda checked: (-checked.score, checked.pair))
    return order(found), order(chance)


def _compare(
    truth: Truth, pair: str, score: float, share: float, concept: int, whole: list[int], shown: list[int]
) -> Checked:
    own_v, neuron_v = truth.hit_iv[shown].mean(0), truth.hit_iv[whole].mean(0)
    within_v = truth.hit_iv[truth.hit_iv[:, concept]].mean(0)
    lift_v = own_v - np.maximum(neuron_v, within_v)
    lift_v[concept] = -np.inf
    second = int(np.argmax(lift_v))
    name = lambda v: "{} = {}".format(*truth.names[v])
    return Checked(
        pair=pair,
        score=round(score, 3),
        share=round(share, 3),
        concept=name(concept),
        in_neuron=float(neuron_v[concept]),
        in_pair=float(own_v[concept]),
        narrower=name(second),
        narrower_in_pair=float(own_v[second]),
        narrower_in_neuron=float(neuron_v[second]),
        narrower_in_concept=round(float(within_v[second]), 3),
    )


def main(argv: list[str] | None = None) -> int:
    summary = __doc__.splitlines()[0] if __doc__ else ""
    parser = argparse.ArgumentParser(prog="python -m demo.pairs", description=summary)
    parser.add_argument("bundle", type=Path, help="a bundle over demo/images, with neuron-head pairs")
    parser.add_argument("--most", type=int, default=12, help="rows shown")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args(argv)
    try:
        store = Store(open_bundle(arguments.bundle))
        if store.pairs is None:
            raise InputError("This bundle has no neuron-head pairs; make it again without --neuron-layers none.")
        found, chance = check(store, store.pairs)
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    confirmed = [row for row in found if row.confirmed]
    if arguments.json:
        for row in confirmed[: arguments.most]:
            print(json.dumps(asdict(row)))
        return 0
    for least in (100, 400, len(found)):
        best, drawn = found[:least], chance[:least]
        parts = (sum(row.in_pair >= KEPT for row in best), sum(row.confirmed for row in best))
        by_chance = (sum(row.in_pair >= KEPT for row in drawn), sum(row.confirmed for row in drawn))
        print(f"best {len(best)}: {parts[0]} keep the neuron's concept, {parts[1]} are confirmed; of as many draws "
              f"from images in which the neuron is active {by_chance[0]} and {by_chance[1]}")  # fmt: skip
    for row in confirmed[: arguments.most]:
        print(f"{row.pair:14s} score {row.score:.2f}, {row.share:.0%} of its neuron: ", end="")
        print(f"{row.concept} {row.in_neuron:.0%} -> {row.in_pair:.0%}; ", end="")
        print(f"{row.narrower} {row.narrower_in_neuron:.0%} -> {row.narrower_in_pair:.0%} ", end="")
        print(f"(of the concept's images {row.narrower_in_concept:.0%})   {store.pairs.short(row.pair)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
