"""Golden arrays of Rosetta matching (`rosetta.npz`): correlations, mutual neighbours, tuples and clusters are ours;
the arrays named `_code`, `table_ref_` and `std_ref_`, the released code's other numbers, are of the plain twin.

Every step starts from the golden arrays of the step before, so that each is checked on its own.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from core.methods.rosetta import Correlator, clusters, mutual, nearest, tuples
from tests.golden_set import GoldenSet, Rules, Verdict, close
from tests.reference import plain_rosetta as plain

ROSETTA = "rosetta.npz"
EXACT = 1e-5
"""What our correlations may be off those of float64."""


def load_rosetta(folder: Path) -> GoldenSet:
    """The arrays of a Rosetta directory; activations are its inputs."""
    stored = dict(np.load(folder / ROSETTA))
    return GoldenSet(
        config=json.loads(str(stored.pop("config_json"))),
        weights={name[3:]: torch.from_numpy(value) for name, value in stored.items() if name.startswith("sd:")},
        images=torch.from_numpy(stored["images_u8"]),
        texts=np.empty((0, 0)),
        arrays={n: v for n, v in stored.items() if not n.startswith(("sd:", "act_")) and n != "images_u8"},
        noise={},
        inputs={name: value for name, value in stored.items() if name.startswith("act_")},
    )


def maps_of(golden: GoldenSet) -> dict[str, list[torch.Tensor]]:
    """Each model's layers (images, units, y, x); of a ViT's tokens the first is the class token, the rest a square."""
    found: dict[str, list[torch.Tensor]] = {}
    for name in sorted(golden.inputs, key=lambda name: (name.split("_")[1], int(name.split("_")[2]))):
        maps = torch.from_numpy(golden.inputs[name])
        if maps.ndim == 3:
            side = round((maps.shape[1] - 1) ** 0.5)
            maps = maps[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        found.setdefault(name.split("_")[1], []).append(maps)
    return found


def rosetta(golden: GoldenSet, kind: str) -> dict[str, np.ndarray]:
    """Every array of correlations and of what is chosen by them, that the set holds."""
    return _correlations(golden) | _released(golden) | _choices(golden)


def _correlations(golden: GoldenSet) -> dict[str, np.ndarray]:
    """pearson_*, mean_*, std_global_*: one pass over all layers."""
    maps = {(model, str(i)): each for model, layers in maps_of(golden).items() for i, each in enumerate(layers)}
    asked = [name[-2:] for name in golden.arrays if name.startswith("pearson_")]
    keys = lambda model: [key for key in maps if key[0] == model]
    correlator = Correlator([(a, b) for x, y in asked for a in keys(x) for b in keys(y)])
    correlator.update(maps)
    out = {}
    for x, y in asked:
        rows = [torch.cat([correlator.correlation(a, b) for b in keys(y)], 1) for a in keys(x)]
        out[f"pearson_{x}{y}"] = torch.cat(rows).numpy()
    for model in dict.fromkeys(key[0] for key in correlator.keys):
        mean, std = (torch.cat(part) for part in zip(*map(correlator.mean_std, keys(model)), strict=True))
        out |= {f"mean_{model}": mean.numpy(), f"std_global_{model}": std.numpy()}
    return out


def _released(golden: GoldenSet) -> dict[str, np.ndarray]:
    """std_ref_* and table_ref_*: the released code's, batch by batch."""
    maps, size = maps_of(golden), golden.config["batch_size"]
    out = {}
    for name in golden.arrays:
        what, _, models = name.rpartition("_")
        if what == "std_ref":
            out[name] = torch.cat([plain.released_std(layer, size) for layer in maps[models]]).numpy()
        elif what == "table_ref":
            out[name] = plain.released_table(*(maps[model] for model in models), size)
    return out


def _choices(golden: GoldenSet) -> dict[str, np.ndarray]:
    """bb_*, rosetta_*, cluster_*: from the golden tables, buddies and tuples."""
    made: list[tuple[str, Callable[..., np.ndarray]]] = [
        (r"bb_mutual_(\w+)_K(\d+)", lambda models, k: _mutual(golden.arrays[f"pearson_{models}"], int(k))),
        (r"bb_self_K(\d+)_(\w+)self", lambda k, own: _mutual(_own_table(golden), int(k), own == "excl")),
        (r"bb_code_(\w+)_K(\d+)", lambda models, k: _code(golden.arrays[f"table_ref_{models}"], int(k))),
        (r"rosetta_mutual_K(\d+)", lambda k: tuples(_buddies(golden, "mutual", k))),
        (r"rosetta_code_K(\d+)", lambda k: np.array(plain.released_tuples(_buddies(golden, "code", k)), np.int32)),
        (r"cluster_(mutual|code)_units", lambda rule: np.unique(golden.arrays[f"rosetta_{rule}_K5"][:, 0])),
        (
            r"cluster_(mutual|code)_(\w+)self",
            lambda rule, own: clusters(golden.arrays[f"cluster_{rule}_units"], golden.arrays[f"bb_self_K5_{own}self"]),
        ),
    ]
    out = {}
    for name in golden.arrays:
        for pattern, make in made:
            if match := re.fullmatch(pattern, name):
                out[name] = make(*match.groups()).reshape(-1, *golden.arrays[name].shape[1:])
    return out


def _own_table(golden: GoldenSet) -> np.ndarray:
    """The hub's table against itself: the one `pearson_` whose two letters are equal."""
    return next(v for n, v in golden.arrays.items() if n.startswith("pearson_") and n[-1] == n[-2])


def _mutual(table: np.ndarray, k: int, own: bool = False) -> np.ndarray:
    return mutual(*(nearest(t, k, own=own)[0] for t in (table, table.T)))


def _code(table: np.ndarray, k: int) -> np.ndarray:
    return np.array(plain.released_buddies(table, k), np.int32)


def _buddies(golden: GoldenSet, rule: str, k: str) -> list[np.ndarray]:
    """The hub's buddies in each other model, models in order."""
    return [v for n, v in sorted(golden.arrays.items()) if re.fullmatch(rf"bb_{rule}_\w+_K{k}", n)]


def _exact(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """Lists of units: the same, entry by entry."""
    wrong = float((ours != golden.arrays[name]).sum())
    return Verdict(not wrong, wrong, wrong, None)


def _pearson(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    return close(golden, name, ours, EXACT)


def _reference(golden: GoldenSet, name: str, ours: np.ndarray) -> Verdict:
    """1e-4 of the largest entry, as the set's description suggests for float32 of the released code."""
    return close(golden, name, ours, 1e-4 * float(np.abs(golden.arrays[name]).max()))


RULES: Rules = {
    "pearson_": _pearson,
    "table_ref_": _reference,
    "std_ref_": _reference,
    "bb_": _exact,
    "rosetta_": _exact,
    "cluster_": _exact,
}
