"""Progress bars, with rate and time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from precompute.config import Resources

Seen = Callable[[int], None]
"""Told of every n that are done."""


@contextmanager
def bar(total: int, what: str, unit: str, resources: Resources, initial: int = 0) -> Iterator[Seen]:
    """A progress bar, unless the resources say that none is wanted."""
    with tqdm(
        total=total or None, desc=f"{what:8s}", unit=unit, initial=initial, disable=not resources.progress
    ) as shown:

        def seen(n: int) -> None:
            shown.update(n)

        yield seen
