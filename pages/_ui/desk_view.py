"""What of the labelling desk is in the URL: the queue, its filters, and the end of a unit that is shown."""

from dataclasses import dataclass

from core.labels.events import ENDS
from core.labels.queues import KEPT
from core.store import Store
from pages._ui import dictionaries, selection
from pages._ui.selection import Chosen

QUEUES = {
    "importance": "By importance",
    "disagreement": "Disagreements",
    "score": "Low automatic score",
    "random": "At random",
    "list": "A list",
    "neuron": "All pairs of a neuron",
    "concept": "All members of a concept",
}
SIDES = {"+": "+ end", "both": "Both ends"}
STATES = {
    "any": "Everything",
    "todo": "Not labelled by me",
    "mine": "Labelled by me",
    "open": "Nobody has labelled",
    "labelled": "Labelled, no dispute",
    "unsure": "Unsure",
    "uninterpretable": "Uninterpretable",
    "disputed": "Disputed",
    "decided": "Decided",
}
MAPS = ("off", "on")
MOST_LISTED = 10_000
"""Characters of a list in the URL; a longer one lies on the server's shelf, `kept`."""


@dataclass(frozen=True)
class DeskView:
    """Without a `unit` the desk shows the queue's first end that this annotator has said nothing of. `side`: the + ends
    alone or both; `seed` of the random order; `of` the neuron or concept whose pairs or members are labelled; `list`
    addresses, or `kept` the name of a list on the shelf, and `name` what it is called; `blind`: the automatic label and
    others' words are hidden until one's own is saved; `map`: heatmaps; `scores` of what was said."""

    queue: str = "importance"
    kind: tuple[str, ...] = ()
    layer: tuple[int, ...] = ()
    state: str = "any"
    side: str = "+"
    seed: int = 0
    of: str = ""
    list: str = ""
    kept: str | None = None
    name: str = ""
    blind: bool = False
    map: str = "off"
    scores: bool = False
    unit: str = ""
    end: str = "+"


def read(store: Store) -> Chosen[DeskView]:
    """The view that the URL asks for."""
    chosen = selection.read(
        DeskView,
        queue=selection.one_of(*queues(store)),
        kind=selection.one_of(*store.units.kinds),
        layer=selection.one_of(*layers(store)),
        state=selection.one_of(*KEPT),
        side=selection.one_of(*SIDES),
        seed=selection.integer(0, 10**9),
        of=selection.words(200),
        list=selection.words(MOST_LISTED),
        kept=selection.digest,
        name=selection.words(80),
        blind=selection.flag,
        map=selection.one_of(*MAPS),
        scores=selection.flag,
        unit=selection.words(200),
        end=selection.one_of(*ENDS),
    )
    return chosen


def queues(store: Store) -> tuple[str, ...]:
    """The queues that make sense for a bundle."""
    return tuple(
        name
        for name in QUEUES
        if (name != "neuron" or store.pairs is not None) and (name != "concept" or dictionaries.names())
    )


def layers(store: Store) -> tuple[int, ...]:
    """Numbers of the layers that any units are of; none where units name none."""
    found = {layer for layer in store.facts().layers if layer is not None}
    if store.neurons is not None:
        found |= {layer for layer in store.neurons.layers if layer is not None}
    return tuple(sorted(found))
