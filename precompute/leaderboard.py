"""`python -m precompute leaderboard BUNDLE`: which way of labelling to believe, on a finished bundle."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from core.bundle.read import Bundle, open_bundle
from core.labels.database import Labels, default_url
from core.labels.ledger import Ledger
from core.leaderboard import Board, Hand, keep, leaderboard, standing_labels
from core.methods.label_leaderboard import METHODS, RANDOM
from core.methods.label_scores import NAMES, TOP
from precompute.arguments import resources
from precompute.recorded import model_of
from precompute.told import save_csv

_TITLES = {"pearson": "r", "auprc": "AUPRC", "f1": "F1", "auroc": "AUROC"}


def leaderboard_of_bundle(arguments: argparse.Namespace) -> Board:
    """Compute, keep, print, and write as CSV where asked; returns the table. The bundle itself is never changed."""
    resources(arguments)
    bundle = open_bundle(arguments.bundle)
    hand = _by_hand(bundle, arguments.labels)
    with tqdm(total=100, desc="leaderboard", unit="%", disable=arguments.quiet) as bar:

        def report(share: float, what: str) -> None:
            bar.n = round(100 * share)
            bar.set_postfix_str(what)

        embed = _Embedder(bundle, arguments) if hand else None
        board = leaderboard(bundle, arguments.units, arguments.seed, hand, embed, report)
    keep(board)
    _print(board)
    save_csv(table(board), arguments.csv)
    return board


def table(board: Board) -> pd.DataFrame:
    """The rows with every number and the ends of its interval."""
    rows = []
    for row in board.rows:
        told: dict[str, object] = {"kind": row.kind, "method": row.method, "units": row.units}
        for name in (*NAMES, "over_random"):
            number = getattr(row, name)
            told |= {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}
        rows.append(told)
    return pd.DataFrame(rows)


class _Embedder:
    """The bundle's model, loaded only if labels by hand are not all texts of the pool."""

    def __init__(self, bundle: Bundle, arguments: argparse.Namespace) -> None:
        self._bundle, self._arguments = bundle, arguments

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        model = model_of(
            self._bundle, "Name the right one with --model or --pretrained.", name=self._arguments.model,
            pretrained=self._arguments.pretrained, device=self._arguments.device,
        )  # fmt: skip
        return model.encode_texts(texts)


def _by_hand(bundle: Bundle, url: str | None) -> tuple[Hand, ...]:
    """The labels that stand in the database beside the bundles, or where `url` says; none where there is no database.
    Raises LabelsUnavailable."""
    url = url or default_url(bundle.folder.resolve().parent)
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).is_file():  # opening one would make it
        return ()
    labels = Labels(url)
    try:
        ledger = Ledger(labels, bundle.id)
        ledger.refresh()
        return standing_labels(ledger)
    finally:
        labels.close()


def _print(board: Board) -> None:
    print(
        "Labels are scored on half B of the images, which they were not made from, less the images that a unit's "
        "direction was made from; means over units, 95 % intervals by bootstrap over units. Positive: the "
        f"{TOP:.0%} of images of largest number."
    )
    for kind, (drawn, of) in board.counts.items():
        print(
            f"\n{kind}s: {drawn:,} of {of:,}, spread evenly over the ranks by importance (seed {board.seed}), on "
            f"{board.images[kind]:,} images"
        )
        print(
            f"  {'':28s} units  {'r':>20s}  {'less random':>20s}" + "".join(f"  {_TITLES[n]:>18s}" for n in NAMES[1:])
        )
        rows = sorted((row for row in board.rows if row.kind == kind), key=lambda row: -row.pearson.value)
        for row in rows:
            rest = "".join(f"  {getattr(row, name)!s:>18s}" for name in NAMES[1:])
            over = "" if row.method == RANDOM else str(row.over_random)
            print(f"  {row.method:28s} {row.units:5,d}  {row.pearson!s:>20s}  {over:>20s}{rest}")
    print("\n" + "\n".join(f"{name}: {told}" for name, told in METHODS.items() if _has(board, name)))
    if board.unread:
        print(f"{board.unread:,} labels by hand could not be embedded and are left out.")


def _has(board: Board, method: str) -> bool:
    return any(row.method == method for row in board.rows)
