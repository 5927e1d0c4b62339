"""A process that labels: `python -m tests.labels_writer URL NAME COUNT`. Prints the key of each event once it is saved,
after "ready" and a line on its standard input; the n-th event's text is n."""

import sys

from core.labels.database import Labels
from tests.labels_maker import event


def main(url: str, name: str, count: int) -> None:
    labels = Labels(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for i in range(count):
        stored = labels.add([event(str(i), by=name, of=f"L{i % 3}.N{i % 40}")])
        print(stored[0].key, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
