"""What of the Search page is in the URL."""

from dataclasses import dataclass

from core.ids import Unit
from core.store import Store
from core.store.units import KINDS
from pages._ui import image_address, selection
from pages._ui.selection import Chosen

TABS = {"results": "Results", "map": "Map of all units"}
HOW = {"all": "Meaning and labels", "meaning": "Meaning", "words": "Words in labels"}
SORTS = {"turn": "each kind in turn", "kind": "kind", "layer": "layer", "importance": "importance in its kind"}
LABELLED = {"any": "any", "hand": "labelled by hand", "none": "not labelled by hand", "auto": "automatic label"}
COLOURS = {"layer": "layer", "kind": "kind", "label": "first text", "score": "label score"}
CONCEPT = "concept"
PAGE = 24
MOST_SHOWN = 1_000
MOST_CHARACTERS = 1_000
"""As many as a prompt may have (`core.explain.prompts`)."""


@dataclass(frozen=True)
class SearchView:
    """What is asked: like a `unit`, else what an `upload` or `image` moves, else the words `q`, `how`. Of the results
    only `kind`s, `layer`s and `labelled` ones, the first `shown` by `sort`. On the tab "map", `colour`."""

    q: str = ""
    unit: Unit | None = None
    image: int | None = None
    upload: str | None = None
    how: str = "all"
    kind: tuple[str, ...] = ()
    layer: tuple[int, ...] = ()
    labelled: str = "any"
    sort: str = "turn"
    shown: int = PAGE
    tab: str = "results"
    colour: str = "layer"

    @property
    def asks(self) -> str:
        """What is asked by: "unit", "image", "words", or "" for nothing."""
        if self.unit is not None:
            return "unit"
        if self.upload or self.image is not None:
            return "image"
        return "words" if self.q.strip() else ""


def read(store: Store) -> Chosen[SearchView]:
    """The view that the URL asks for."""
    layers = sorted({layer for layer in layers_of(store) if layer is not None})
    return selection.read(
        SearchView,
        {"colour": "layer" if len(layers_of(store)) > 1 else "kind"},
        q=selection.words(MOST_CHARACTERS),
        unit=store.units.parse,
        image=selection.integer(0, store.facts().images - 1),
        upload=image_address.upload,
        how=selection.one_of(*HOW),
        kind=selection.one_of(*KINDS, CONCEPT),
        layer=selection.one_of(*layers),
        labelled=selection.one_of(*LABELLED),
        sort=selection.one_of(*SORTS),
        shown=selection.at_most(1, MOST_SHOWN),
        tab=selection.one_of(*TABS),
        colour=selection.one_of(*COLOURS),
    )


def layers_of(store: Store) -> list[int | None]:
    """Every layer that has a unit."""
    neurons = store.neurons.layers if store.neurons is not None else ()
    return sorted({*store.facts().layers, *neurons}, key=lambda layer: -1 if layer is None else layer)
