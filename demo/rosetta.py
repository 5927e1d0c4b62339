"""Does the ground truth confirm a dictionary's concepts? `python -m demo.rosetta DICTIONARY`

The dictionary's models are run once more over its images, demo images whose truth is known. Each concept's activation
(the mean over its models, of each the unit farthest above chance, of the peak in standard deviations from its mean) is
correlated over images with the indicator of every value of every factor; and its map (the mean of the same units' maps,
standardised, at 8 × 8) over images and positions with the masks: where the objects of a kind, of a category, or any
stand, and where a place shows. Shown is the value that it follows best, beside controls for the same value: the best of
its own units, the best single unit of all models, and the median and the best of 200 units drawn by chance. And the
share of labels that are right (demo/concept_labels.py).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.bundle.dictionary import open_dictionary
from core.errors import UnitscopeError
from core.models.zoo import Member, load_recorded_member
from core.stats.followed import activation, deviations
from core.store.dictionary import Concept, Dictionary
from demo import concept_labels, map_truth
from demo.images import IMAGES
from demo.map_truth import Sums, on_grid, read_masks
from demo.neurons import Truth

RANDOM_UNITS = 200
BATCH = 16


@dataclass(frozen=True)
class Confirmed:
    """One concept and the value that it follows best.

    `by` "activation" (over images) or "map" (over images and positions); `correlation` Pearson's, signed. For the same
    value, |r|: `own` of the best of the concept's units, `single` of the best unit of all models, `single_unit`;
    `random` the median of RANDOM_UNITS units drawn by chance, `best_random` the largest.
    """

    concept: str
    label: str | None
    models: int
    strength: float
    by: str
    factor: str
    value: str
    correlation: float
    own: float
    single: float
    single_unit: str
    random: float
    best_random: float


@dataclass(frozen=True)
class Following:
    """How rows (all units, then concepts) follow the values `names`: Pearson `r_uv`."""

    by: str
    names: Sequence[tuple[str, str]]
    r_uv: np.ndarray


def best_units(concept: Concept) -> list[int]:
    """Rows of the concept's units, one a model: the one farthest above the null."""
    return [unit.row for unit in concept.best.values()]


@torch.no_grad()
def follow(
    dictionary: Dictionary, members: Sequence[Member], concepts: Sequence[Concept], folder: Path
) -> tuple[Following, Following]:
    """Activations and maps of every unit and concept against the ground truth of the dictionary's images."""
    images = dictionary.bundle.table("images")
    truth, masks = Truth(images), torch.from_numpy(read_masks(images.to_pydict(), folder)).flatten(2)
    paths, units = images["path"].to_pylist(), [best_units(concept) for concept in concepts]
    mean_u = torch.from_numpy(np.array(dictionary.bundle.array("unit_mean")))
    std_u = torch.from_numpy(np.array(dictionary.bundle.array("unit_std")))
    scale_u = torch.where(std_u > 0, 1 / std_u, 0.0)
    peaks: list[np.ndarray] = []
    sums = Sums(len(mean_u) + len(units), len(map_truth.NAMES))
    for start in range(0, len(paths), BATCH):
        pictures = []
        for path in paths[start : start + BATCH]:
            with Image.open(folder / path) as picture:
                pictures.append(picture.convert("RGB"))
        maps = [layer for member in members for layer in _maps(member, pictures)]
        peaks.append(torch.cat([layer.amax((2, 3)) for layer in maps], dim=1).numpy())
        flat_up = torch.cat([on_grid(layer).transpose(0, 1).flatten(1) for layer in maps])
        z_up = (flat_up - mean_u[:, None]) * scale_u[:, None]
        concept_cp = torch.stack([z_up[rows].mean(0) for rows in units])
        sums.update(torch.cat([z_up, concept_cp]), masks[start : start + BATCH].transpose(0, 1).flatten(1))
    peak_ui = np.concatenate(peaks).T.astype(np.float64)
    z_ui = deviations(peak_ui, peak_ui.mean(1), peak_ui.std(1))
    activation_ui = np.concatenate([z_ui, activation(z_ui, units)])
    return (
        Following("activation", truth.names, truth.correlate(activation_ui)),
        Following("map", map_truth.NAMES, sums.correlation()),
    )


def _maps(member: Member, pictures: list[Image.Image]) -> list[Tensor]:
    made = member.maps(torch.stack([member.prepare(picture) for picture in pictures]))
    return [made[layer.name].cpu() for layer in member.layers]


def chance(alive: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rows of RANDOM_UNITS units that vary at all, drawn by chance from all models."""
    return np.random.default_rng(seed).choice(alive, min(RANDOM_UNITS, len(alive)), replace=False)


def confirm(
    dictionary: Dictionary, concepts: Sequence[Concept], followed: Sequence[Following], random: np.ndarray
) -> list[Confirmed]:
    """Every concept, those that follow a value most closely first; `random` are rows of units as a control."""
    units, found = len(dictionary.bundle.array("unit_std")), []
    for at, concept in enumerate(concepts):
        best = max(followed, key=lambda one: float(np.abs(one.r_uv[units + at]).max()))
        v = int(np.abs(best.r_uv[units + at]).argmax())
        size_u = np.abs(best.r_uv[:units, v])
        single = int(size_u.argmax())
        found.append(
            Confirmed(
                concept=concept.address,
                label=concept.label.text if concept.label else None,
                models=concept.models,
                strength=round(concept.strength, 3),
                by=best.by,
                factor=best.names[v][0],
                value=best.names[v][1],
                correlation=round(float(best.r_uv[units + at, v]), 3),
                own=round(float(size_u[[unit.row for unit in concept.members]].max()), 3),
                single=round(float(size_u[single]), 3),
                single_unit=dictionary.address(single),
                random=round(float(np.median(size_u[random])), 3),
                best_random=round(float(size_u[random].max()), 3),
            )
        )
    return sorted(found, key=lambda row: (-abs(row.correlation), row.concept))


def distinct(rows: Sequence[Confirmed]) -> list[Confirmed]:
    """The first of the rows that follow the same value in the same way."""
    first: dict[tuple[str, str, str], Confirmed] = {}
    for row in rows:
        first.setdefault((row.by, row.factor, row.value), row)
    return list(first.values())


def medians(followed: Sequence[Following], units: int, random: np.ndarray) -> list[str]:
    """For activations and maps: the median over concepts of the largest |r| with any value, and over random units."""
    lines = []
    for one in followed:
        best_u = np.abs(one.r_uv).max(1)
        lines.append(
            f"{one.by}: largest |r| with any of {len(one.names)} values: median of {len(best_u) - units} concepts "
            f"{np.median(best_u[units:]):.2f}, of {len(random)} random units {np.median(best_u[random]):.2f}"
        )
    return lines


def main(argv: list[str] | None = None) -> int:
    summary = __doc__.splitlines()[0] if __doc__ else ""
    parser = argparse.ArgumentParser(prog="python -m demo.rosetta", description=summary)
    parser.add_argument("dictionary", type=Path, help="a dictionary over demo/images")
    parser.add_argument("--images", type=Path, default=IMAGES, help="the demo images (default: demo/images)")
    parser.add_argument("--hub", action="append", help="only this model's concepts; may be repeated")
    parser.add_argument("--most", type=int, default=20, help="rows shown, one a value")
    parser.add_argument("--json", action="store_true", help="one JSON object a concept, all of them")
    arguments = parser.parse_args(argv)
    try:
        dictionary = Dictionary(open_dictionary(arguments.dictionary))
        hubs = arguments.hub or [member.name for member in dictionary.members]
        concepts = [concept for hub in hubs for concept in dictionary.concepts(hub)]
        if not concepts:
            print("This dictionary has no concepts: its models share nothing above the null level.")
            return 0
        members = [load_recorded_member(member.facts) for member in dictionary.members]
        followed = follow(dictionary, members, concepts, arguments.images)
        labels = concept_labels.told(dictionary, concepts)
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    std_u = np.asarray(dictionary.bundle.array("unit_std"))
    random = chance(np.flatnonzero(std_u > 0))
    rows = confirm(dictionary, concepts, followed, random)
    if arguments.json:
        for row in rows:
            print(json.dumps(asdict(row)))
        return 0
    print("\n".join([*medians(followed, len(std_u), random), *labels]))
    above = sum(abs(row.correlation) > row.best_random for row in rows)
    beyond = sum(abs(row.correlation) > row.single for row in rows)
    values = distinct(rows)
    print(f"{above} of {len(rows)} concepts follow their value more closely than any of {len(random)} random units,")
    print(f"{beyond} more closely than any single unit of any model. The closest for each of {len(values)} values:")
    for row in values[: arguments.most]:
        followed_value = f"{row.by} {row.correlation:+.2f} {row.factor} = {row.value}"
        print(f"{row.concept:18s} {row.models} models  {followed_value:44s} own {row.own:.2f}", end="")
        print(f"  random {row.random:.2f}, best {row.best_random:.2f}", end="")
        print(f"  single {row.single:.2f} {row.single_unit}  {row.label or ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
