"""How much a training may spend."""

import time
from dataclasses import dataclass, field


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
