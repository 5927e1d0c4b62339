"""The rows of sparsity and rank in words and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from core.bundle.atomic import atomic_file
from core.methods.neuron_head import NeuronHead
from precompute.sparsity import Row

_HEADER = ("kind", "unit", "layer", "amount", "units", "pool", "top1", "standard_error", "images")
_TITLES = {
    "kept": "all but the best mean-ablated; kept of",
    "components": "rebuilt from so many principal components each",
    "texts": "rebuilt from so many texts each",
}


def tell(rows: Sequence[Row], lenses: Sequence[NeuronHead], classes: int) -> None:
    """Print them, a table a layer."""
    base = rows[0]
    print(
        f"zero-shot top-1 of {base.images:,} images, ± at most {max(row.standard_error for row in rows):.1%} (one "
        f"standard error); {classes} classes, at random {1 / max(1, classes):.1%}"
    )
    print(f"nothing changed {base.top1:.1%}")
    layers = list(dict.fromkeys(row.layer for row in rows if row.change.kind != "none"))
    for layer in layers:
        _tell_layer([row for row in rows if row.layer == layer and row is not base], layer, lenses)


def _tell_layer(rows: Sequence[Row], layer: int | None, lenses: Sequence[NeuronHead]) -> None:
    """One layer's, or all layers' together."""
    of = [lens for lens in lenses if layer in (None, lens.layer)]
    counts = {
        "pairs": sum(lens.neurons * len(lens.pairs) for lens in of),
        "neurons": sum(lens.neurons for lens in of),
        "heads": sum(len(lens.pairs) for lens in of),
    }
    if layer is not None or len(lenses) > 1:
        print(f"— layer {layer}" if layer is not None else "— all layers together, the best of each")
    print(f"everything mean-ablated {next(row for row in rows if row.change.kind == 'all').top1:.1%}")
    for kind, title in _TITLES.items():
        amounts = sorted({row.change.amount or 0 for row in rows if row.change.kind == kind}, reverse=kind == "kept")
        if not amounts:
            continue
        sign = "%" if kind == "kept" else ""
        print(f"{title:50s}" + "".join(f"{f'{amount:g}{sign}':>8s}" for amount in amounts))
        for unit, count in counts.items():
            found = {row.change.amount: row.top1 for row in rows if (row.change.kind, row.change.unit) == (kind, unit)}
            if found:
                cells = [f"{found[amount]:.1%}" if amount in found else "" for amount in amounts]
                print(f"  {f'{count:,} {unit}':48s}" + "".join(f"{cell:>8s}" for cell in cells))


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """One line a row, in full precision; empty where a column does not apply. Raises StorageError."""
    with atomic_file(path) as temporary, temporary.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for row in rows:
            told = {**row.change._asdict(), **vars(row), "standard_error": row.standard_error}
            writer.writerow(["" if told[name] is None else told[name] for name in _HEADER])
