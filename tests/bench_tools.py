"""What the benchmarks share: timing as ratios within one run, and one way to say what came out."""

import statistics
import time
from collections.abc import Callable

import torch

from core.models.load import LoadedModel


@torch.inference_mode()
def plain(model: LoadedModel, images: torch.Tensor) -> None:
    """The plain pass: open_clip's own encode_image."""
    model.clip.encode_image(images)


def ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median of the ratios of neighbouring timings, so that a slow second hits both; and the median of theirs."""
    ours(), theirs()
    pairs = []
    for i in range(rounds):
        first, second = (ours, theirs) if i % 2 else (theirs, ours)
        a, b = seconds(first), seconds(second)
        pairs.append((a, b) if i % 2 else (b, a))
    return statistics.median(a / b for a, b in pairs), statistics.median(b for _, b in pairs)


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def say(what: str, figure: str, goal: str, detail: str) -> None:
    print(f"{what:42s} {figure:30s} (goal {goal}; {detail})", flush=True)
