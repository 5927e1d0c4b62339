"""What commands that read images say in the same words, and how they write their tables."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.errors import StorageError


def tell_unusable(messages: Sequence[str | None]) -> None:
    """How many images could not be used, and why the first could not; nothing where all could."""
    if messages:
        print(f"{len(messages)} images could not be used; the first: {messages[0]}", file=sys.stderr)


def save_csv(table: pd.DataFrame, path: Path | None) -> None:
    """Write a table where a file was asked for, and say so. StorageError."""
    if path is None:
        return
    try:
        table.to_csv(path, index=False)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}): choose another file.") from error
    print(f"written to {path}")
