"""Opening .npy files from many threads at once."""

import threading
from pathlib import Path

import numpy as np

_parsing = threading.Lock()


def map_npy(path: Path) -> np.memmap:
    """A .npy file, memory-mapped read-only. Raises ValueError or OSError. (Not np.load, which opens zip archives too.)

    NumPy reads the header with `ast.literal_eval`, which in CPython 3.11 is not safe in threads: now and then it raises
    "SystemError: AST constructor recursion depth mismatch". So one header is read at a time.
    """
    with _parsing:
        return np.lib.format.open_memmap(path, mode="r")
