"""How much a training may spend, and the loop that spends it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass
class Budget:
    """Progress 0..1 by samples or by wall clock, whichever was given; resuming spends the new budget on the rest."""

    samples: int | None
    minutes: float | None
    start: float = 0.0
    seen_before: int = 0
    began: float = field(default_factory=time.monotonic)

    def progress(self, seen: int) -> float:
        """Share of the schedule done, for `seen` samples in all."""
        if self.samples is not None:
            share = (seen - self.seen_before) / max(1, self.samples - self.seen_before)
        else:
            share = (time.monotonic() - self.began) / (60 * (self.minutes or 1.0))
        return self.start + (1 - self.start) * share


class Training(Protocol):
    """What can be trained: `seen` samples so far, `progress` 0..1; `step` returns its loss."""

    seen: int
    progress: float

    def resume(self) -> bool: ...
    def step(self) -> float: ...
    def save(self) -> None: ...


def spend(
    trainer: Training, name: str, samples: int | None, minutes: float | None, report: float, told: Callable[[], str],
    mean_of: int, enter: Callable[[float], None] = lambda progress: None,
) -> None:  # fmt: skip
    """Train to the end of the budget; a progress line (mean loss of `mean_of` steps, and what `told` says) and a
    checkpoint every `report` and 3 x seconds. `enter` is called with the progress before each step."""
    resumed = trainer.resume()
    budget = Budget(samples, minutes, trainer.progress, trainer.seen)
    print(
        f"{name}: {'resumed' if resumed else 'new'}, {trainer.seen} samples, progress {trainer.progress:.3f}",
        flush=True,
    )
    said, seen, saved, losses = time.monotonic(), trainer.seen, time.monotonic(), list[float]()
    while (progress := budget.progress(trainer.seen)) < 1:
        trainer.progress = progress
        enter(progress)
        losses.append(trainer.step())
        now = time.monotonic()
        if now - said > report:
            speed, words = (trainer.seen - seen) / (now - said), told()
            loss = np.mean(losses[-mean_of:])
            print(
                f"{name} {progress:6.1%} {trainer.seen:8d} samples {speed:5.0f}/s loss {loss:.3f} {words}", flush=True
            )
            said, seen = time.monotonic(), trainer.seen
        if now - saved > 3 * report:
            trainer.save()
            saved = time.monotonic()
    trainer.progress = 1.0
    trainer.save()
