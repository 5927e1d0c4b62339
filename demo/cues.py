"""Do spurious cues fool the model? Scenes of one class with the cues of another. `python -m demo.cues BUNDLE`

Paper N (Gandelsman et al. 2025), Table 3 in small. For pairs of classes (c1, c2) each method proposes texts of the
bundle's pool that name neither class; what of them the generator can draw is put into scenes of c1, and the live model
says what it sees. The same number of texts, of cues and of scenes for every method, composed by the same rule:

neurons    the words shared by the neurons that write most toward c2 - c1 (`core.methods.cues`)
reach      the same words of the neurons whose product times the coefficient they reach is largest
indirect   the same words of the neurons with the largest indirect effect on c2 - c1, over a few images of c1
direction  the texts nearest to c2 - c1
similar    the texts nearest to c2
chance     texts of the pool at random
none       no cues: c1 alone, in any place and style

Fooled: c2 is the nearest of all the bundle's classes. Scenes of one pair share their cues, so intervals are
bootstrapped over first classes, whole ones, not over scenes.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import InputError, UnitscopeError
from core.store import Store
from core.store.cue_images import members
from core.store.cues import CueFinder, CueWord
from core.text.mentions import word_forms
from demo.compose import Drawable, compose, cues, speaks
from demo.stream import SIDES
from demo.vocabulary import plural
from demo.world import Scene, render

METHODS = {
    "neurons": "these cues",
    "reach": "cues by reach",
    "indirect": "cues by indirect effect",
    "direction": "texts like c2 − c1",
    "similar": "texts like c2",
    "chance": "texts by chance",
    "none": "no cues",
}
INDIRECT_IMAGES = 2
_RESAMPLED = 10_000


@dataclass(frozen=True)
class Outcome:
    """What a model took scenes of c1 for: `predicted` and whether c2 is nearer than c1 (`nearer`), scene by scene."""

    c1: int
    c2: int
    cues: Mapping[Drawable, float]
    scenes: tuple[Scene, ...]
    predicted: tuple[int, ...]
    nearer: tuple[bool, ...]

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of the scenes: taken for c2, not taken for c1, nearer to c2 than to c1."""
        fooled = np.array(self.predicted)
        return float((fooled == self.c2).mean()), float((fooled != self.c1).mean()), float(np.mean(self.nearer))


def forms(*names: str) -> tuple[str, ...]:
    """The words that name any of these classes, with the vocabulary's own plurals."""
    return tuple(form for name in names for form in (*word_forms(name), plural(name)))


def rivals(finder: CueFinder, t1_o: np.ndarray, t2_o: np.ndarray, named: Sequence[str], seed: int) -> dict[str, tuple]:
    """The words of every method that needs no model, by its name in METHODS."""
    v_o = finder.check(t1_o, t2_o)
    return {
        "neurons": finder.find(v_o, named).words,
        "reach": finder.reaching(v_o, named).words,
        "direction": finder.similar(v_o, named),
        "similar": finder.similar(t2_o - finder.table.pool_mean, named),
        "chance": finder.by_chance(seed, named),
        "none": (),
    }


def stage(names: Sequence[str], c1: int, c2: int, words: Sequence[CueWord], number: int, seed: int) -> tuple:
    """What of the words is drawn, with weights, and `number` scenes of c1 with it. Same seed, same scenes."""
    drawn = cues([(word.text, word.weight) for word in words], (names[c1], names[c2]))
    return drawn, tuple(compose(np.random.default_rng((seed, n)), names[c1], drawn) for n in range(number))


def picture(scene: Scene, at: int) -> Image.Image:
    """Scene number `at` at one of the sides of the shipped images."""
    return Image.fromarray(render(scene, SIDES[at % len(SIDES)])[0])


def outcome(units_no: np.ndarray, class_co: np.ndarray, c1: int, c2: int, staged: tuple) -> Outcome:
    """What representations (n, o) of staged scenes are taken for among classes (c, o)."""
    cosine_nc = units_no @ np.asarray(class_co, np.float32).T
    nearer = tuple((cosine_nc[:, c2] > cosine_nc[:, c1]).tolist())
    return Outcome(c1, c2, staged[0], staged[1], tuple(cosine_nc.argmax(1).tolist()), nearer)


def check(store: Store) -> CueFinder:
    """InputError unless the bundle has neurons and its classes are the demo world's."""
    if store.neurons is None or not speaks(store.class_names()):
        raise InputError(
            "Scenes are composed for bundles over demo/images whose MLP neurons were analysed. Make one with: "
            "python -m precompute run --model demo-vit --images demo/images --pool demo --out bundles"
        )
    return CueFinder(store.neurons)


def pairs(class_co: np.ndarray, number: int, each: int, seed: int, among: int | None = None) -> list[tuple[int, int]]:
    """`number` pairs of classes by chance: first classes are all different, each with `each` second ones, drawn among
    the `among` classes whose texts are most like its own (None: all)."""
    classes = len(class_co)
    among = min(among or classes, classes - 1)
    if number < 1 or not 1 <= each <= among or -(-number // each) > classes:
        raise InputError(f"{number} pairs with {each} to a first class cannot be drawn from {classes} classes.")
    rng = np.random.default_rng(seed)
    firsts = rng.permutation(classes)[: -(-number // each)]
    centred_co = class_co - class_co.mean(0)
    alike_cc = centred_co @ centred_co.T / np.linalg.norm(centred_co, axis=1)
    np.fill_diagonal(alike_cc, -np.inf)
    order_cc = np.argsort(-alike_cc, axis=1, kind="stable")[:, :among]
    return [(int(a), int(b)) for a in firsts for b in rng.choice(order_cc[a], each, replace=False)][:number]


def interval(value_p: np.ndarray, group_p: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bounds of the mean by resampling whole groups (first classes)."""
    groups = [value_p[group_p == group] for group in np.unique(group_p)]
    sums, sizes = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    drawn = np.random.default_rng(seed).integers(len(groups), size=(_RESAMPLED, len(groups)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


def measure(
    store: Store, drawn: Sequence[tuple[int, int]], scenes: int, seed: int, images: int, tell: Callable[[str], None]
) -> dict[str, list[Outcome]]:
    """Every method on every pair, with the bundle's live model. `images` of c1 for indirect effects, 0 for none."""
    from core.explain.cues import indirect, represent
    from core.explain.live import load_explainer
    from core.images import decode

    finder, names = check(store), store.class_names()
    explainer = load_explainer(store.bundle.facts, lambda: None)
    class_co = np.asarray(store.bundle.array("class_embeddings"))
    made: dict[str, list[Outcome]] = {}
    effects: dict[int, np.ndarray] = {}
    for at, (c1, c2) in enumerate(drawn):
        named = forms(names[c1], names[c2])
        words = rivals(finder, class_co[c1], class_co[c2], named, seed + at)
        if images:
            if c1 not in effects:
                ids = np.random.default_rng((seed, c1)).permutation(members(store, c1))[:images]
                effects = {c1: indirect(explainer, finder.table, [decode(store.thumbnail(int(i))) for i in ids])}
            v_o = finder.check(class_co[c1], class_co[c2])
            words["indirect"] = finder.ranked(effects[c1] @ v_o, v_o, named).words
        for method in (method for method in METHODS if method in words):
            staged = stage(names, c1, c2, words[method], scenes, seed + at)
            units_no = represent(explainer, [picture(scene, n) for n, scene in enumerate(staged[1])])
            made.setdefault(method, []).append(outcome(units_no, class_co, c1, c2, staged))
        fooled = ", ".join(f"{method} {made[method][-1].shares[0]:.0%}" for method in made)
        tell(f"{at + 1} of {len(drawn)}: {names[c1]} taken for {names[c2]}: {fooled}")
    return made


def table(made: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """The table, a line each."""
    one = next(iter(made.values()))
    scenes = sum(len(each.scenes) for each in one)
    lines = [
        f"{len(one)} pairs of classes, {scenes:,} scenes a method; shares with 95 % intervals over first classes",
        f"{'cues':11s} {'taken for c2':>22s} {'not for c1':>22s} {'c2 nearer than c1':>22s}",
    ]
    group_p = np.array([each.c1 for each in one])
    for method, outcomes in made.items():
        shares_pm = np.array([each.shares for each in outcomes])
        cells = []
        for m in range(3):
            low, high = interval(shares_pm[:, m], group_p)
            cells.append(f"{shares_pm[:, m].mean():6.1%} [{low:5.1%}, {high:5.1%}]")
        lines.append(f"{method:11s} " + " ".join(f"{cell:>22s}" for cell in cells))
    return lines


def write(made: Mapping[str, Sequence[Outcome]], names: Sequence[str], path: Path) -> None:
    """A row for each pair and method: what was drawn and what the scenes were taken for."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["c1", "c2", "cues_by", "scenes", "taken_for_c2", "not_for_c1", "c2_nearer", "cues", "taken_for"])
        for method, outcomes in made.items():
            for each in outcomes:
                counts = [round(share * len(each.scenes)) for share in each.shares]
                taken = "; ".join(f"{names[c]} {n}" for c, n in Counter(each.predicted).most_common())
                drawn = "; ".join(map(str, each.cues))
                out.writerow([names[each.c1], names[each.c2], method, len(each.scenes), *counts, drawn, taken])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.cues", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a bundle over demo/images, with neurons")
    parser.add_argument("--pairs", type=int, default=30, help="pairs of classes")
    parser.add_argument("--each", type=int, default=2, help="second classes to a first one")
    parser.add_argument("--alike", type=int, help="second classes only among so many that are most like the first")
    parser.add_argument("--scenes", type=int, default=32, help="scenes a pair and method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--indirect-images", type=int, default=INDIRECT_IMAGES,
        help="images of c1 on which indirect effects are measured, a pass for each neuron; 0 leaves them out",
    )  # fmt: skip
    parser.add_argument("--csv", type=Path, help="where a row for each pair and method is written")
    arguments = parser.parse_args(argv)
    from core.bundle.read import open_bundle

    try:
        if arguments.scenes < 1 or arguments.indirect_images < 0:
            raise InputError("Give at least one scene, and no negative number of images.")
        store = Store(open_bundle(arguments.bundle))
        check(store)
        tell = lambda line: print(line, file=sys.stderr, flush=True)
        class_co = np.asarray(store.bundle.array("class_embeddings"))
        drawn = pairs(class_co, arguments.pairs, arguments.each, arguments.seed, arguments.alike)
        made = measure(store, drawn, arguments.scenes, arguments.seed, arguments.indirect_images, tell)
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(table(made)))
    if arguments.csv:
        write(made, store.class_names(), arguments.csv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
