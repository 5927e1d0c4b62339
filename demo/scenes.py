"""Draw scenes of several different objects with a class for every pixel, laid out as PASCAL-Context is.

    python -m demo.scenes --out DIR --number 200        # DIR/images/<i>.webp, DIR/labels/<i>.png, DIR/classes.txt

Each scene has two to four objects of different kinds over a place. A label map holds the id of the object where one
stands and the id of the place everywhere else; `classes.txt` has a line `id<TAB>name` for each of the 102 objects and
13 places. Scene i is a function of (seed, i) and of a split of its own, which neither training nor the shipped images
ever see; objects take turns, so that all are shown about equally often.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from demo.stream import SCENES, scene_rng
from demo.vocabulary import OBJECT_NAMES, PLACES
from demo.world import Scene, render, sample_scene

NUMBER = 200
SIDE = 256  # twice the models' input, so that windows slide over it
OBJECTS = (2, 3, 4)
CLASSES: tuple[str, ...] = (*OBJECT_NAMES, *("plain background" if place == "plain" else place for place in PLACES))
"""Names by id, which counts from 1: 0 would be a pixel without a label, of which there are none."""


def context_scene(index: int, seed: int = 0) -> Scene:
    """Scene `index`: its first object by turns, the others at random, all different."""
    rng = scene_rng(SCENES, seed, index)
    first = OBJECT_NAMES[index % len(OBJECT_NAMES)]
    others = [name for name in OBJECT_NAMES if name != first]
    more = rng.choice(len(others), size=int(rng.choice(OBJECTS)) - 1, replace=False)
    return sample_scene(rng, objects=[first, *(others[i] for i in more)])


def label_map(scene: Scene, mask_yx: np.ndarray) -> np.ndarray:
    """Class ids, uint8 (y, x), from an instance mask (`demo.world.render`)."""
    place = 1 + len(OBJECT_NAMES) + PLACES.index(scene.place)
    ids = [place, *(1 + OBJECT_NAMES.index(placed.name) for placed in scene.objects)]
    return np.array(ids, np.uint8)[mask_yx]


def write_scenes(out: Path, number: int = NUMBER, side: int = SIDE, seed: int = 0, quality: int = 90) -> None:
    """Write images, label maps and classes into `out`."""
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for index in range(number):
        scene = context_scene(index, seed)
        pixels, mask_yx = render(scene, side)
        Image.fromarray(pixels).save(out / "images" / f"{index:05d}.webp", quality=quality, method=4)
        Image.fromarray(label_map(scene, mask_yx)).save(out / "labels" / f"{index:05d}.png", optimize=True)
    lines = (f"{i}\t{name}\n" for i, name in enumerate(CLASSES, start=1))
    (out / "classes.txt").write_text("".join(lines), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--side", type=int, default=SIDE, help="of the square pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_scenes(args.out, args.number, args.side, args.seed)
    print(f"{args.out}: {args.number} scenes of {len(CLASSES)} classes")


if __name__ == "__main__":
    main()
