"""Bringing together shards that machines without a common disk have made."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from core.bundle.atomic import atomic_file
from core.errors import InputError
from precompute.plan import WORK, Plan, load_plan


def collect(plan: Plan, folders: Sequence[Path]) -> None:
    """Copy the shards that are missing here from the same bundle's folders elsewhere.

    Raises InputError if a folder belongs to another bundle, BundleDamaged if it holds no plan.
    """
    for folder in folders:
        other = load_plan(folder)
        if other.id != plan.id:
            raise InputError(f"{folder} belongs to the bundle {other.id}, not to {plan.id}: its shards do not fit.")
        for shard in plan.missing():
            if other.partial(shard).exists():
                _copy(other.partial(shard), plan.folder / WORK)


def _copy(partial: Path, to: Path) -> None:
    """All files of a shard; the partial itself, whose existence means that the shard is done, comes last."""
    rest = sorted(path for path in partial.parent.glob(partial.stem + ".*") if path != partial)
    for path in [*rest, partial]:
        for source in sorted(path.rglob("*")) if path.is_dir() else [path]:
            with atomic_file(to / source.relative_to(partial.parent)) as temporary:
                shutil.copyfile(source, temporary)
