"""An annotator for `tests.bench_desk`, in a process of its own: labels and pauses, until it is stopped."""

import sys
import time
from itertools import count

from core.labels.database import Labels
from core.labels.events import Event, new_key


def write(url: str, bundle: str, model: str, pause_s: float, name: str) -> None:
    """Says on standard output that it has begun."""
    base = Labels(url)
    for at in count():
        base.add([Event(new_key(), name, bundle, f"L0.N{at % 300}", "+", "label", f"word {at}", model=model)])
        if not at:
            print("writing", flush=True)
        time.sleep(pause_s)


if __name__ == "__main__":
    write(*sys.argv[1:4], float(sys.argv[4]), sys.argv[5])
