"""What of the Neurons page is in the URL: the neuron, what is shown of it, and the filters of the table."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.ids import Neuron
from core.store import Store
from core.store.neurons import NeuronTable
from pages._ui import pools, selection
from pages._ui.selection import Chosen
from pages._ui.steps import MOST_CHARACTERS

TABS = {"ends": "Both ends", "intervals": "By quantile", "measures": "Other measures", "concepts": "Concepts",
        "effects": "Effects", "relabel": "Relabel"}  # fmt: skip
MAPS = {"off": "Off", "on": "Where it is active"}
MEASURES = ("norm", "activation max", "activation mean", "first order")
SCOPES = {"neuron": "This neuron", "all": "All neurons"}
SORTS = {"std": "strength", "share_above": "images above threshold", "explained": "explained by its direction",
         "concepts": "concepts", "address": "address"}  # fmt: skip
PERCENTS = tuple(map(float, range(0, 101, 5)))
SHARES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
CONCEPTS = tuple(map(float, range(21)))
MOST_TEXTS = 1_000  # a link's number is checked against the neuron's own texts later; this only bounds it


@dataclass(frozen=True)
class Span:
    """From `low` to `high`, both among the steps of a slider; in a URL "0.5~20". At a slider's end it is open."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}~{self.high:g}"


@dataclass(frozen=True)
class NeuronsView:
    """Without a `neuron` the table is shown. `texts` of its decomposition; `by` what its images are ordered by, apart
    from the coefficient; `map`, `own`: heatmaps, each on its own scale; `image` and `prompt` that effects are of;
    `pool` and `scope` to relabel with. The rest filters and sorts: `std` (strength) by percentile, `above` and
    `explained` in percent."""

    neuron: Neuron | None = None
    tab: str = "ends"
    texts: int = 10
    by: str = "norm"
    map: str = "off"
    own: bool = False
    image: int | None = None
    prompt: str = ""
    pool: str | None = None
    scope: str = "neuron"
    sort: str = "std"
    layer: tuple[int, ...] = ()
    label: str = ""
    std: Span | None = None
    above: Span | None = None
    explained: Span | None = None
    concepts: Span | None = None


def read(store: Store, table: NeuronTable) -> Chosen[NeuronsView]:
    """The view that the URL asks for."""
    text = selection.words(MOST_CHARACTERS)
    return selection.read(
        NeuronsView,
        neuron=selection.unit(table.columns().address),
        tab=selection.one_of(*TABS),
        texts=selection.integer(1, MOST_TEXTS),
        by=selection.one_of(*(measure for measure in MEASURES if measure in table.lists)),
        map=selection.one_of(*MAPS),
        own=selection.flag,
        image=selection.integer(0, store.facts().images - 1),
        prompt=text,
        pool=pools.reader,
        scope=selection.one_of(*SCOPES),
        sort=selection.one_of(*SORTS),
        layer=selection.one_of(*(layer for layer in table.layers if layer is not None)),
        label=text,
        std=_span(PERCENTS),
        above=_span(SHARES),
        explained=_span(PERCENTS),
        concepts=_span(CONCEPTS),
    )


def _span(steps: Sequence[float]) -> selection.Reader:
    known = {f"{step:g}": step for step in steps}

    def span(text: str) -> Span:
        low, _, high = text.partition("~")
        if low not in known or high not in known or known[low] > known[high]:
            raise ValueError
        return Span(known[low], known[high])

    return span
