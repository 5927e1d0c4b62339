"""Statistics of a stream of images that does not fit in memory.

Every object here keeps the same four promises, which tests/property states as laws:

- `update(batch, ...)` takes a batch with the images along the first axis, and an empty one changes nothing;
- `merge(other)` makes it as if the other's images had been given to this one too;
- `state()` is a dict of plain arrays (for .npz, never pickle) and `from_state` the way back;
- any batching, any split and any order of merging give the same result: bit for bit in `TopK` and `Quantiles`,
  whose merging is exact, and up to rounding in float64 in `Moments` and `CrossMoments`.

A batch that breaks what an object needs (a shape, a NaN) is refused by ValueError and leaves it unchanged.
"""

from core.stats.cross import CrossMoments
from core.stats.moments import Moments
from core.stats.quantiles import Quantiles
from core.stats.topk import TopK

__all__ = ["CrossMoments", "Moments", "Quantiles", "TopK"]
