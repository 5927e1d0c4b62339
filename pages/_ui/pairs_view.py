"""What of the Pairs page is in the URL: the pair, what is shown of it, and what the table lists."""

from dataclasses import dataclass

from core.ids import Head, Neuron, Pair, Unit, parse
from core.store import Store
from core.store.pairs import PairTable
from pages._ui import image_address, selection
from pages._ui.selection import Chosen
from pages._ui.steps import MOST_CHARACTERS

TABS = {"ends": "Both ends", "intervals": "By quantile", "levels": "Three levels", "sub": "Sub-concepts",
        "image": "In one image"}  # fmt: skip
MAPS = {"off": "Off", "on": "Where it comes from"}
SORTS = {"score": "score", "share": "share of its neuron", "std": "strength", "tightness": "tightness"}
MOST_TEXTS = 1_000  # a link's number is checked against the pair's own texts later; this only bounds it


@dataclass(frozen=True)
class PairsView:
    """Without a `pair` the table is shown: all pairs, or those of a `neuron` or a `head`, or whose `label` has some
    words, or that are nearest to a text (`near`). `texts` of a pair's decomposition; `map`, `own`: heatmaps, each on
    its own scale; `image` or `upload` that is looked at."""

    pair: Pair | None = None
    tab: str = "ends"
    texts: int = 10
    map: str = "off"
    own: bool = False
    image: int | None = None
    upload: str | None = None
    neuron: Neuron | None = None
    head: Head | None = None
    label: str = ""
    near: str = ""
    sort: str = "score"


def read(store: Store, table: PairTable) -> Chosen[PairsView]:
    """The view that the URL asks for."""
    words = selection.words(MOST_CHARACTERS)

    def pair(text: str) -> Unit:
        table.at(text)
        return parse(text)

    def neuron(text: str) -> Unit:
        table.neurons.at(text)
        return parse(text)

    return selection.read(
        PairsView,
        pair=pair,
        tab=selection.one_of(*TABS),
        texts=selection.integer(1, MOST_TEXTS),
        map=selection.one_of(*MAPS),
        own=selection.flag,
        image=selection.integer(0, store.facts().images - 1),
        upload=image_address.upload,
        neuron=neuron,
        head=selection.unit(table.heads),
        label=words,
        near=words,
        sort=selection.one_of(*SORTS),
    )
