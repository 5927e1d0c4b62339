"""Draw the demo data set: a folder a class, as ImageNet is arranged, with its ground truth beside it.

    python -m demo.images            # demo/images/<object>/<number>.webp, manifest.parquet, masks.parquet

Image i is scene i of the SHIPPED split, which training never sees. It lies in the folder of its main object; scenes
that mix two kinds have `mixed` set, so that single-object scoring can leave them out.
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from demo.stream import SHIPPED, SIDES, scene_rng
from demo.vocabulary import OBJECT_NAMES, PLACES, STYLES
from demo.world import Scene, render, sample_scene

IMAGES = Path(__file__).parent / "images"
NUMBER = 2448  # 24 a class
YEARS = range(2010, 2025)

# Ground truth for drift: the chance of each factor value moves linearly over the years between these two multiples of
# its even share. All other values share what is left evenly, so they drift a little the other way.
DRIFT: dict[str, dict[str, tuple[float, float]]] = {
    "style": {"sepia": (1.8, 0.2), "colour": (0.5, 1.5)},
    "place": {"city at night": (0.2, 2.6), "forest": (2.2, 0.3)},
}


def drifting_shares(factor: str, year: int) -> np.ndarray:
    """The chance of each value of "style" or "place" in a year, [values], summing to 1."""
    names = STYLES if factor == "style" else PLACES
    done = (year - YEARS[0]) / (len(YEARS) - 1)
    moving = {name: (low + (high - low) * done) / len(names) for name, (low, high) in DRIFT[factor].items()}
    rest = (1 - sum(moving.values())) / (len(names) - len(moving))
    return np.array([moving.get(name, rest) for name in names])


def shipped_scene(index: int, seed: int = 0) -> tuple[Scene, int, int]:
    """Scene `index` of the data set, its year and its side in pixels. Classes take turns; years are even."""
    rng = scene_rng(SHIPPED, seed, index)
    name = OBJECT_NAMES[index % len(OBJECT_NAMES)]
    year = int(rng.choice(YEARS))
    place = str(rng.choice(PLACES, p=drifting_shares("place", year)))
    style = str(rng.choice(STYLES, p=drifting_shares("style", year)))
    scene = sample_scene(rng, main=name, place=place, style=style)
    return scene, year, int(rng.choice(SIDES))


def folder_name(name: str) -> str:
    """The class folder of an object: its name with underscores."""
    return name.replace(" ", "_")


def truth_row(scene: Scene, path: str, year: int, side: int) -> dict[str, Any]:
    """One row of the manifest."""
    return {
        "path": path,
        "object": scene.objects[0].name,
        "category": scene.objects[0].category,
        "place": scene.place,
        "style": scene.style,
        "count": scene.count,
        "caption": scene.caption,
        "year": year,
        "mixed": scene.mixed,
        "kinds": ", ".join(scene.kinds),
        "side": side,
        "size": round(float(np.mean([placed.size for placed in scene.objects])), 4),
        "objects": json.dumps(
            [
                {
                    "name": o.name,
                    "x": round(o.x, 4),
                    "y": round(o.y, 4),
                    "size": round(o.size, 4),
                    "tilt": round(o.tilt, 1),
                }
                for o in scene.objects
            ]
        ),
    }


def mask_png(mask: np.ndarray) -> bytes:
    """An instance mask, uint8 [p, p], as the bytes of a grey PNG; pixel values are kept."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_data_set(out: Path = IMAGES, number: int = NUMBER, seed: int = 0, quality: int = 82) -> None:
    """Write images, manifest.parquet and masks.parquet (path, mask as PNG bytes) into `out`."""
    rows, masks = [], []
    for index in range(number):
        scene, year, side = shipped_scene(index, seed)
        pixels, mask = render(scene, side)
        path = f"{folder_name(scene.objects[0].name)}/{index:05d}.webp"
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(out / path, quality=quality, method=6)
        rows.append(truth_row(scene, path, year, side))
        masks.append({"path": path, "mask": mask_png(mask)})
    for table, name in ((rows, "manifest"), (masks, "masks")):
        ordered = sorted(table, key=lambda row: row["path"])
        pq.write_table(pa.Table.from_pylist(ordered), out / f"{name}.parquet", compression="zstd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_data_set(args.out, args.number, args.seed)
    files = list(args.out.rglob("*.webp"))
    print(f"{args.out}: {len(files)} images, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
