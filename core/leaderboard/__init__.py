"""The leaderboard of labelling methods over one bundle: what each calls a sample of units, and how well that predicts.

`core.methods.label_leaderboard` says what the methods are and which images they see. Read from a bundle alone, so that
the command and the page ask the same; labels by hand are given by whoever has them.
"""

from core.leaderboard.board import Board, Hand, Labelled, Row, digest
from core.leaderboard.by_hand import standing_labels
from core.leaderboard.compare import UNITS, Embed, Progress, leaderboard
from core.leaderboard.kept import keep, kept

__all__ = [
    "UNITS",
    "Board",
    "Embed",
    "Hand",
    "Labelled",
    "Progress",
    "Row",
    "digest",
    "keep",
    "kept",
    "leaderboard",
    "standing_labels",
]
